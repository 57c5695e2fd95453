package brokertest_test

import (
	"regexp"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/rabbittest"
)

// policy sets one for the names that begin with the scenario's.
func (c *client) policy(definition map[string]any) {
	c.Helper()
	c.server.SetPolicy(c, brokertest.Policy{Pattern: c.pattern(), Definition: definition})
}

func (c *client) pattern() string { return "^" + regexp.QuoteMeta(c.name) }

// takes publishes bodies one by one until the queue holds what is wanted of them: a policy needs its time with RabbitMQ.
func (ch *channel) takes(queue string, bodies []string, want ...string) {
	c := ch.c
	c.Helper()
	rabbittest.Eventually(c, moment, "the policy of "+queue+" counts", func() bool {
		_, err := ch.QueuePurge(queue, false)
		c.ok(err)
		ch.publish(queue, bodies...)
		return ch.ready(queue) == len(want)
	})
	ch.wantQueue(queue, want...)
}

func policyExisting(c *client) {
	ch := c.channel()
	ch.queue()
	ch.publish(c.name, "1", "2", "3", "4")
	c.policy(map[string]any{"max-length": 3})
	ch.awaitReady(c.name, 3) // it makes room for itself
	ch.wantQueue(c.name, "2", "3", "4")
	later := ch.queueNamed(c.other("later"))
	ch.takes(later, []string{"1", "2", "3", "4"}, "2", "3", "4")
	ch.queueNamed(later) // it is no argument
	c.policy(map[string]any{"max-length": 2, "overflow": "reject-publish"})
	rabbittest.Eventually(c, moment, "the other policy counts", func() bool {
		_, err := ch.QueuePurge(c.name, false)
		c.ok(err)
		for _, body := range []string{"1", "2", "3"} {
			ch.cast("", c.name, amqp.Publishing{Body: []byte(body)})
		}
		ch.sync()
		got := ch.get(c.name)
		return string(got.Body) == "1" && ch.ready(c.name) == 1
	})
	c.server.ClearPolicy(c)
	ch.takes(later, []string{"1", "2", "3", "4", "5"}, "1", "2", "3", "4", "5")
}

// policyAndArguments has the lower limit count, and the argument where there is no lower one.
func policyAndArguments(c *client) {
	ch := c.channel()
	c.policy(map[string]any{
		"max-length": 3, "max-length-bytes": 12, "overflow": "reject-publish",
		"dead-letter-exchange": "nowhere", "dead-letter-routing-key": "nothing",
	})
	lower := ch.queueNamed(c.other("lower"), "x-max-length", 2, "x-overflow", "drop-head")
	ch.takes(lower, []string{"1", "2", "3", "4"}, "3", "4")
	higher := ch.queueNamed(c.other("higher"), "x-max-length", 5, "x-overflow", "drop-head")
	ch.takes(higher, []string{"1", "2", "3", "4"}, "2", "3", "4")
	ch.takes(higher, []string{ten("1"), ten("2")}, ten("2"))

	dead := ch.queueNamed("dead-" + c.name)
	letters := ch.queueNamed(c.other("letters"), "x-max-length", 1, "x-overflow", "drop-head", "x-dead-letter-exchange", "", "x-dead-letter-routing-key", dead)
	ch.publish(letters, "1", "2")
	ch.wantQueue(dead, "1")

	c.policy(map[string]any{"message-ttl": 1, "dead-letter-exchange": "", "dead-letter-routing-key": dead})
	short := ch.queueNamed(c.other("short"), "x-message-ttl", 100000)
	rabbittest.Eventually(c, moment, "what expired is a dead letter", func() bool {
		ch.publish(short, "1")
		return ch.ready(dead) > 0
	})
}

// policyQuorum has overflow of the policy count.
func policyQuorum(c *client) {
	ch := c.channel()
	dead := ch.queueNamed("dead-" + c.name)
	c.policy(map[string]any{"max-length": 2, "overflow": "drop-head", "delivery-limit": 1, "dead-letter-exchange": "", "dead-letter-routing-key": dead})
	ch.durable(c.name, "x-queue-type", "quorum", "x-max-length", 3, "x-overflow", "reject-publish", "x-delivery-limit", 3)
	ch.takes(c.name, []string{"1", "2", "3"}, "2", "3")
	ch.publish(c.name, "4")
	for range 2 {
		c.ok(ch.get(c.name).Reject(true))
	}
	want := "4"
	if c.has(versions.DeadRedelivered) {
		want += "R"
	}
	got := show(ch.get(dead))
	for got == "1" { // those that made room come first, and RabbitMQ takes its time to send them
		got = show(ch.get(dead))
	}
	if got != want {
		c.Errorf("%s is dead, want %s", got, want)
	}
}

// policyPriority does not merge what several policies ask for.
func policyPriority(c *client) {
	ch := c.channel()
	c.server.SetPolicy(c, brokertest.Policy{Pattern: c.pattern(), Priority: 1, Definition: map[string]any{"max-length": 1}})
	name := c.name
	c.name = c.other("high")
	c.server.SetPolicy(c, brokertest.Policy{Pattern: name, Priority: 2, ApplyTo: "queues", Definition: map[string]any{"max-length-bytes": 15}})
	ch.queueNamed(name)
	ch.takes(name, []string{"1", "2", ten("3")}, "1", "2", ten("3"))
	ch.takes(name, []string{ten("1"), ten("2")}, ten("2"))
	c.server.ClearPolicy(c)
	ch.takes(name, []string{"1", "2"}, "2")
}

// policyUnfit is one with a key for which the type of queue has no use, and one for exchanges.
func policyUnfit(c *client) {
	ch := c.channel()
	c.policy(map[string]any{"max-length": 1, "delivery-limit": 3})
	ch.queue()
	ch.publish(c.name, "1", "2")
	ch.wantQueue(c.name, "1", "2")
	c.server.SetPolicy(c, brokertest.Policy{Pattern: c.pattern(), ApplyTo: "exchanges", Definition: map[string]any{"max-length": 1}})
	ch.publish(c.name, "1", "2")
	ch.wantQueue(c.name, "1", "2")
}

func policyExchange(c *client) {
	ch := c.channel()
	ch.exchange("direct")
	ch.otherExchange("other", "fanout")
	ch.queue()
	ch.bind(c.name, "", c.other("other"))
	c.policy(map[string]any{"alternate-exchange": c.other("other")})
	rabbittest.Eventually(c, moment, "the policy of the exchange counts", func() bool {
		ch.send(c.name, "k", amqp.Publishing{Body: []byte("1")})
		return ch.ready(c.name) > 0
	})
}

func policyExpires(c *client) {
	ch := c.channel()
	ch.durable(c.name)
	c.policy(map[string]any{"expires": 1})
	other := c.channel()
	rabbittest.Eventually(c, moment, "the queue is gone", func() bool { return !other.there(c.name) })
}
