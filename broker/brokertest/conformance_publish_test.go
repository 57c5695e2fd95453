package brokertest_test

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

const badExpiration = "PRECONDITION_FAILED - invalid expiration '"

var publishScenarios = slices.Concat(
	[]scenario{
		{"all properties survive", propertiesSurvive},
		{"properties that are not set are not set", bareMessage},
		{"large message", largeMessage},
		{"all types of headers survive", headersSurvive},
		{"user_id that is true", trueUser},
		{"bodies of all sizes", bodySizes},
		{"get", getMessage},
		{"get without a message", getNothing},
		{"mandatory and routable", mandatoryRoutable},
		{"mandatory and unroutable", mandatoryUnroutable},
	},
	refusals(
		refused("immediate", 540, "NOT_IMPLEMENTED - immediate=true", func(ch *channel) {
			ch.PublishWithContext(ch.c.Context(), "", ch.queue(), false, true, amqp.Publishing{})
		}),
		refused("user_id of another", 406, "PRECONDITION_FAILED - user_id property set to 'other' but authenticated user was 'guest'",
			func(ch *channel) { ch.cast("", ch.queue(), amqp.Publishing{UserId: "other"}) }),
		refused("expiration text", 406, badExpiration+"soon': no_integer", func(ch *channel) { ch.expiring("soon") }),
		refused("expiration negative", 406, badExpiration+"-1': {value_negative,-1}", func(ch *channel) { ch.expiring("-1") }),
		refused("expiration fraction", 406, badExpiration+`1.5': {leftover_string,".5"}`, func(ch *channel) { ch.expiring("1.5") }),
		refused("expiration with a unit", 406, badExpiration+`5s': {leftover_string,"s"}`, func(ch *channel) { ch.expiring("5s") }),
		refused("expiration with a space", 406, badExpiration+" 5': no_integer", func(ch *channel) { ch.expiring(" 5") }),
		refused("expiration of more than ten years", 406, badExpiration+"315360000001': {value_too_large,315360000001}",
			func(ch *channel) { ch.expiring("315360000001") }),
	),
)

func (ch *channel) expiring(expiration string) {
	ch.cast("", ch.queue(), amqp.Publishing{Expiration: expiration})
}

func propertiesSurvive(c *client) {
	ch := c.channel()
	ch.exchange("topic")
	ch.queue()
	ch.bind(c.name, "#", c.name)
	ch.send(c.name, "a.key", amqp.Publishing{
		ContentType: "text/plain", ContentEncoding: "gzip", DeliveryMode: 2, Priority: 9, CorrelationId: "correlation", ReplyTo: "reply",
		Expiration: "60000", MessageId: "message", Timestamp: time.Unix(1700000000, 0), Type: "type", UserId: "guest", AppId: "app",
		Headers: amqp.Table{"header": "value"}, Body: []byte("body"),
	})
	want := amqp.Delivery{
		ContentType: "text/plain", ContentEncoding: "gzip", DeliveryMode: 2, Priority: 9, CorrelationId: "correlation", ReplyTo: "reply",
		Expiration: "60000", MessageId: "message", Timestamp: time.Unix(1700000000, 0), Type: "type", UserId: "guest", AppId: "app",
		Headers: amqp.Table{"header": "value"}, Body: []byte("body"),
		ConsumerTag: "tag", DeliveryTag: 1, Exchange: c.name, RoutingKey: "a.key",
	}
	got := ch.consume(c.name, consuming{tag: "tag"}).want("body")
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(amqp.Delivery{}, "Acknowledger")); diff != "" {
		c.Errorf("delivery (-want +got):\n%s", diff)
	}
}

func bareMessage(c *client) {
	ch := c.channel()
	ch.queue()
	w := c.wire() // amqp091-go always sends some
	w.open(2047, 131072, 0)
	w.openChannel(1)
	w.publish()
	w.send(header(1, 60, 0))
	got := ch.get(c.name)
	want := amqp.Delivery{RoutingKey: c.name, DeliveryTag: got.DeliveryTag}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(amqp.Delivery{}, "Acknowledger")); diff != "" {
		c.Errorf("delivery (-want +got):\n%s", diff)
	}
}

func largeMessage(c *client) {
	const most = 16 << 20
	ch := c.channel()
	ch.queue()
	ch.cast("", c.name, amqp.Publishing{Body: make([]byte, most+1)})
	if c.has(versions.SmallMessages) {
		ch.wantClosed(406, fmt.Sprintf("PRECONDITION_FAILED - message size %d is larger than configured max size %d", most+1, most))
		return
	}
	if got := len(ch.get(c.name).Body); got != most+1 {
		c.Errorf("got %d octets", got)
	}
}

var everyType = amqp.Table{
	"bool":    true,
	"int8":    int8(-8),
	"uint8":   byte(200),
	"int16":   int16(-16),
	"uint16":  uint16(60000),
	"int32":   int32(-32),
	"uint32":  uint32(4000000000),
	"int64":   int64(-1) << 40,
	"float":   float32(1.5),
	"double":  2.25,
	"decimal": amqp.Decimal{Scale: 2, Value: 12345},
	"string":  "text with \x00 and ü",
	"empty":   "",
	"bytes":   []byte{0, 1, 255},
	"time":    time.Unix(1700000000, 0),
	"table":   amqp.Table{"deep": amqp.Table{"n": int64(1)}, "none": amqp.Table{}},
	"array":   []any{int32(1), "two", amqp.Table{"three": int64(3)}, []any{}},
	"void":    nil,
}

// headersSurvive looks at what a broker passes on as it came, and at what it has read and written anew.
func headersSurvive(c *client) {
	ch := c.channel()
	ch.queue()
	ch.queueNamed(c.other("dying"), "x-message-ttl", 1, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", c.name)
	ch.send("", c.name, amqp.Publishing{Headers: everyType})
	if diff := cmp.Diff(everyType, ch.get(c.name).Headers, cmpopts.EquateEmpty()); diff != "" {
		c.Errorf("headers (-want +got):\n%s", diff)
	}
	ch.send("", c.other("dying"), amqp.Publishing{Headers: everyType})
	got := ch.get(c.name).Headers
	for _, added := range []string{"x-death", "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason",
		"x-last-death-exchange", "x-last-death-queue", "x-last-death-reason"} {
		delete(got, added)
	}
	if diff := cmp.Diff(everyType, got, cmpopts.EquateEmpty()); diff != "" {
		c.Errorf("headers of a dead letter (-want +got):\n%s", diff)
	}
}

func trueUser(c *client) {
	ch := c.channel()
	ch.queue()
	ch.send("", c.name, amqp.Publishing{UserId: "guest"})
	if got := ch.get(c.name).UserId; got != "guest" {
		c.Errorf("user_id %q", got)
	}
}

func bodySizes(c *client) {
	ch := c.channel()
	ch.queue()
	for _, size := range []int{0, 1, 131072 - 8, 131072 - 7, 2 * (131072 - 8), 1 << 20} {
		body := bytes.Repeat([]byte{0xCE}, size) // the end octet of frames
		ch.send("", c.name, amqp.Publishing{Body: body})
		if got := ch.get(c.name).Body; !bytes.Equal(got, body) {
			c.Errorf("got %d octets, want %d", len(got), size)
		}
	}
}

func getMessage(c *client) {
	ch := c.channel()
	ch.queue()
	ch.publish(c.name, "1", "2", "3")
	ch.awaitReady(c.name, 3)
	for i, body := range []string{"1", "2", "3"} {
		m, ok, err := ch.Get(c.name, false)
		c.ok(err)
		if !ok || show(m) != body || m.DeliveryTag != uint64(i+1) || m.MessageCount != uint32(2-i) || m.ConsumerTag != "" {
			c.Errorf("got %t, %s, tag %d of consumer %q with %d left", ok, show(m), m.DeliveryTag, m.ConsumerTag, m.MessageCount)
		}
	}
}

func getNothing(c *client) {
	ch := c.channel()
	ch.queue()
	if _, ok, err := ch.Get(c.name, false); ok || err != nil {
		c.Errorf("got %t: %v", ok, err)
	}
	ch.publish(c.name, "1")
	if got := ch.get(c.name).DeliveryTag; got != 1 {
		c.Errorf("tag %d, want 1", got)
	}
}

// returning publishes with the mandatory flag in confirm mode and waits for the confirmation. What was
// returned then is in the channel, since the broker returns first.
func (ch *channel) returning(key string, message amqp.Publishing) (returned chan amqp.Return) {
	c := ch.c
	c.ok(ch.Confirm(false))
	returned = ch.NotifyReturn(make(chan amqp.Return, 1))
	confirmed, err := ch.PublishWithDeferredConfirmWithContext(c.Context(), "amq.direct", key, true, false, message)
	c.ok(err)
	await(c, "the confirmation", confirmed.Done())
	if !confirmed.Acked() {
		c.Error("it was not acknowledged")
	}
	return returned
}

func mandatoryRoutable(c *client) {
	ch := c.channel()
	ch.queue()
	ch.bind(c.name, c.name, "amq.direct")
	if returned := ch.returning(c.name, amqp.Publishing{Body: []byte("1")}); len(returned) > 0 {
		c.Errorf("returned %+v", <-returned)
	}
	ch.wantQueue(c.name, "1")
}

func mandatoryUnroutable(c *client) {
	returned := c.channel().returning(c.name, amqp.Publishing{
		MessageId: "m", Priority: 3, Headers: amqp.Table{"h": "v"}, Body: []byte("nowhere"),
	})
	if len(returned) == 0 {
		c.Fatal("it was not returned before it was confirmed")
	}
	want := amqp.Return{
		ReplyCode: 312, ReplyText: "NO_ROUTE", Exchange: "amq.direct", RoutingKey: c.name,
		MessageId: "m", Priority: 3, Headers: amqp.Table{"h": "v"}, Body: []byte("nowhere"),
	}
	if diff := cmp.Diff(want, <-returned); diff != "" {
		c.Errorf("return (-want +got):\n%s", diff)
	}
}
