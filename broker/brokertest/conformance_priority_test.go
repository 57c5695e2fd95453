package brokertest_test

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

var priorityScenarios = []scenario{
	{"priorities are served from the highest on", priorityOrder},
	{"a priority above the highest is the highest", priorityAbove},
	{"a queue without priorities takes no notice", priorityNone},
	{"x-max-priority 0 is no priorities", priorityZero},
	{"priorities: what comes back has its place", priorityReturns},
	{"priorities: a consumer with room", priorityConsumer},
	{"priorities: the head makes room", priorityOverflow},
	{"priorities: the head expires", priorityExpires},
	{"priorities: purged", priorityPurged},
	{"priorities of 255 kinds", priorityMany},
	{"priorities and a quorum queue", priorityQuorum},
}

// ranked publishes bodies, each with the priority that its first digit is.
func (ch *channel) ranked(bodies ...string) {
	for _, body := range bodies {
		ch.send("", ch.c.name, amqp.Publishing{Priority: body[0] - '0', Body: []byte(body)})
	}
}

func priorityOrder(c *client) {
	ch := c.channel()
	ch.queue("x-max-priority", 5)
	ch.ranked("1a", "5a", "0a", "3a", "5b", "1b", "0b", "3b", "2a")
	ch.wantQueue(c.name, "5a", "5b", "3a", "3b", "2a", "1a", "1b", "0a", "0b")
	ch.ranked("0c", "1c")
	ch.wantQueue(c.name, "1c", "0c")
}

func priorityAbove(c *client) {
	ch := c.channel()
	ch.queue("x-max-priority", 2)
	ch.ranked("1a", "2a", "9a", "2b")
	ch.wantQueue(c.name, "2a", "9a", "2b", "1a")
}

func priorityNone(c *client) {
	ch := c.channel()
	ch.queue()
	ch.ranked("1a", "5a", "0a")
	ch.wantQueue(c.name, "1a", "5a", "0a")
}

func priorityZero(c *client) {
	ch := c.channel()
	ch.queue("x-max-priority", 0)
	ch.ranked("1a", "5a", "0a")
	ch.wantQueue(c.name, "1a", "5a", "0a")
}

func priorityReturns(c *client) {
	ch := c.channel()
	ch.queue("x-max-priority", 5)
	ch.ranked("1a", "5a", "5b")
	ch.get(c.name)
	held := ch.get(c.name)
	ch.ranked("5c", "9d", "1b")
	c.ok(held.Nack(true, true))
	ch.wantQueue(c.name, "5aR", "5bR", "5c", "9d", "1a", "1b")
}

func priorityConsumer(c *client) {
	ch := c.channel()
	ch.queue("x-max-priority", 5)
	ch.prefetch(1)
	consumer := ch.consume(c.name, consuming{})
	ch.ranked("0a")
	first := consumer.want("0a")
	ch.ranked("0b", "2a", "1a")
	c.ok(first.Ack(false))
	c.ok(consumer.want("2a").Ack(false))
	last := consumer.want("1a") // RabbitMQ has the room that an acknowledgement makes a moment after it
	ch.ranked("4a")
	c.ok(last.Ack(false))
	c.ok(consumer.want("4a").Ack(false))
	consumer.want("0b")
}

func priorityOverflow(c *client) {
	ch := c.channel()
	ch.queue("x-max-priority", 5, "x-max-length", 2)
	ch.ranked("5a", "1a", "0a", "3a")
	ch.wantQueue(c.name, "1a", "0a")
}

func priorityExpires(c *client) {
	ch := c.channel()
	ch.queue("x-max-priority", 5)
	ch.send("", c.name, amqp.Publishing{Priority: 1, Expiration: "1", Body: []byte("1a")})
	ch.awaitReady(c.name, 0)
	ch.ranked("5a")
	ch.send("", c.name, amqp.Publishing{Priority: 5, Expiration: "1", Body: []byte("5b")})
	ch.ranked("1b")
	ch.awaitReady(c.name, 3) // behind the head, and behind all of its priority
	c.ok(ch.get(c.name).Ack(false))
	ch.wantQueue(c.name, "1b")
}

func priorityPurged(c *client) {
	ch := c.channel()
	ch.queue("x-max-priority", 5)
	ch.ranked("5a", "1a")
	_, err := ch.QueuePurge(c.name, false)
	c.ok(err)
	ch.ranked("1b", "5b", "1c")
	ch.wantQueue(c.name, "5b", "1b", "1c")
}

func priorityMany(c *client) {
	ch := c.channel()
	ch.queue("x-max-priority", 255)
	var want []string
	for i := range 20 {
		ch.send("", c.name, amqp.Publishing{Priority: uint8(i * 12), Body: []byte(fmt.Sprint(i))})
		want = append([]string{fmt.Sprint(i)}, want...)
	}
	ch.wantQueue(c.name, want...)
}

func priorityQuorum(c *client) {
	ch := c.channel()
	ch.durable(c.name, "x-queue-type", "quorum")
	ch.ranked("0a", "9a")
	if !c.differs(ignoresPriority) && c.has(versions.NamesTypes) {
		ch.wantQueue(c.name, "9a", "0a")
	} else {
		ch.wantQueue(c.name, "0a", "9a")
	}
}
