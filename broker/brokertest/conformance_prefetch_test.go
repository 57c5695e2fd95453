package brokertest_test

import (
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

var prefetchScenarios = slices.Concat(
	[]scenario{
		{"prefetch is honoured", prefetchHonoured},
		{"prefetch 0 is no limit", prefetchNone},
		{"prefetch is of a consumer", prefetchPerConsumer},
		{"prefetch changes for later consumers", prefetchLater},
		{"prefetch of a channel", prefetchGlobal},
		{"prefetch of a channel changes at once", prefetchGlobalChanges},
		{"prefetch of a channel starves no queue", prefetchGlobalTurns},
		{"prefetch of a channel holds consumers without acknowledgements", prefetchGlobalNoAck},
		{"prefetch does not count gets", prefetchAndGet},
		{"prefetch of the cancelled counts no more", prefetchAfterCancel},
		{"a full consumer leaves it to the other", fullConsumer},
		{"a backlog fills one consumer, then the next", backlogOfTwo},
		{"consumer priority", priorities},
	},
	refusals(
		refused("prefetch_size", 540, "NOT_IMPLEMENTED - prefetch_size!=0 (10)", func(ch *channel) { ch.Qos(0, 10, false) }),
	),
)

// consuming has a queue with a consumer of this prefetch, and messages 1 to 9 in it.
func (c *client) consuming(prefetch int) (*channel, *consumer) {
	c.Helper()
	ch := c.channel()
	ch.queue()
	ch.prefetch(prefetch)
	consumer := ch.consume(c.name, consuming{tag: "tag"})
	c.channel().publish(c.name, "1", "2", "3", "4", "5", "6", "7", "8", "9")
	return ch, consumer
}

func prefetchHonoured(c *client) {
	ch, consumer := c.consuming(2)
	last := consumer.want("1", "2")
	ch.awaitReady(c.name, 7)
	c.ok(last.Ack(false))
	last = consumer.want("3")
	ch.awaitReady(c.name, 6)
	c.ok(last.Ack(true)) // frees two
	last = consumer.want("4", "5")
	ch.awaitReady(c.name, 4)
	c.ok(last.Reject(false))
	last = consumer.want("6")
	c.ok(last.Nack(true, false))
	consumer.want("7", "8")
	ch.awaitReady(c.name, 1)
}

func prefetchNone(c *client) {
	_, consumer := c.consuming(0)
	consumer.want("1", "2", "3", "4", "5", "6", "7", "8", "9")
}

func prefetchPerConsumer(c *client) {
	ch := c.channel()
	ch.queue()
	ch.prefetch(2)
	a, b := ch.consume(c.name, consuming{}), ch.consume(c.name, consuming{})
	ch.publish(c.name, "1", "2", "3", "4", "5")
	a.want("1", "3")
	b.want("2", "4")
	ch.awaitReady(c.name, 1)
}

func prefetchLater(c *client) {
	ch, first := c.consuming(1)
	held := first.want("1")
	ch.prefetch(3)
	second := ch.consume(c.name, consuming{})
	second.want("2", "3", "4")
	ch.awaitReady(c.name, 5)
	c.ok(held.Ack(false))
	first.want("5") // still one
	ch.awaitReady(c.name, 4)
}

func prefetchGlobal(c *client) {
	ch := c.channel()
	ch.queue()
	c.ok(ch.Qos(3, 0, true))
	a, b := ch.consume(c.name, consuming{}), ch.consume(c.name, consuming{})
	ch.publish(c.name, "1", "2", "3", "4", "5")
	if c.has(versions.QosPerConsumer) {
		a.want("1", "3", "5")
		b.want("2", "4")
		return
	}
	a.want("1", "3")
	last := b.want("2")
	ch.awaitReady(c.name, 2)
	c.ok(last.Ack(false))
	ch.awaitReady(c.name, 1)
}

func prefetchGlobalChanges(c *client) {
	ch := c.channel()
	ch.queue()
	c.ok(ch.Qos(1, 0, true))
	consumer := ch.consume(c.name, consuming{})
	ch.publish(c.name, "1", "2", "3", "4", "5")
	consumer.want("1")
	ch.awaitReady(c.name, 4)
	c.ok(ch.Qos(3, 0, true))
	if c.has(versions.QosPerConsumer) {
		ch.consume(c.name, consuming{}).want("2", "3", "4") // it is the later consumers'
		ch.awaitReady(c.name, 1)
		return
	}
	consumer.want("2", "3")
	ch.awaitReady(c.name, 2)
	c.ok(ch.Qos(0, 0, true))
	consumer.want("4", "5")
}

func prefetchAndGet(c *client) {
	ch := c.channel()
	ch.queue()
	ch.publish(c.name, "1", "2", "3", "4")
	ch.prefetch(1)
	ch.get(c.name)
	ch.get(c.name)
	consumer := ch.consume(c.name, consuming{})
	consumer.want("3")
	ch.awaitReady(c.name, 1)
}

func prefetchAfterCancel(c *client) {
	ch, first := c.consuming(2)
	first.want("1", "2")
	c.ok(ch.Cancel("tag", false))
	ch.consume(c.name, consuming{}).want("3", "4")
	ch.awaitReady(c.name, 5)
}

func fullConsumer(c *client) {
	a, b, ofA, ofB := c.pair(1, "1", "2", "3", "4")
	held := ofA.want("1")
	ofB.want("2")
	a.awaitReady(c.name, 2)
	c.ok(held.Ack(false))
	held = ofA.want("3")
	c.ok(held.Ack(false))
	ofA.want("4")
	c.ok(b.Close())
	a.awaitReady(c.name, 1)
}

func backlogOfTwo(c *client) {
	ch, a := c.channel(), c.channel()
	ch.queue()
	ch.publish(c.name, "1", "2", "3", "4", "5", "6")
	ch.awaitReady(c.name, 6)
	a.prefetch(2)
	first := a.consume(c.name, consuming{})
	first.want("1", "2")
	second := a.consume(c.name, consuming{})
	second.want("3", "4")
	ch.awaitReady(c.name, 2)
}

func priorities(c *client) {
	low, high := c.channel(), c.channel()
	low.queue()
	low.prefetch(2)
	high.prefetch(2)
	ofLow := low.consume(c.name, consuming{})
	ofHigh := high.consume(c.name, consuming{arguments: amqp.Table{"x-priority": 5}})
	c.channel().publish(c.name, "1", "2", "3", "4", "5", "6")
	held := ofHigh.want("1", "2")
	ofLow.want("3", "4")
	low.awaitReady(c.name, 2)
	c.ok(held.Ack(false))
	ofHigh.want("5")
	low.awaitReady(c.name, 1)
}

// prefetchGlobalTurns has two queues with a backlog and room for one message at a time.
func prefetchGlobalTurns(c *client) {
	ch := c.channel()
	a, b := ch.queueNamed(c.other("a")), ch.queueNamed(c.other("b"))
	for range 50 {
		ch.publish(a, "a")
		ch.publish(b, "b")
	}
	c.ok(ch.Qos(1, 0, true))
	ofA, ofB := ch.consume(a, consuming{}), ch.consume(b, consuming{})
	seen := make(map[string]int)
	for range 50 { // RabbitMQ draws lots; it does not draw the same one so often
		var d amqp.Delivery
		select {
		case d = <-ofA.deliveries:
		case d = <-ofB.deliveries:
		case <-time.After(moment):
			c.Fatal("no delivery")
		}
		seen[string(d.Body)]++
		c.ok(d.Ack(false))
	}
	if seen["a"] == 0 || seen["b"] == 0 {
		c.Errorf("a queue starves: %v", seen)
	}
}

func prefetchGlobalNoAck(c *client) {
	ch := c.channel()
	a, b := ch.queueNamed(c.other("a")), ch.queueNamed(c.other("b"))
	c.ok(ch.Qos(2, 0, true))
	ofB := ch.consume(b, consuming{noAck: true})
	ch.publish(b, "1", "2", "3")
	ofB.want("1", "2", "3") // they count for nothing
	ofA := ch.consume(a, consuming{})
	ch.publish(a, "4", "5")
	last := ofA.want("4", "5")
	ch.publish(b, "6", "7")
	if c.has(versions.QosPerConsumer) {
		ofB.want("6", "7")
		return
	}
	ch.awaitReady(b, 2)
	c.ok(last.Ack(false))
	ofB.want("6", "7")
}
