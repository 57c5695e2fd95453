package brokertest_test

import (
	"fmt"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

const ofQuorum = "' for queue '{name}' in vhost '/'"

var quorumScenarios = slices.Concat(
	[]scenario{
		{"quorum: delivery count of a consumer", quorumCountConsumer},
		{"quorum: delivery count of a get", quorumCountGet},
		{"quorum: delivery count of every way back", quorumCountWays},
		{"quorum: delivery limit", quorumLimit},
		{"quorum: delivery limit 0", quorumLimitZero},
		{"quorum: delivery limit without a dead-letter exchange", quorumLimitDrops},
		{"quorum: delivery limit that nobody set", quorumLimitDefault},
		{"quorum: nacks and the delivery limit", quorumNacks},
		{"quorum: requeued behind what waits", quorumRequeueConsumer},
		{"quorum: requeued before what waits, with a limit", quorumRequeueLimited},
		{"quorum: exclusive consumer", quorumExclusiveConsumer},
		{"quorum: prefetch", quorumPrefetch},
		{"quorum: prefetch of a channel", quorumPrefetchOfChannel},
		{"quorum: queue deleted under its consumer", quorumDeleted},
		{"quorum: purge and delete count", quorumCounts},
	},
	refusals(
		quorumRefusal("quorum: not durable", "PRECONDITION_FAILED - invalid property 'non-durable"+ofQuorum, false, false, false),
		quorumRefusal("quorum: exclusive", "PRECONDITION_FAILED - invalid property 'exclusive-owner"+ofQuorum, true, false, true),
		quorumRefusal("quorum: auto-delete", "PRECONDITION_FAILED - invalid property 'auto-delete"+ofQuorum, true, true, false),
		quorumRefusal("quorum: neither durable nor lasting", "PRECONDITION_FAILED - invalid property 'auto-delete"+ofQuorum, false, true, false),
		refused("quorum: other limit", 406, queueDiffers+"x-delivery-limit"+ofThisQueue+"received '3' but current is '2'", func(ch *channel) {
			ch.durable(ch.c.name, "x-queue-type", "quorum", "x-delivery-limit", 2)
			ch.QueueDeclare(ch.c.name, true, false, false, false, amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 3})
		}),
		refused("quorum: now classic", 406,
			queueDiffers+"x-queue-type"+ofThisQueue+"received none but current is the value 'quorum' of type 'longstr'", func(ch *channel) {
				ch.durable(ch.c.name, "x-queue-type", "quorum")
				ch.QueueDeclare(ch.c.name, true, false, false, false, nil)
			}).where(versions.NamesTypes, 406, queueDiffers+"x-queue-type"+ofThisQueue+"received 'classic' but current is 'quorum'"),
	),
	requeues("quorum", []any{"x-queue-type", "quorum"}, []requeue{
		{"nack one", func(ch *channel) { ch.Nack(2, false, true) }, "4 5 2R | 2R 4 5"},
		{"reject one", func(ch *channel) { ch.Reject(2, true) }, "4 5 2R | 2R 4 5"},
		{"nack all", func(ch *channel) { ch.Nack(0, true, true) }, "4 5 1R 2R 3R | 1R 2R 3R 4 5"},
		{"nack each, out of order", func(ch *channel) { ch.Nack(3, false, true); ch.Nack(1, false, true); ch.Nack(2, false, true) }, "4 5 3R 1R 2R | 3R 1R 2R 4 5"},
		{"recover", func(ch *channel) { ch.putBack(true) }, "4 5 1R 2R 3R | 1R 2R 3R 4 5"},
		{"close the channel", func(ch *channel) { ch.Close() }, "1R 2R 3R 4 5"},
		{"close the connection", func(ch *channel) { ch.connection.Close() }, "1R 2R 3R 4 5"},
	}),
	requeues("quorum with a limit", []any{"x-queue-type", "quorum", "x-delivery-limit", 5}, []requeue{
		{"nack one", func(ch *channel) { ch.Nack(2, false, true) }, "2R 4 5"},
		{"nack all", func(ch *channel) { ch.Nack(0, true, true) }, "1R 2R 3R 4 5"},
		{"nack each, out of order", func(ch *channel) { ch.Nack(3, false, true); ch.Nack(1, false, true); ch.Nack(2, false, true) }, "3R 1R 2R 4 5"},
		{"close the channel", func(ch *channel) { ch.Close() }, "1R 2R 3R 4 5"},
	}),
)

func quorumRefusal(name, text string, durable, autoDelete, exclusive bool) refusal {
	return refused(name, 406, text, func(ch *channel) {
		ch.QueueDeclare(ch.c.name, durable, autoDelete, exclusive, false, amqp.Table{"x-queue-type": "quorum"})
	})

}

// quorum declares the scenario's queue.
func (ch *channel) quorum(args ...any) {
	ch.c.Helper()
	ch.durable(ch.c.name, append(args, "x-queue-type", "quorum")...)
}

// wantCount expects how often a message came back, as the delivery limit counts it, and how often it was given out.
func (c *client) wantCount(d amqp.Delivery, returns, acquired int64) {
	c.Helper()
	want := amqp.Table{}
	if returns > 0 || d.ConsumerTag == "" && c.has(versions.CountsFromZero) {
		want["x-delivery-count"] = returns
	}
	if acquired > 0 && c.has(versions.Acquired) {
		want["x-acquired-count"] = acquired
	}
	if diff := cmp.Diff(want, d.Headers, cmpopts.EquateEmpty()); diff != "" {
		c.Errorf("headers (-want +got):\n%s", diff)
	}
}

func quorumCountConsumer(c *client) {
	ch := c.channel()
	ch.quorum()
	ch.publish(c.name, "1")
	consumer := ch.consume(c.name, consuming{})
	got := consumer.want("1")
	c.wantCount(got, 0, 0)
	for count := range int64(3) {
		c.ok(got.Reject(true))
		got = consumer.want("1R")
		c.wantCount(got, count+1, count+1)
	}
}

func quorumCountGet(c *client) {
	ch := c.channel()
	ch.quorum()
	ch.publish(c.name, "1")
	for count := range int64(3) {
		got := ch.get(c.name)
		c.wantCount(got, count, count)
		if got.Redelivered != (count > 0) {
			c.Errorf("redelivered %t", got.Redelivered)
		}
		c.ok(got.Reject(true))
	}
}

func quorumCountWays(c *client) {
	observer := c.channel()
	observer.quorum()
	observer.publish(c.name, "1")
	var returns, acquired int64
	for _, way := range []struct {
		counts bool
		back   func(*channel)
	}{
		{c.has(versions.NackCounts), func(ch *channel) { ch.Nack(1, false, true) }},
		{true, func(ch *channel) { ch.Reject(1, true) }},
		{c.has(versions.NackCounts), func(ch *channel) { ch.putBack(true) }},
		{true, func(ch *channel) { ch.Close() }},
		{true, func(ch *channel) { ch.connection.Close() }},
		{true, func(*channel) {}},
	} {
		ch := c.dial(amqp.Config{}).channel()
		c.wantCount(ch.get(c.name), returns, acquired)
		way.back(ch)
		acquired++
		if way.counts {
			returns++
		}
	}
}

func quorumLimit(c *client) {
	ch := c.channel()
	dead := ch.queueNamed(c.other("dead"))
	ch.quorum("x-delivery-limit", 2, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", dead)
	ch.publish(c.name, "1", "2")
	ch.prefetch(1)
	consumer := ch.consume(c.name, consuming{})
	for _, body := range []string{"1", "1R", "1R"} {
		c.ok(consumer.want(body).Reject(true))
	}
	consumer.want("2")
	want := death("delivery_limit", c.name, "", 1, c.name)
	c.wantDeaths(ch.get(dead), want, want)
}

func quorumLimitZero(c *client) {
	ch := c.channel()
	dead := ch.queueNamed(c.other("dead"))
	ch.quorum("x-delivery-limit", 0, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", dead)
	ch.publish(c.name, "1", "2")
	c.ok(ch.get(c.name).Reject(true))
	if c.has(versions.DeadRedelivered) {
		ch.wantQueue(dead, "1R")
	} else {
		ch.wantQueue(dead, "1")
	}
	ch.wantQueue(c.name, "2")
}

func quorumLimitDrops(c *client) {
	ch := c.channel()
	ch.quorum("x-delivery-limit", 1)
	ch.publish(c.name, "1", "2")
	c.ok(ch.get(c.name).Reject(true))
	c.ok(ch.get(c.name).Reject(true))
	ch.wantQueue(c.name, "2")
}

func quorumLimitDefault(c *client) {
	ch := c.channel()
	ch.quorum()
	ch.publish(c.name, "1")
	for range 21 {
		c.ok(ch.get(c.name).Reject(true))
	}
	if c.has(versions.DefaultLimit) {
		ch.wantQueue(c.name)
	} else {
		ch.wantQueue(c.name, "1R")
	}
}

func quorumNacks(c *client) {
	ch := c.channel()
	ch.quorum("x-delivery-limit", 1)
	ch.publish(c.name, "1", "2")
	c.ok(ch.get(c.name).Nack(false, true))
	c.ok(ch.get(c.name).Nack(false, true))
	if c.has(versions.NackCounts) {
		ch.wantQueue(c.name, "2")
	} else {
		ch.wantQueue(c.name, "1R", "2")
	}
}

func quorumRequeueConsumer(c *client) {
	ch := c.channel()
	ch.quorum()
	ch.prefetch(1)
	ch.publish(c.name, "1", "2", "3")
	ch.awaitReady(c.name, 3)
	consumer := ch.consume(c.name, consuming{})
	order := []string{"1", "2", "3", "1R", "2R"}
	if c.has(versions.DefaultLimit) {
		order = []string{"1", "1R", "1R"}
	}
	for _, body := range order {
		c.ok(consumer.want(body).Nack(false, true))
	}
}

func quorumRequeueLimited(c *client) {
	ch := c.channel()
	ch.quorum("x-delivery-limit", 10)
	ch.prefetch(1)
	ch.publish(c.name, "1", "2", "3")
	consumer := ch.consume(c.name, consuming{})
	for _, body := range []string{"1", "1R", "1R"} {
		c.ok(consumer.want(body).Nack(false, true))
	}
	c.ok(consumer.want("1R").Ack(false))
	consumer.want("2")
}

func quorumPrefetchOfChannel(c *client) {
	ch := c.channel()
	ch.quorum()
	c.ok(ch.Qos(1, 0, true))
	if c.has(versions.QosPerConsumer) {
		ch.publish(c.name, "1", "2", "3")
		ch.consume(c.name, consuming{}).want("1")
		ch.consume(c.name, consuming{}).want("2")
		ch.awaitReady(c.name, 1)
		return
	}
	ch.Consume(c.name, "", false, false, false, false, nil)
	ch.wantClosed(540, "NOT_IMPLEMENTED - queue '{name}' in vhost '/' does not support global qos")
}

// quorumExclusiveConsumer is not alone: RabbitMQ does not enforce it.
func quorumExclusiveConsumer(c *client) {
	ch := c.channel()
	ch.quorum()
	a, b := ch.consume(c.name, consuming{exclusive: true}), ch.consume(c.name, consuming{})
	ch.publish(c.name, "1", "2")
	a.want("1")
	b.want("2")
}

func quorumPrefetch(c *client) {
	ch := c.channel()
	ch.quorum()
	ch.prefetch(2)
	consumer := ch.consume(c.name, consuming{})
	ch.publish(c.name, "1", "2", "3", "4")
	last := consumer.want("1", "2")
	ch.awaitReady(c.name, 2)
	c.ok(last.Ack(false))
	consumer.want("3")
	ch.awaitReady(c.name, 1)
}

func quorumDeleted(c *client) {
	ch := c.channel()
	ch.quorum()
	cancels := ch.NotifyCancel(make(chan string, 1))
	consumer := ch.consume(c.name, consuming{tag: "tag"})
	ch.publish(c.name, "1")
	held := consumer.want("1")
	_, err := c.channel().QueueDelete(c.name, false, false, false)
	c.ok(err)
	if tag, _ := await(c, "basic.cancel", cancels); tag != "tag" {
		c.Errorf("cancelled %q", tag)
	}
	consumer.wantEnd()
	c.ok(held.Ack(false))
	ch.sync()
}

func quorumCounts(c *client) {
	ch := c.channel()
	ch.quorum()
	for i := range 3 {
		ch.publish(c.name, fmt.Sprint(i))
	}
	ch.awaitReady(c.name, 3)
	count, err := ch.QueuePurge(c.name, false)
	c.ok(err)
	if count != 3 {
		c.Errorf("purged %d, want 3", count)
	}
	ch.publish(c.name, "4")
	ch.awaitReady(c.name, 1)
	count, err = ch.QueueDelete(c.name, false, false, false)
	c.ok(err)
	if count != 1 {
		c.Errorf("deleted with %d messages, want 1", count)
	}
}
