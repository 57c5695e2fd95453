package brokertest_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/internal/versions"
)

// What a publisher goes by when one of its messages costs the channel, or is not confirmed for long.
var publisherScenarios = slices.Concat(
	slices.Collect(func(yield func(scenario) bool) {
		for _, bad := range badMessages {
			yield(scenario{"behind and before: " + bad.name, func(c *client) { bad.run(c, "guest") }})
		}
	}),
	[]scenario{
		{"a message comes back before it is confirmed", returnsFirst},
		{"a prefetch is set behind a message", qosBehind},
		{"a header is a number that is none", notANumber},
		{"a header announces a huge body", hugeBody},
		{"a message that cannot be delivered", deadlyMessage},
	},
)

// badMessage costs the channel that it is published on.
type badMessage struct {
	name   string
	code   uint16
	text   string // {name} is the scenario's
	before func(*channel)
	send   func(p *publisher)
}

var badMessages = []badMessage{
	{"missing exchange", 404, "NOT_FOUND - no exchange '{name}' in vhost '/'", nil,
		func(p *publisher) { p.publish(p.name, "bad", 0) }},
	{"internal exchange", 403, "ACCESS_REFUSED - cannot publish to internal exchange '{name}' in vhost '/'",
		func(ch *channel) {
			c := ch.c
			c.ok(ch.ExchangeDeclare(c.name, "fanout", false, false, true, false, nil))
			c.Cleanup(func() { c.channel().ExchangeDelete(c.name, false, false) })
		},
		func(p *publisher) { p.publish(p.name, "bad", 0) }},
	{"user_id of another", 406, "PRECONDITION_FAILED - user_id property set to 'other' but authenticated user was 'guest'", nil,
		func(p *publisher) { p.publish("", "bad", userID, "other") }},
	{"expiration that is no number", 406, "PRECONDITION_FAILED - invalid expiration 'soon': no_integer", nil,
		func(p *publisher) { p.publish("", "bad", expiration, "soon") }},
}

// The flags of properties.
const expiration, userID = uint16(1 << 8), uint16(1 << 4)

// run publishes two messages, the bad one, one behind it, and asks for a prefetch. Of these the first two are in the
// queue, confirmed or not; nothing else comes of them, and the prefetch is not answered.
func (b badMessage) run(c *client, user string) {
	observer := c.channel()
	q := observer.durable(c.name)
	if b.before != nil {
		b.before(observer)
	}
	p := c.publisher(user, q)
	p.publish("", "1", 0)
	p.publish("", "2", 0)
	b.send(p)
	p.publish("", "behind", 0)
	p.qos()
	p.flush()
	confirmed := p.confirms()
	confirmed.closed(b.code, strings.ReplaceAll(b.text, "{name}", c.name))
	for tag := range confirmed.acked {
		if tag > 2 {
			c.Errorf("%d is confirmed", tag)
		}
	}
	observer.wantQueue(q, "1", "2")

	p.publish("", "3", 0) // what is confirmed before the bad one comes was accepted
	p.flush()
	confirmed = p.confirms()
	confirmed.want(1)
	b.send(p)
	p.qos()
	p.flush()
	confirmed.closed(b.code, strings.ReplaceAll(b.text, "{name}", c.name))
	observer.wantQueue(q, "3")
}

// qosBehind is answered whether or not the message before it is confirmed yet, if only it was accepted.
func qosBehind(c *client) {
	observer := c.channel()
	q := observer.durable(c.name, "x-queue-type", "quorum")
	p := c.publisher("guest", q)
	confirmed := p.confirms()
	for n := range uint64(20) {
		p.publish("", fmt.Sprint(n), 0)
		p.qos()
		p.flush()
		confirmed.until(60, 11)
	}
	for len(confirmed.acked) < 20 {
		f, err := p.next()
		c.ok(err)
		if !confirmed.take(f) {
			c.Fatalf("got %v, want a confirm", f)
		}
	}
	observer.awaitReady(q, 20)
}

// returnsFirst has every fifth of many messages come back, while others are confirmed together.
func returnsFirst(c *client) {
	const count = 500
	observer := c.channel()
	q := observer.durable(c.name)
	p := c.publisher("guest", q)
	for tag := uint64(1); tag <= count; tag++ {
		key := q
		if tag%5 == 0 {
			key = c.other("nobody's")
		}
		p.message("", key, 1, fmt.Sprint(tag), 0)
	}
	p.flush()
	confirmed, returned := p.confirms(), make(map[uint64]bool)
	for len(confirmed.acked) < count {
		f, err := p.next()
		c.ok(err)
		switch {
		case confirmed.take(f):
			for tag := range confirmed.acked {
				if tag%5 == 0 && !returned[tag] {
					c.Fatalf("%d is confirmed and has not come back", tag)
				}
			}
		case f.is(60, 50):
			if _, err := p.next(); err != nil { // its header
				c.Fatal(err)
			}
			body, err := p.next()
			c.ok(err)
			var tag uint64
			fmt.Sscan(string(body.payload), &tag)
			returned[tag] = true
		default:
			c.Fatalf("got %v", f)
		}
	}
	if len(returned) != count/5 {
		c.Errorf("%d came back", len(returned))
	}
	c.Logf("%d frames confirmed several", confirmed.multi)
}

// forbidden may publish to a queue, and not to an exchange.
func forbidden(c *client) {
	x := c.channel().exchange("fanout")
	user := c.other("user")
	c.server.AddUser(c, user)
	c.server.Grant(c, user, "/", brokertest.Permissions{Write: "^amq[.]default$"})
	access := "access to"
	if c.has(versions.NamesAccess) {
		access = "write access to"
	}
	badMessage{"", 403, "ACCESS_REFUSED - " + access + " exchange '{name}' in vhost '/' refused for user '" + user + "'", nil,
		func(p *publisher) { p.publish(x, "bad", 0) }}.run(c, user)
}

// hugeBody is refused at its header, or not before it has come.
func hugeBody(c *client) {
	const most = 512 << 20
	w := c.wire()
	w.open(2047, 131072, 0)
	w.openChannel(1)
	w.openChannel(2)
	w.publish()
	w.send(header(1, 60, most+1))
	if c.has(versions.RefusesHuge) {
		w.wantClose(501, fmt.Sprintf("FRAME_ERROR - content body size %d exceeds maximum allowed size %d", most+1, most), [2]uint16{60, 40})
		return
	}
	w.send(frame(frameBody, 1, octets("x")))
	w.method(2, 60, 10, uint32(0), uint16(1), byte(0))
	w.want(60, 11)
}

// tooLarge is published when the broker's maximum is 1000 bytes. The broker tells when the body has come.
func tooLarge(c *client) {
	const most = 1000
	c.server = c.server.Limited(c, most)
	bad := badMessage{"", 406, fmt.Sprintf("PRECONDITION_FAILED - message size %d is larger than configured max size %d", most+1, most), nil,
		func(p *publisher) { p.publish("", strings.Repeat("x", most+1), 0) }}
	bad.run(c, "guest")

	c.name = c.other("parts")
	q := c.channel().durable(c.name)
	p := c.publisher("guest", q)
	p.publish("", strings.Repeat("x", most), 0)
	p.flush()
	p.confirms().want(1)
	p.openChannel(2)
	p.message("", q, 0, "", 0)
	begin, _, _ := bytes.Cut(p.out, frame(frameHeader, 1, uint16(60), uint16(0), uint64(0), uint16(0)))
	p.send(begin)
	p.send(header(1, 60, most+1))
	for _, size := range []int{most / 2, most / 2, 1} {
		p.method(2, 60, 10, uint32(0), uint16(1), byte(0))
		p.want(60, 11) // and nothing else so far
		p.send(frame(frameBody, 1, octets(make([]byte, size))))
	}
	p.out = nil
	p.confirms().closed(bad.code, bad.text)
	c.channel().awaitReady(q, 1)
}

// withheld are the confirms of one queue; those of another go on, and a prefetch is set. What is not confirmed when its
// channel is closed never is, though it is in its queue.
func withheld(c *client) {
	observer := c.channel()
	slow, fast := observer.durable(c.name), observer.durable(c.other("fast"))
	p := c.publisher("guest", slow)
	held := false
	release := func() {
		if held {
			held = false
			c.server.Release(c, slow)
		}
	}
	c.Cleanup(release)
	hold := func() {
		c.server.Withhold(c, slow)
		held = true
	}
	hold()
	for _, queue := range []string{slow, fast, slow, fast, fast} {
		p.message("", queue, 0, "1", 0)
	}
	p.qos()
	p.flush()
	confirmed := p.confirms()
	confirmed.until(60, 11)
	confirmed.want(2, 4, 5)
	p.qos()
	p.flush()
	confirmed.until(60, 11)
	confirmed.want(2, 4, 5)
	release()
	confirmed.want(1, 2, 3, 4, 5)
	observer.wantQueue(slow, "1", "1")
	observer.wantQueue(fast, "1", "1", "1")

	hold()
	p.publish("", "2", 0)
	p.qos()
	p.publish(c.other("missing"), "bad", 0)
	p.publish("", "behind", 0)
	p.qos()
	p.flush()
	confirmed = p.confirms()
	confirmed.until(60, 11)
	confirmed.closed(404, "NOT_FOUND - no exchange '"+c.other("missing")+"' in vhost '/'")
	confirmed.want()
	release()
	observer.wantQueue(slow, "2")
	p.qos()
	p.flush()
	confirmed = p.confirms()
	confirmed.until(60, 11)
	confirmed.want() // no confirm of the channel before
	p.publish("", "3", 0)
	p.flush()
	confirmed = p.confirms()
	confirmed.want(1)
	observer.wantQueue(slow, "3")
}

// notANumber: RabbitMQ has no form for such a number, wherever it is.
func notANumber(c *client) {
	observer := c.channel()
	q := observer.durable(c.name)
	for _, header := range []any{math.NaN(), float32(math.Inf(1)), []any{amqp.Table{"deep": math.Inf(-1)}}} {
		ch := c.dial(amqp.Config{}).channel()
		ch.publish(q, "1")
		c.ok(ch.PublishWithContext(c.Context(), "", q, false, false, amqp.Publishing{Headers: amqp.Table{"n": header}}))
		ch.wantClosed(541, "INTERNAL_ERROR")
	}
	observer.wantQueue(q, "1", "1", "1")
}
