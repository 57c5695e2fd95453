package brokertest_test

import (
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/rabbittest"
)

// bounds sets an operator policy for the names that begin with the scenario's.
func (c *client) bounds(definition map[string]any) {
	c.Helper()
	c.server.SetOperatorPolicy(c, brokertest.Policy{Pattern: c.pattern(), ApplyTo: "queues", Definition: definition})
}

// boundsLowest has the lowest of three numbers count.
func boundsLowest(c *client) {
	ch := c.channel()
	c.bounds(map[string]any{"max-length": 2, "max-length-bytes": 15})
	alone := ch.queueNamed(c.other("alone"))
	ch.takes(alone, []string{"1", "2", "3"}, "2", "3")
	ch.takes(alone, []string{ten("1"), ten("2")}, ten("2"))
	c.policy(map[string]any{"max-length": 4})
	ch.takes(ch.queueNamed(c.other("higher"), "x-max-length", 3), []string{"1", "2", "3", "4"}, "3", "4")
	ch.takes(ch.queueNamed(c.other("lower"), "x-max-length", 1), []string{"1", "2", "3", "4"}, "4")
	c.policy(map[string]any{"max-length": 1})
	ch.takes(alone, []string{"1", "2"}, "2")
	c.policy(map[string]any{"max-length": 3})
	ch.takes(alone, []string{"1", "2", "3"}, "2", "3")
	c.server.ClearOperatorPolicy(c)
	ch.takes(alone, []string{"1", "2", "3", "4"}, "2", "3", "4")
}

func boundsTime(c *client) {
	ch := c.channel()
	dead := ch.queueNamed("dead-" + c.name)
	c.policy(map[string]any{"message-ttl": 100000, "dead-letter-exchange": "", "dead-letter-routing-key": dead})
	c.bounds(map[string]any{"message-ttl": 1})
	ch.queue()
	ch.publish(c.name, "1")
	ch.wantQueue(dead, "1")
}

// boundsOverflow has the operator's count before the policy's, where there is one.
func boundsOverflow(c *client) {
	ch := c.channel()
	definition, first, last := map[string]any{"max-length": 1}, "2", "2"
	if c.has(versions.BoundsMore) {
		definition["overflow"], first = "reject-publish", "1"
	}
	c.bounds(definition)
	c.policy(map[string]any{"overflow": "drop-head"})
	ch.queue()
	ch.rejects(c.name, "1", "2")
	ch.wantQueue(c.name, first)
	own := ch.queueNamed(c.other("own"), "x-overflow", "drop-head")
	ch.rejects(own, "1", "2")
	ch.wantQueue(own, last)
}

// rejects publishes bodies of which some may be refused.
func (ch *channel) rejects(queue string, bodies ...string) {
	publisher := ch.channel()
	ch.c.ok(publisher.Confirm(false))
	for _, body := range bodies {
		publisher.confirmed("", queue, amqp.Publishing{Body: []byte(body)})
	}
}

// boundsDeliveries has an operator limit what has no limit.
func boundsDeliveries(c *client) {
	ch := c.channel()
	c.bounds(map[string]any{"delivery-limit": 1})
	args := []any{"x-queue-type", "quorum", "x-delivery-limit", 3}
	policy := 2
	if c.has(versions.DefaultLimit) {
		args[3], policy = -1, -1
	}
	c.policy(map[string]any{"delivery-limit": policy})
	ch.durable(c.name, args...)
	ch.publish(c.name, "1")
	for range 2 {
		c.ok(ch.get(c.name).Reject(true))
	}
	ch.awaitReady(c.name, 0)
}

// noLimitByPolicy takes the limit away that is the default.
func noLimitByPolicy(c *client) {
	if !c.has(versions.DefaultLimit) {
		c.Skip("there is no limit that one could be without")
	}
	ch := c.channel()
	c.policy(map[string]any{"delivery-limit": -1})
	ch.durable(c.name, "x-queue-type", "quorum")
	ch.publish(c.name, "1")
	for range 25 {
		c.ok(ch.get(c.name).Reject(true))
	}
	ch.get(c.name)
	limited := ch.durable(c.other("limited"), "x-queue-type", "quorum", "x-delivery-limit", 1)
	ch.publish(limited, "1")
	for range 2 {
		c.ok(ch.get(limited).Reject(true))
	}
	ch.awaitReady(limited, 0)
}

func boundsUnfit(c *client) {
	ch := c.channel()
	c.bounds(map[string]any{"max-length": 1, "delivery-limit": 3})
	ch.queue()
	ch.publish(c.name, "1", "2")
	ch.wantQueue(c.name, "1", "2")
	quorum := ch.durable(c.other("quorum"), "x-queue-type", "quorum")
	ch.publish(quorum, "1", "2")
	ch.wantQueue(quorum, "2")
}

// policyLease is of two quorum queues: the lease of one is shorter than its policy's, and that of the other longer.
func policyLease(c *client) {
	ch := c.channel()
	lease := func(own, policy int) (queue string) {
		c.name += "-lease"
		c.server.SetPolicy(c, brokertest.Policy{Pattern: c.pattern() + "$", Definition: map[string]any{"expires": policy}})
		return ch.durable(c.name, "x-queue-type", "quorum", "x-expires", own)
	}
	shorter, longer := lease(1, 600000), lease(600000, 1)
	gone := func(queue string) {
		c.Helper()
		rabbittest.Eventually(c, moment, "the end of "+queue, func() bool { return !ch.there(queue) })
	}
	gone(longer) // RabbitMQ looks at each queue every few seconds, and has looked at the other one before
	if !c.has(versions.PolicyLeases) {
		gone(shorter)
	} else if !ch.there(shorter) {
		c.Error("the queue's own lease counts")
	}
}

// policyKeys has a policy with a key that is of no use for a type of queues not be for them.
func policyKeys(c *client) {
	later := c.has(versions.BoundsMore)
	for _, test := range []struct {
		key             string
		value           any
		known           bool
		classic, quorum bool // whether it is for them
	}{
		{"queue-mode", "lazy", true, true, false},
		{"queue-version", 2, true, true, true},
		{"max-age", "1D", true, false, false},
		{"max-in-memory-length", 10, true, !later, true},
		{"queue-leader-locator", "balanced", true, later, true},
		{"dead-letter-strategy", "at-most-once", true, false, true},
		{"consumer-timeout", 600000, c.has(versions.PolicyTimesOut), true, true},
		{"target-group-size", 1, later, false, true},
	} {
		if !test.known {
			continue
		}
		c.policy(map[string]any{"max-length": 1, test.key: test.value})
		ch := c.channel()
		for kind, fits := range map[string]bool{"classic": test.classic, "quorum": test.quorum} {
			want := []string{"1", "2"}
			if fits {
				want = want[1:]
			}
			name := ch.durable(c.other(test.key+"-"+kind), "x-queue-type", kind)
			ch.publish(name, "1", "2")
			ch.wantQueue(name, want...)
		}
	}
	c.policy(map[string]any{"max-length-bytes": 1000000, "max-age": "7D", "stream-max-segment-size-bytes": 1000000})
	c.channel().stream("0")
	c.read("first").want("0")
}

// policyTimeout is a consumer timeout that the queue has from its policy.
func policyTimeout(c *client) {
	if !c.has(versions.PolicyTimesOut) {
		c.Skip("a policy has no consumer timeout")
	}
	c.server.Hurry(c)
	c.policy(map[string]any{"consumer-timeout": overdueAfter})
	ch := c.channel()
	args := []any{"x-queue-type", "quorum", "x-consumer-timeout", 100000}
	ch.durable(c.name, args...)
	ch.publish(c.name, "1")
	slow := c.dial(amqp.Config{}).channel()
	cancels := slow.NotifyCancel(make(chan string, 1))
	slow.consume(c.name, consuming{tag: "slow"}).want("1")
	c.overdue(slow, cancels)
	ch.wantQueue(c.name, "1R")
}
