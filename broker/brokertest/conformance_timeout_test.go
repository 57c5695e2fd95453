package brokertest_test

import (
	"fmt"
	"time"

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

// policyTimeoutLater is one that a policy gives, or changes, while a message is out: that is timed from its delivery.
func policyTimeoutLater(c *client) {
	if !c.has(versions.TimesOutQueues) {
		c.Skip("a consumer keeps the timeout that it came with, if there is any")
	}
	const held = overdueAfter * 5 / 6 // when the policy comes: half a second is left then
	c.server.Hurry(c)
	ch := c.channel()
	for name, before := range map[string]int{"none": 0, "longer": 100000} {
		if before > 0 {
			c.policy(map[string]any{"consumer-timeout": before})
		}
		ch.durable(c.other(name))
		early := c.dial(amqp.Config{}).channel()
		ch.publish(c.other(name), "1")
		early.consume(c.other(name), consuming{tag: "early"}).want("1")
		time.Sleep(held * time.Millisecond)
		c.policy(map[string]any{"consumer-timeout": overdueAfter})
		late := c.dial(amqp.Config{}).channel()
		ch.durable(c.other(name+"-late"), "x-consumer-timeout", held)
		ch.publish(c.other(name+"-late"), "2")
		late.consume(c.other(name+"-late"), consuming{tag: "late"}).want("2")
		c.overdue(early, nil)
		late.sync() // its time is not over yet
		c.server.ClearPolicy(c)
	}
}
