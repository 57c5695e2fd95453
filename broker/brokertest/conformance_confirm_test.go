package brokertest_test

import (
	"fmt"
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"
)

var confirmScenarios = slices.Concat(
	[]scenario{
		{"confirm select twice", confirmTwice},
		{"confirms count from confirm.select", confirmsCount},
		{"confirms of many messages", manyConfirms},
		{"confirm of what no queue gets", unroutableConfirmed},
		{"confirm of a message for several queues", severalConfirmed},
		{"confirm of what is delivered at once", deliveredConfirmed},
		{"confirm of a message that expires at once", expiredConfirmed},
		{"confirm of a persistent message", persistentConfirmed},
	},
	refusals(
		refused("publish to a missing exchange in confirm mode", 404, exchangeMissing, func(ch *channel) {
			ch.c.ok(ch.Confirm(false))
			ch.cast(ch.c.name, "", amqp.Publishing{})
		}),
	),
)

func (ch *channel) confirmed(exchange, key string, message amqp.Publishing) bool {
	c := ch.c
	c.Helper()
	confirmation, err := ch.PublishWithDeferredConfirmWithContext(c.Context(), exchange, key, false, false, message)
	c.ok(err)
	await(c, "the confirmation", confirmation.Done())
	return confirmation.Acked()
}

func (ch *channel) wantAck(exchange, key string, message amqp.Publishing) {
	ch.c.Helper()
	if !ch.confirmed(exchange, key, message) {
		ch.c.Error("nacked, want an ack")
	}
}

func confirmTwice(c *client) {
	ch := c.channel()
	ch.queue()
	c.ok(ch.Confirm(false))
	c.ok(ch.Confirm(false))
	ch.wantAck("", c.name, amqp.Publishing{})
}

func confirmsCount(c *client) {
	ch := c.channel()
	ch.queue()
	for range 2 {
		ch.cast("", c.name, amqp.Publishing{})
	}
	c.ok(ch.Confirm(false))
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 3))
	for range 3 {
		ch.cast("", c.name, amqp.Publishing{})
	}
	for tag := range uint64(3) {
		if got, _ := await(c, "a confirmation", confirms); got.DeliveryTag != tag+1 || !got.Ack {
			c.Errorf("got %+v, want an ack of %d", got, tag+1)
		}
	}
}

// manyConfirms come in order for one queue, each for itself or several at once.
func manyConfirms(c *client) {
	const count = 500
	ch := c.channel()
	ch.queue()
	c.ok(ch.Confirm(false))
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, count))
	for range count {
		ch.cast("", c.name, amqp.Publishing{})
	}
	for tag := range uint64(count) {
		if got, _ := await(c, "a confirmation", confirms); got.DeliveryTag != tag+1 || !got.Ack {
			c.Fatalf("got %+v, want an ack of %d", got, tag+1)
		}
	}
	ch.awaitReady(c.name, count)
}

func unroutableConfirmed(c *client) {
	ch := c.channel()
	c.ok(ch.Confirm(false))
	ch.wantAck("amq.direct", c.name, amqp.Publishing{})
	ch.wantAck("", c.name, amqp.Publishing{DeliveryMode: 2})
}

func severalConfirmed(c *client) {
	ch := c.channel()
	ch.exchange("fanout")
	for i := range 3 {
		ch.bind(ch.queueNamed(c.other(fmt.Sprint(i))), "", c.name)
	}
	c.ok(ch.Confirm(false))
	ch.wantAck(c.name, "", amqp.Publishing{Body: []byte("1")})
	for i := range 3 {
		ch.wantQueue(c.other(fmt.Sprint(i)), "1")
	}
}

func deliveredConfirmed(c *client) {
	ch := c.channel()
	ch.queue()
	consumer := ch.consume(c.name, consuming{})
	publisher := c.channel()
	c.ok(publisher.Confirm(false))
	publisher.wantAck("", c.name, amqp.Publishing{Body: []byte("1")})
	consumer.want("1") // and is not acknowledged
}

func expiredConfirmed(c *client) {
	ch := c.channel()
	ch.queue()
	c.ok(ch.Confirm(false))
	ch.wantAck("", c.name, amqp.Publishing{Expiration: "0"})
	ch.wantQueue(c.name)
}

func persistentConfirmed(c *client) {
	ch := c.channel()
	ch.durable(c.name)
	c.ok(ch.Confirm(false))
	ch.wantAck("", c.name, amqp.Publishing{DeliveryMode: 2, Body: []byte("1")})
	ch.wantQueue(c.name, "1")
}
