package brokertest_test

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

var lengthScenarios = []scenario{
	{"x-max-length drops the head", dropHead},
	{"x-max-length drops the head, quorum", dropHeadQuorum},
	{"x-max-length counts what is ready", lengthCountsReady},
	{"x-max-length and what comes back", lengthAndRequeue},
	{"x-max-length: dropped messages are dead letters", droppedAreDead},
	{"reject-publish nacks", rejectPublish},
	{"reject-publish without confirms", rejectPublishSilently},
	{"reject-publish makes no dead letters", rejectPublishNoLetters},
	{"reject-publish-dlx makes dead letters", rejectPublishLetters},
	{"reject-publish-dlx without confirms", rejectPublishLettersSilently},
	{"reject-publish-dlx drops the head, quorum", rejectPublishLettersQuorum},
	{"reject-publish: room is made by a delivery", rejectPublishRoom},
	{"reject-publish: one of several queues", rejectPublishOne},
}

func dropHead(c *client) {
	ch := c.channel()
	ch.queue("x-max-length", 2)
	c.ok(ch.Confirm(false))
	for i := range 5 {
		ch.wantAck("", c.name, amqp.Publishing{Body: []byte(fmt.Sprint(i))})
	}
	ch.wantQueue(c.name, "3", "4")
}

func dropHeadQuorum(c *client) {
	ch := c.channel()
	ch.durable(c.name, "x-queue-type", "quorum", "x-max-length", 2)
	c.ok(ch.Confirm(false))
	for i := range 5 {
		ch.wantAck("", c.name, amqp.Publishing{Body: []byte(fmt.Sprint(i))})
	}
	ch.wantQueue(c.name, "3", "4")
}

func lengthCountsReady(c *client) {
	ch := c.channel()
	ch.queue("x-max-length", 2)
	ch.publish(c.name, "1", "2")
	ch.get(c.name)
	ch.publish(c.name, "3", "4")
	ch.wantQueue(c.name, "3", "4")
}

// lengthAndRequeue finds a full queue, and is the head of it.
func lengthAndRequeue(c *client) {
	ch := c.channel()
	ch.queue("x-max-length", 2)
	ch.publish(c.name, "1", "2")
	held := ch.get(c.name)
	ch.publish(c.name, "3")
	c.ok(held.Nack(false, true))
	ch.wantQueue(c.name, "2", "3")
}

func droppedAreDead(c *client) {
	ch := c.channel()
	dead := ch.dying("x-max-length", 2)
	ch.publish(c.name, "1", "2", "3", "4")
	want := death("maxlen", c.name, "", 1, c.name)
	consumer := ch.consume(dead, consuming{})
	c.wantDeaths(consumer.want("1"), want, want)
	c.wantDeaths(consumer.want("2"), want, want)
	ch.wantQueue(c.name, "3", "4")
}

// full has two messages in a queue that takes no third.
func (ch *channel) full(args ...any) {
	c := ch.c
	c.Helper()
	ch.queue(append(args, "x-max-length", 2, "x-overflow", "reject-publish")...)
	c.ok(ch.Confirm(false))
	for _, body := range []string{"1", "2"} {
		ch.wantAck("", c.name, amqp.Publishing{Body: []byte(body)})
	}
}

func rejectPublish(c *client) {
	ch := c.channel()
	ch.full()
	for range 2 {
		if ch.confirmed("", c.name, amqp.Publishing{Body: []byte("refused")}) {
			c.Error("acked, want a nack")
		}
	}
	ch.wantQueue(c.name, "1", "2")
	ch.wantAck("", c.name, amqp.Publishing{Body: []byte("3")})
	ch.wantQueue(c.name, "3")
}

func rejectPublishSilently(c *client) {
	ch := c.channel()
	ch.queue("x-max-length", 1, "x-overflow", "reject-publish")
	ch.publish(c.name, "1")
	ch.cast("", c.name, amqp.Publishing{Body: []byte("refused")})
	ch.sync()
	ch.wantQueue(c.name, "1")
}

func rejectPublishNoLetters(c *client) {
	ch := c.channel()
	dead := ch.queueNamed(c.other("dead"))
	ch.full("x-dead-letter-exchange", "", "x-dead-letter-routing-key", dead)
	ch.confirmed("", c.name, amqp.Publishing{Body: []byte("refused")})
	ch.wantQueue(c.name, "1", "2")
	ch.wantQueue(dead)
}

func rejectPublishRoom(c *client) {
	ch := c.channel()
	ch.full()
	held := ch.get(c.name)
	ch.wantAck("", c.name, amqp.Publishing{Body: []byte("3")})
	if ch.confirmed("", c.name, amqp.Publishing{Body: []byte("refused")}) {
		c.Error("acked, want a nack")
	}
	c.ok(held.Nack(false, true))
	ch.wantQueue(c.name, "1R", "2", "3")
}

func rejectPublishOne(c *client) {
	ch := c.channel()
	ch.exchange("fanout")
	ch.full()
	ch.bind(c.name, "", c.name)
	roomy := ch.queueNamed(c.other("roomy"))
	ch.bind(roomy, "", c.name)
	if ch.confirmed(c.name, "", amqp.Publishing{Body: []byte("3")}) {
		c.Error("acked, want a nack: one queue refused")
	}
	ch.wantQueue(roomy, "3")
	ch.wantQueue(c.name, "1", "2")
}

func rejectPublishLetters(c *client) {
	ch := c.channel()
	dead := ch.dying("x-max-length", 2, "x-overflow", "reject-publish-dlx")
	c.ok(ch.Confirm(false))
	ch.wantAck("", c.name, amqp.Publishing{Body: []byte("1")})
	ch.wantAck("", c.name, amqp.Publishing{Body: []byte("2")})
	for _, body := range []string{"3", "4"} {
		if ch.confirmed("", c.name, amqp.Publishing{Body: []byte(body)}) {
			c.Error("acked, want a nack")
		}
	}
	want := death("maxlen", c.name, "", 1, c.name)
	consumer := ch.consume(dead, consuming{})
	c.wantDeaths(consumer.want("3"), want, want)
	c.wantDeaths(consumer.want("4"), want, want)
	ch.wantQueue(c.name, "1", "2")
}

func rejectPublishLettersSilently(c *client) {
	ch := c.channel()
	dead := ch.dying("x-max-length", 1, "x-overflow", "reject-publish-dlx")
	ch.publish(c.name, "1")
	ch.cast("", c.name, amqp.Publishing{Body: []byte("2")})
	ch.wantQueue(dead, "2")
	ch.wantQueue(c.name, "1")
}

func rejectPublishLettersQuorum(c *client) {
	ch := c.channel()
	dead := ch.dying("x-queue-type", "quorum", "x-max-length", 2, "x-overflow", "reject-publish-dlx")
	c.ok(ch.Confirm(false))
	for _, body := range []string{"1", "2", "3", "4"} {
		ch.wantAck("", c.name, amqp.Publishing{Body: []byte(body)})
	}
	ch.wantQueue(dead, "1", "2")
	ch.wantQueue(c.name, "3", "4")
}
