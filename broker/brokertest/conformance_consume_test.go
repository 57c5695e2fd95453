package brokertest_test

import (
	"regexp"
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/rabbittest"
)

const exclusiveUse = "ACCESS_REFUSED - queue '{name}' in vhost '/' in exclusive use"

var consumeScenarios = slices.Concat(
	[]scenario{
		{"deliveries are numbered by channel", deliveryTags},
		{"consumer tag of the broker's making", madeTag},
		{"one tag on two channels", oneTagTwice},
		{"consumer takes what was there before", backlog},
		{"consumer without acknowledgements", noAckConsumer},
		{"two consumers take turns", turns},
		{"one consumer of two ends", consumerLeaves},
		{"exclusive consumer leaves the queue to others", exclusiveLeaves},
		{"client cancels", clientCancels},
		{"client cancels what it has not", cancelUnknown},
		{"queue deleted under its consumers", queueDeleted},
		{"queue deleted under a consumer that cannot be told", queueDeletedUntold},
		{"consume with nowait", consumeNoWait},
		{"get beside an exclusive consumer", getBesideExclusive},
	},
	refusals(
		refused("consumer tag twice", 530, "NOT_ALLOWED - attempt to reuse consumer tag 'tag'", func(ch *channel) {
			ch.consume(ch.queue(), consuming{tag: "tag"})
			ch.Consume(ch.c.name, "tag", false, false, false, false, nil)
		}),
		refused("exclusive consumer after another", 403, exclusiveUse, func(ch *channel) {
			ch.consume(ch.queue(), consuming{})
			ch.Consume(ch.c.name, "", false, true, false, false, nil)
		}),
		refused("consumer after an exclusive one", 403, exclusiveUse, func(ch *channel) {
			ch.consume(ch.queue(), consuming{exclusive: true})
			ch.Consume(ch.c.name, "", false, false, false, false, nil)
		}),
		refused("exclusive consumer of a single-active queue", 403, exclusiveUse, func(ch *channel) {
			ch.queue("x-single-active-consumer", true)
			ch.Consume(ch.c.name, "", false, true, false, false, nil)
		}),
		refused("consumer priority text", 406, invalidArgument+"x-priority"+ofThisQueue+`"expected integer, got longstr"`, func(ch *channel) {
			ch.Consume(ch.queue(), "", false, false, false, false, amqp.Table{"x-priority": "high"})
		}),
	),
)

func deliveryTags(c *client) {
	ch := c.channel()
	ch.queue()
	ch.queueNamed(c.other("second"))
	consumer := ch.consume(c.name, consuming{})
	for tag, queue := range []string{c.name, c.other("second"), c.name} {
		ch.publish(queue, "x")
		var got amqp.Delivery
		if queue == c.name {
			got = consumer.want("x")
		} else {
			got = ch.get(queue)
		}
		if got.DeliveryTag != uint64(tag+1) {
			c.Errorf("tag %d, want %d", got.DeliveryTag, tag+1)
		}
	}
}

func madeTag(c *client) {
	w := c.wire()
	w.open(2047, 131072, 0)
	w.openChannel(1)
	w.method(1, 50, 10, uint16(0), c.name, byte(4), uint32(0)) // exclusive
	w.want(50, 11)
	w.method(1, 60, 20, uint16(0), c.name, "", byte(0), uint32(0))
	tag := w.want(60, 21).payload[5:]
	if !regexp.MustCompile(`^amq\.ctag-[-_A-Za-z0-9]{22}$`).Match(tag) {
		c.Errorf("tag %q", tag)
	}
}

func oneTagTwice(c *client) {
	a, b := c.channel(), c.channel()
	a.queue()
	first, second := a.consume(c.name, consuming{tag: "tag"}), b.consume(c.name, consuming{tag: "tag"})
	a.publish(c.name, "1", "2")
	first.want("1")
	second.want("2")
}

func backlog(c *client) {
	ch := c.channel()
	ch.queue()
	ch.publish(c.name, "1", "2", "3")
	consumer := ch.consume(c.name, consuming{})
	ch.publish(c.name, "4")
	consumer.want("1", "2", "3", "4")
}

func noAckConsumer(c *client) {
	a, b := c.dial(amqp.Config{}).channel(), c.channel()
	b.durable(c.name)
	a.prefetch(1) // means nothing to it
	consumer := a.consume(c.name, consuming{noAck: true})
	b.publish(c.name, "1", "2", "3", "4")
	consumer.want("1", "2", "3", "4")
	c.ok(a.connection.Close())
	b.publish(c.name, "5")
	b.wantQueue(c.name, "5") // nothing came back
}

// pair is two consumers of the scenario's queue, each with a channel of its own, and a channel that published to it.
func (c *client) pair(prefetch int, bodies ...string) (a, b *channel, ofA, ofB *consumer) {
	c.Helper()
	a, b = c.channel(), c.channel()
	a.queue()
	a.prefetch(prefetch)
	b.prefetch(prefetch)
	ofA, ofB = a.consume(c.name, consuming{tag: "a"}), b.consume(c.name, consuming{tag: "b"})
	c.channel().publish(c.name, bodies...)
	return a, b, ofA, ofB
}

func turns(c *client) {
	_, _, ofA, ofB := c.pair(10, "1", "2", "3", "4", "5", "6", "7")
	ofA.want("1", "3", "5", "7")
	ofB.want("2", "4", "6")
	c.channel().publish(c.name, "8", "9")
	ofB.want("8")
	ofA.want("9")
}

func consumerLeaves(c *client) {
	a, _, ofA, ofB := c.pair(10, "1", "2", "3")
	ofA.want("1", "3")
	ofB.want("2")
	c.ok(a.Cancel("a", false))
	c.channel().publish(c.name, "4", "5")
	ofA.wantEnd()
	ofB.want("4", "5")
	c.ok(a.Close()) // what it held goes to the other
	ofB.want("1R", "3R")
}

func exclusiveLeaves(c *client) {
	a, b := c.channel(), c.channel()
	a.queue()
	a.consume(c.name, consuming{exclusive: true})
	c.ok(a.Close())
	rabbittest.Eventually(c, moment, "the queue can be consumed", func() bool {
		_, err := b.Consume(c.name, "", false, true, false, false, nil)
		if err != nil {
			b = c.channel()
		}
		return err == nil
	})
}

func clientCancels(c *client) {
	ch := c.channel()
	ch.queue()
	ch.prefetch(2)
	consumer := ch.consume(c.name, consuming{tag: "tag"})
	ch.publish(c.name, "1", "2", "3")
	held := consumer.want("1", "2")
	c.ok(ch.Cancel("tag", false))
	consumer.wantEnd()
	if got := ch.ready(c.name); got != 1 {
		c.Errorf("%d ready, want what the consumer held to stay with the channel", got)
	}
	c.ok(held.Ack(false)) // 2
	ch.sync()
	c.ok(ch.Close())
	c.channel().wantQueue(c.name, "1R", "3")
}

func cancelUnknown(c *client) {
	ch := c.channel()
	c.ok(ch.Cancel("never heard of", false))
	ch.sync()
}

func queueDeleted(c *client) {
	ch, other := c.channel(), c.channel()
	ch.queue()
	cancels := ch.NotifyCancel(make(chan string, 2))
	consumer := ch.consume(c.name, consuming{tag: "tag"})
	other.publish(c.name, "1", "2")
	held := consumer.want("1", "2")
	_, err := other.QueueDelete(c.name, false, false, false)
	c.ok(err)
	if tag, _ := await(c, "basic.cancel", cancels); tag != "tag" {
		c.Errorf("cancelled %q", tag)
	}
	consumer.wantEnd()
	c.ok(held.Ack(true)) // of a queue that is gone
	ch.sync()
	ch.queue()
	again := ch.consume(c.name, consuming{tag: "tag"})
	ch.publish(c.name, "3")
	again.want("3")
}

// queueDeletedUntold has a client without the capability consumer_cancel_notify.
func queueDeletedUntold(c *client) {
	w := c.wire()
	w.open(2047, 131072, 0)
	w.openChannel(1)
	w.method(1, 50, 10, uint16(0), c.name, byte(0), uint32(0))
	w.want(50, 11)
	w.method(1, 60, 20, uint16(0), c.name, "tag", byte(0), uint32(0))
	w.want(60, 21)
	_, err := c.channel().QueueDelete(c.name, false, false, false)
	c.ok(err)
	w.method(1, 60, 10, uint32(0), uint16(1), byte(0)) // basic.qos
	w.want(60, 11)                                     // comes without a basic.cancel before it
}

func getBesideExclusive(c *client) {
	ch := c.channel()
	ch.queue()
	ch.prefetch(1)
	consumer := ch.consume(c.name, consuming{exclusive: true})
	ch.publish(c.name, "1", "2")
	consumer.want("1")
	if got := show(ch.get(c.name)); got != "2" {
		c.Errorf("got %s", got)
	}
}

func consumeNoWait(c *client) {
	ch := c.channel()
	ch.queue()
	deliveries, err := ch.Consume(c.name, "tag", true, false, false, true, nil)
	c.ok(err)
	ch.publish(c.name, "1")
	(&consumer{c, deliveries}).want("1")
	c.ok(ch.Cancel("tag", true))
	ch.sync()
	ch.publish(c.name, "2")
	ch.wantQueue(c.name, "2")
}
