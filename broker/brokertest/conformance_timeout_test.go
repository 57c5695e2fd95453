package brokertest_test

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

// overdueAfter is in milliseconds: for a busy machine time to acknowledge the message before.
const overdueAfter = 3000

// queueTimeout has a consumer and a get keep a message for too long.
func queueTimeout(c *client) {
	if !c.has(versions.TimesOutQueues) && !c.has(versions.ChecksTimeouts) {
		c.Skip("a queue has no timeout of its own")
	}
	c.server.Hurry(c)
	ch := c.channel()
	ch.durable(c.name, "x-queue-type", "quorum", "x-consumer-timeout", overdueAfter)
	ch.publish(c.name, "1", "2")
	slow := c.dial(amqp.Config{}).channel()
	slow.prefetch(2)
	cancels := slow.NotifyCancel(make(chan string, 1))
	consumer := slow.consume(c.name, consuming{tag: "slow"})
	c.ok(consumer.want("1").Ack(false))
	overdue := consumer.want("2")
	c.overdue(slow, cancels)
	ch.wantQueue(c.name, "2R")
	if c.has(versions.TimesOutChannels) {
		ch.durable(c.other("classic"), "x-consumer-timeout", overdueAfter)
		ch.publish(c.other("classic"), "1")
		getter := c.dial(amqp.Config{}).channel()
		getter.get(c.other("classic"))
		c.overdue(getter, nil)
		return
	}
	c.ok(overdue.Ack(false)) // in vain
	slow.sync()
}

// overdue expects the channel, or its consumer, to have ended.
func (c *client) overdue(ch *channel, cancels <-chan string) {
	c.Helper()
	if c.has(versions.TimesOutChannels) {
		ch.wantClosed(406, fmt.Sprintf("PRECONDITION_FAILED - delivery acknowledgement on channel %d timed out. Timeout value used: %d ms. "+
			"This timeout value can be configured, see consumers doc guide to learn more", 1, overdueAfter))
		return
	}
	if tag, _ := await(c, "basic.cancel", cancels); tag != "slow" {
		c.Errorf("%q was cancelled", tag)
	}
}

func consumerTimeout(c *client) {
	if !c.has(versions.ChecksTimeouts) {
		c.Skip("a consumer has no timeout of its own")
	}
	ch := c.channel()
	ch.durable(c.name, "x-queue-type", "quorum", "x-consumer-timeout", 100000)
	ch.publish(c.name, "1")
	slow := c.dial(amqp.Config{}).channel()
	cancels := slow.NotifyCancel(make(chan string, 1))
	slow.consume(c.name, consuming{tag: "slow", arguments: amqp.Table{"x-consumer-timeout": overdueAfter}}).want("1")
	c.overdue(slow, cancels)
	ch.wantQueue(c.name, "1R")
}
