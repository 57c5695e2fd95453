package brokertest_test

import (
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"
)

const alternate = "alternate-exchange"

var alternateScenarios = slices.Concat(
	[]scenario{
		{"alternate exchange takes what no binding takes", alternateTakes},
		{"alternate exchange and mandatory", alternateMandatory},
		{"alternate exchange that is missing", alternateMissing},
		{"alternate exchange of an alternate exchange", alternateChain},
		{"alternate exchange behind a binding to an exchange", alternateBehind},
		{"alternate exchange that is the default exchange", alternateDefault},
		{"alternate exchange that is internal", alternateInternal},
		{"alternate exchange of a dead-letter exchange", alternateOfLetters},
		{"alternate exchange is declared twice", alternateTwice},
	},
	refusals(
		refused("alternate exchange of another name", 406, exchangeDiffers+alternate+"' for exchange '{name}' in vhost '/': received 'b' but current is 'a'",
			func(ch *channel) { ch.exchange("direct", alternate, "a"); ch.redeclareWith(alternate, "b") }),
		refused("alternate exchange given up", 406, exchangeDiffers+alternate+"' for exchange '{name}' in vhost '/': received none but current is the value 'a' of type 'longstr'",
			func(ch *channel) { ch.exchange("direct", alternate, "a"); ch.redeclareWith() }),
		refused("alternate exchange added", 406, exchangeDiffers+alternate+"' for exchange '{name}' in vhost '/': received the value 'a' of type 'longstr' but current is none",
			func(ch *channel) { ch.exchange("direct"); ch.redeclareWith(alternate, "a") }),
		refused("alternate exchange that is a number", 406, "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange '{name}' in vhost '/'",
			func(ch *channel) { ch.redeclareWith(alternate, int32(1)) }),
		refused("alternate exchange that is nothing", 406, "PRECONDITION_FAILED - invalid type 'void' for arg 'alternate-exchange' in exchange '{name}' in vhost '/'",
			func(ch *channel) { ch.redeclareWith(alternate, nil) }),
		refused("alternate exchange and another kind", 406, exchangeDiffers+"type' for exchange '{name}' in vhost '/': received 'direct' but current is 'topic'",
			func(ch *channel) { ch.exchange("topic", alternate, "a"); ch.redeclareWith(alternate, "b") }),
	),
)

// redeclareWith declares a direct exchange with the scenario's name; it is expected to fail.
func (ch *channel) redeclareWith(args ...any) {
	ch.ExchangeDeclare(ch.c.name, "direct", false, false, false, false, arguments(args))
}

// other declares another of the scenario's exchanges.
func (ch *channel) otherExchange(suffix, kind string, args ...any) string {
	return ch.exchangeNamed(ch.c.other(suffix), kind, args...)
}

// routed publishes with the mandatory flag, and tells whether the message came back.
func (ch *channel) routed(exchange, key, body string) bool {
	c := ch.c
	c.Helper()
	publisher := ch.connection.channel()
	defer publisher.Close()
	returned := publisher.NotifyReturn(make(chan amqp.Return, 1))
	c.ok(publisher.Confirm(false))
	confirmed, err := publisher.PublishWithDeferredConfirmWithContext(c.Context(), exchange, key, true, false, amqp.Publishing{Body: []byte(body)})
	c.ok(err)
	await(c, "the confirmation", confirmed.Done())
	if !confirmed.Acked() {
		c.Error("nacked, want an ack")
	}
	if len(returned) == 0 {
		return true
	}
	if r := <-returned; r.Exchange != exchange || r.RoutingKey != key || r.ReplyCode != amqp.NoRoute || r.ReplyText != "NO_ROUTE" {
		c.Errorf("returned %+v", r)
	}
	return false
}

func (ch *channel) wantRouted(exchange, key, body string) {
	ch.c.Helper()
	if !ch.routed(exchange, key, body) {
		ch.c.Errorf("%s came back", body)
	}
}

func (ch *channel) wantReturned(exchange, key, body string) {
	ch.c.Helper()
	if ch.routed(exchange, key, body) {
		ch.c.Errorf("%s did not come back", body)
	}
}

// alternateTakes has two queues: one that is bound, and one behind the alternate exchange.
func alternateTakes(c *client) {
	ch := c.channel()
	x := ch.exchange("direct", alternate, ch.otherExchange("else", "fanout"))
	bound, rest := ch.queue(), ch.queueNamed(c.other("rest"))
	ch.bind(bound, "k", x)
	ch.bind(rest, "", c.other("else"))
	ch.send(x, "k", amqp.Publishing{Body: []byte("1")})
	ch.send(x, "l", amqp.Publishing{Body: []byte("2")})
	if got := ch.get(rest); show(got) != "2" || got.Exchange != x || got.RoutingKey != "l" {
		c.Errorf("got %s of %s with %s", show(got), got.Exchange, got.RoutingKey)
	}
	ch.wantQueue(rest)
	c.ok(ch.QueueUnbind(bound, "k", x, nil))
	ch.send(x, "k", amqp.Publishing{Body: []byte("3")})
	ch.wantQueue(bound, "1")
	ch.wantQueue(rest, "3")
}

// alternateMandatory: what a queue gets is routed, whatever the way; what reaches an exchange only is not.
func alternateMandatory(c *client) {
	ch := c.channel()
	x := ch.exchange("direct", alternate, ch.otherExchange("else", "topic"))
	q := ch.queue()
	ch.wantReturned(x, "a", "1")
	ch.bind(q, "a", c.other("else"))
	ch.wantRouted(x, "a", "2")
	ch.wantReturned(x, "b", "3")
	c.ok(ch.ExchangeDelete(c.other("else"), false, false))
	ch.wantReturned(x, "a", "4")
	ch.wantQueue(q, "2")
}

// alternateMissing need not be there, and counts from when it is.
func alternateMissing(c *client) {
	ch := c.channel()
	x := ch.exchange("direct", alternate, c.other("else"))
	ch.wantReturned(x, "k", "1")
	ch.bind(ch.queue(), "", ch.otherExchange("else", "fanout"))
	ch.wantRouted(x, "k", "2")
	ch.wantQueue(c.name, "2")
}

// alternateChain ends where it began.
func alternateChain(c *client) {
	ch := c.channel()
	a := ch.exchange("direct", alternate, c.other("b"))
	b := ch.otherExchange("b", "direct", alternate, c.other("c"))
	ch.otherExchange("c", "direct", alternate, a)
	q := ch.queue()
	ch.wantReturned(a, "k", "1")
	ch.bind(q, "k", c.other("c"))
	ch.wantRouted(a, "k", "2")
	ch.wantRouted(b, "k", "3")
	ch.bind(q, "l", a)
	ch.wantRouted(b, "l", "4")
	ch.wantQueue(q, "2", "3", "4")
}

// alternateBehind: an exchange that is bound takes the message, even if it leads nowhere; its own alternate exchange is
// asked then.
func alternateBehind(c *client) {
	ch := c.channel()
	x := ch.exchange("direct", alternate, ch.otherExchange("else", "fanout"))
	q := ch.queue()
	ch.bind(q, "", c.other("else"))
	bound := ch.otherExchange("bound", "direct", alternate, c.other("its"))
	c.ok(ch.ExchangeBind(bound, "k", x, false, nil))
	ch.wantReturned(x, "k", "1")
	ch.bind(q, "", ch.otherExchange("its", "fanout"))
	ch.wantRouted(x, "k", "2")
	ch.wantRouted(x, "l", "3")
	ch.wantQueue(q, "2", "3")
}

// alternateDefault leads nowhere: the default exchange has no bindings.
func alternateDefault(c *client) {
	ch := c.channel()
	x := ch.exchange("fanout", alternate, "")
	q := ch.queue()
	ch.wantReturned(x, q, "1")
	ch.wantQueue(q)
}

// alternateInternal may be no client's to publish to.
func alternateInternal(c *client) {
	ch := c.channel()
	x, inner := ch.exchange("direct", alternate, c.other("inner")), c.other("inner")
	c.ok(ch.ExchangeDeclare(inner, "fanout", false, false, true, false, nil))
	c.Cleanup(func() { c.channel().ExchangeDelete(inner, false, false) })
	ch.bind(ch.queue(), "", inner)
	ch.wantRouted(x, "k", "1")
	ch.wantQueue(c.name, "1")
}

func alternateOfLetters(c *client) {
	ch := c.channel()
	x := ch.exchange("direct", alternate, ch.otherExchange("else", "fanout"))
	dead := ch.queueNamed(c.other("dead"))
	ch.bind(dead, "", c.other("else"))
	ch.queue("x-message-ttl", 1, "x-dead-letter-exchange", x)
	ch.publish(c.name, "1")
	ch.wantQueue(dead, "1")
}

func alternateTwice(c *client) {
	ch := c.channel()
	for range 2 {
		ch.exchange("direct", alternate, c.other("else"))
	}
	c.ok(ch.ExchangeDeclarePassive(c.name, "direct", false, false, false, false, nil))
}
