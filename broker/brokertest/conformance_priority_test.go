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
	{"priorities and a quorum queue: the oldest", prioritySharesOldest},
	{"priorities and a quorum queue: what comes back", priorityQuorumReturns},
	{"priorities and a quorum queue: what comes back behind", priorityQuorumBehind},
	{"priorities and a quorum queue: the head makes room", priorityQuorumOverflow},
	{"priorities and a quorum queue: expired", priorityQuorumExpires},
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

// priorityQuorum takes messages that wait out one by one.
func priorityQuorum(c *client) {
	ch := c.channel()
	ch.durable(c.name, "x-queue-type", "quorum")
	ch.ranked("0a", "9a", "5a", "3a", "9b", "0b", "9c", "4a", "5b", "9d")
	switch {
	case c.has(versions.QuorumPriorities):
		ch.wantQueue(c.name, "9a", "9b", "9c", "9d", "5a", "5b", "0a", "0b", "4a", "3a")
	case c.has(versions.QuorumShares):
		ch.wantQueue(c.name, "9a", "5a", "0a", "9b", "9c", "3a", "5b", "9d", "0b", "4a")
	default:
		ch.wantQueue(c.name, "0a", "9a", "5a", "3a", "9b", "0b", "9c", "4a", "5b", "9d")
	}
}

// prioritySharesOldest has the turn of the others go to the oldest of all.
func prioritySharesOldest(c *client) {
	ch := c.channel()
	ch.durable(c.name, "x-queue-type", "quorum")
	ch.ranked("9a", "9b", "9c", "9d", "0a", "9e")
	if c.has(versions.QuorumShares) || c.has(versions.QuorumPriorities) {
		ch.wantQueue(c.name, "9a", "9b", "9c", "9d", "9e", "0a")
	} else {
		ch.wantQueue(c.name, "9a", "9b", "9c", "9d", "0a", "9e")
	}
	ch.ranked("0a", "9a", "0b", "0c")
	_, err := ch.QueuePurge(c.name, false) // the turns begin anew
	c.ok(err)
	ch.ranked("0d", "9d", "9e", "9f")
	switch {
	case c.has(versions.QuorumPriorities):
		ch.wantQueue(c.name, "9d", "9e", "9f", "0d")
	case c.has(versions.QuorumShares):
		ch.wantQueue(c.name, "9d", "9e", "0d", "9f")
	default:
		ch.wantQueue(c.name, "0d", "9d", "9e", "9f")
	}
}

// priorityQuorumReturns has what came back come first, whatever its priority.
func priorityQuorumReturns(c *client) {
	ch := c.channel()
	ch.durable(c.name, "x-queue-type", "quorum", "x-delivery-limit", 5)
	ch.ranked("1a", "1b", "1c")
	held := []amqp.Delivery{ch.get(c.name), ch.get(c.name)}
	ch.ranked("9a")
	for _, d := range held {
		c.ok(d.Reject(true))
	}
	ch.awaitReady(c.name, 4)
	ch.ranked("5a", "0a")
	switch {
	case c.has(versions.QuorumPriorities):
		ch.wantQueue(c.name, "1aR", "1bR", "9a", "5a", "0a", "1c")
	default: // of those that share, 1c is the oldest
		ch.wantQueue(c.name, "1aR", "1bR", "1c", "9a", "5a", "0a")
	}
}

// priorityQuorumBehind has what came back to a queue without a limit of deliveries lose its priority.
func priorityQuorumBehind(c *client) {
	ch := c.channel()
	args := []any{"x-queue-type", "quorum"}
	if c.has(versions.DefaultLimit) {
		args = append(args, "x-delivery-limit", -1)
	}
	ch.durable(c.name, args...)
	ch.ranked("9a", "1a", "0a")
	c.ok(ch.get(c.name).Nack(false, true))
	ch.awaitReady(c.name, 3)
	ch.ranked("5a")
	switch {
	case c.has(versions.QuorumPriorities):
		ch.wantQueue(c.name, "9aR", "5a", "0a", "1a")
	case c.has(versions.QuorumShares):
		ch.wantQueue(c.name, "5a", "1a", "0a", "9aR")
	default:
		ch.wantQueue(c.name, "1a", "0a", "9aR", "5a")
	}
	ch.ranked("0b", "0c")
	c.ok(ch.get(c.name).Reject(true))
	ch.awaitReady(c.name, 2)
	if c.has(versions.GoesBehind) {
		ch.wantQueue(c.name, "0c", "0bR")
	} else {
		ch.wantQueue(c.name, "0bR", "0c")
	}
}

func priorityQuorumOverflow(c *client) {
	ch := c.channel()
	ch.durable(c.name, "x-queue-type", "quorum", "x-max-length", 3)
	ch.ranked("1a", "9a", "1b", "9b", "1c")
	if c.has(versions.QuorumShares) || c.has(versions.QuorumPriorities) {
		ch.wantQueue(c.name, "1a", "1b", "1c")
	} else {
		ch.wantQueue(c.name, "1b", "9b", "1c")
	}
}

// priorityQuorumExpires has a message expire behind one that does not.
func priorityQuorumExpires(c *client) {
	ch := c.channel()
	ch.durable(c.name, "x-queue-type", "quorum")
	ch.ranked("9a")
	ch.send("", c.name, amqp.Publishing{Priority: 1, Expiration: "1", Body: []byte("1a")})
	ch.ranked("1b", "9b")
	if c.has(versions.QuorumPriorities) {
		ch.awaitReady(c.name, 3)
		ch.wantQueue(c.name, "9a", "9b", "1b")
		return
	}
	taken := []string{"9a"}
	if c.has(versions.QuorumShares) {
		taken = append(taken, "9b")
	}
	for _, body := range taken { // the head before it
		if held := ch.get(c.name); string(held.Body) != body {
			c.Errorf("got %s, want %s", held.Body, body)
		}
	}
	if c.has(versions.QuorumShares) {
		ch.wantQueue(c.name, "1b")
	} else {
		ch.wantQueue(c.name, "1b", "9b")
	}
}
