package brokertest_test

import (
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

var bytesScenarios = []scenario{
	{"x-max-length-bytes drops the head", dropHeadBytes},
	{"x-max-length-bytes and a message that is larger", dropHeadLarger},
	{"x-max-length-bytes counts what is ready", bytesCountReady},
	{"x-max-length-bytes and what comes back", bytesAndRequeue},
	{"x-max-length-bytes after a purge", bytesAfterPurge},
	{"x-max-length-bytes and x-max-length", bytesAndLength},
	{"x-max-length-bytes and reject-publish", bytesReject},
	{"x-max-length-bytes: dropped messages are dead letters", droppedBytesAreDead},
	{"x-max-length-bytes drops the head, quorum", dropHeadBytesQuorum},
}

// ten are bytes that begin with a mark.
func ten(mark string) string { return mark + strings.Repeat(".", 10-len(mark)) }

func dropHeadBytes(c *client) {
	ch := c.channel()
	ch.queue("x-max-length-bytes", 25)
	ch.publish(c.name, ten("1"), ten("2"), ten("3"), ten("4"), "five5")
	ch.wantQueue(c.name, ten("3"), ten("4"), "five5")
}

func dropHeadLarger(c *client) {
	ch := c.channel()
	ch.queue("x-max-length-bytes", 9)
	ch.publish(c.name, "1", ten("2"))
	ch.wantQueue(c.name)
	ch.publish(c.name, "3")
	ch.wantQueue(c.name, "3")
}

func bytesCountReady(c *client) {
	ch := c.channel()
	ch.queue("x-max-length-bytes", 20)
	ch.publish(c.name, ten("1"), ten("2"))
	ch.get(c.name)
	ch.publish(c.name, ten("3"), ten("4"))
	ch.wantQueue(c.name, ten("3"), ten("4"))
}

func bytesAndRequeue(c *client) {
	ch := c.channel()
	ch.queue("x-max-length-bytes", 20)
	ch.publish(c.name, ten("1"), ten("2"))
	held := ch.get(c.name)
	ch.publish(c.name, ten("3"))
	c.ok(held.Nack(false, true))
	ch.wantQueue(c.name, ten("2"), ten("3"))
}

func bytesAfterPurge(c *client) {
	ch := c.channel()
	ch.queue("x-max-length-bytes", 20)
	ch.publish(c.name, ten("1"), ten("2"))
	_, err := ch.QueuePurge(c.name, false)
	c.ok(err)
	ch.publish(c.name, ten("3"), ten("4"))
	ch.wantQueue(c.name, ten("3"), ten("4"))
}

func bytesAndLength(c *client) {
	ch := c.channel()
	ch.queue("x-max-length-bytes", 20, "x-max-length", 3)
	ch.publish(c.name, "1", "2", "3", "4")
	ch.wantQueue(c.name, "2", "3", "4")
	ch.publish(c.name, "1", "2", ten("3"), ten("4"))
	ch.wantQueue(c.name, ten("3"), ten("4"))
}

func bytesReject(c *client) {
	ch := c.channel()
	ch.queue("x-max-length-bytes", 20, "x-overflow", "reject-publish")
	c.ok(ch.Confirm(false))
	ch.wantAck("", c.name, amqp.Publishing{Body: []byte(ten("1"))})
	if ch.confirmed("", c.name, amqp.Publishing{Body: []byte(ten("2") + "!")}) {
		c.Error("acked, want a nack")
	}
	ch.wantAck("", c.name, amqp.Publishing{Body: []byte(ten("3"))})
	ch.wantAck("", c.name, amqp.Publishing{})
	ch.wantQueue(c.name, ten("1"), ten("3"), "")
}

func droppedBytesAreDead(c *client) {
	ch := c.channel()
	dead := ch.dying("x-max-length-bytes", 20)
	ch.publish(c.name, ten("1"), ten("2"), ten("3"))
	want := death("maxlen", c.name, "", 1, c.name)
	c.wantDeaths(ch.consume(dead, consuming{}).want(ten("1")), want, want)
	ch.wantQueue(c.name, ten("2"), ten("3"))
}

func dropHeadBytesQuorum(c *client) {
	ch := c.channel()
	ch.durable(c.name, "x-queue-type", "quorum", "x-max-length-bytes", 25)
	c.ok(ch.Confirm(false))
	for _, body := range []string{ten("1"), ten("2"), ten("3")} {
		ch.wantAck("", c.name, amqp.Publishing{Body: []byte(body)})
	}
	ch.wantQueue(c.name, ten("2"), ten("3"))
}
