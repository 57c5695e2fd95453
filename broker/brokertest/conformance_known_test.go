package brokertest_test

import (
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

// knownScenarios are about arguments of which a client sees no more than that they are taken, or are not.
var knownScenarios = slices.Concat(
	[]scenario{
		{"arguments that a classic queue may have", knownClassic},
		{"arguments that a quorum queue may have", knownQuorum},
		{"arguments that a stream may have", knownStream},
		{"no limit of deliveries", noDeliveryLimit},
		{"argument of a classic queue's master", masterLocator},
	},
	refusals(
		refusedArguments("length in bytes negative", invalidArgument+"x-max-length-bytes"+ofThisQueue+"{value_negative,-1}", "x-max-length-bytes", -1),
		refusedArguments("length in bytes text", invalidArgument+"x-max-length-bytes"+ofThisQueue+`"expected integer, got longstr"`, "x-max-length-bytes", "1"),
		refusedArguments("priority negative", invalidArgument+"x-max-priority"+ofThisQueue+"{value_negative,-1}", "x-max-priority", -1),
		refusedArguments("priority too large", invalidArgument+"x-max-priority"+ofThisQueue+"{max_value_exceeded,256}", "x-max-priority", 256),
		refusedArguments("priority text", invalidArgument+"x-max-priority"+ofThisQueue+`"expected integer, got longstr"`, "x-max-priority", "1"),
		refusedArguments("version 3", invalidArgument+"x-queue-version"+ofThisQueue+`"unsupported queue version '3'"`, "x-queue-version", 3),
		refusedArguments("version text", invalidArgument+"x-queue-version"+ofThisQueue+`"expected integer, got longstr"`, "x-queue-version", "2"),
		differingArguments("priority differs", "x-max-priority"+ofThisQueue+"received '2' but current is '1'", []any{"x-max-priority", 1}, []any{"x-max-priority", 2}),
		differingArguments("priority added", "x-max-priority"+ofThisQueue+"received the value '1' of type 'signedint' but current is none",
			nil, []any{"x-max-priority", int32(1)}),
		differingArguments("length in bytes differs", "x-max-length-bytes"+ofThisQueue+"received '2' but current is '1'",
			[]any{"x-max-length-bytes", 1}, []any{"x-max-length-bytes", 2}),
		differingArguments("mode differs", "x-queue-mode"+ofThisQueue+"received 'default' but current is 'lazy'",
			[]any{"x-queue-mode", "lazy"}, []any{"x-queue-mode", "default"}),
		ofAnotherType("classic", "x-max-age", "1D"),
		ofAnotherType("classic", "x-quorum-initial-group-size", 1),
		ofAnotherType("classic", "x-dead-letter-strategy", "at-most-once"),
		ofAnotherType("quorum", "x-max-priority", 1),
		ofAnotherType("quorum", "x-queue-mode", "lazy"),
		ofAnotherType("quorum", "x-initial-cluster-size", 1),
		ofAnotherType("stream", "x-message-ttl", 1),
		ofAnotherType("stream", "x-max-length", 1),
		ofAnotherType("stream", "x-dead-letter-exchange", ""),
		ofAnotherType("stream", "x-single-active-consumer", true),
		ofAnotherType("stream", "x-expires", 60000),
		ofType("quorum", "x-dead-letter-strategy", "other", "invalid_dlx_strategy"),
		ofType("quorum", "x-max-in-memory-length", -1, "{value_negative,-1}"),
		ofType("quorum", "x-max-in-memory-bytes", "1", `"expected integer, got longstr"`),
		ofType("quorum", "x-quorum-initial-group-size", 0, "{value_zero,0}"),
		ofType("quorum", "x-queue-leader-locator", "other", "invalid_queue_locator_arg"),
		ofType("quorum", "x-queue-leader-locator", true, "{unacceptable_type,bool}"),
		ofType("stream", "x-max-age", "0D", "invalid_max_age"),
		ofType("stream", "x-max-age", "1x", "invalid_max_age"),
		ofType("stream", "x-max-age", true, "{unacceptable_type,bool}"),
		ofType("stream", "x-initial-cluster-size", 0, "{value_zero,0}"),
		ofType("stream", "x-stream-max-segment-size-bytes", -1, "{value_negative,-1}"),
		refused("argument of a segment that is too large", 406, "PRECONDITION_FAILED - Exceeded max value for x-stream-max-segment-size-bytes", func(ch *channel) {
			ch.ofType("stream", "x-stream-max-segment-size-bytes", int64(3_000_000_001))
		}),
		refused("argument of a queue's master", 406, invalidArgument+"x-queue-master-locator' for queue '{name}' in vhost '/' of queue type rabbit_quorum_queue", func(ch *channel) {
			ch.ofType("quorum", "x-queue-master-locator", "min-masters")
		}),
		refused("argument of an age without a number", 541, "INTERNAL_ERROR", func(ch *channel) { ch.ofType("stream", "x-max-age", "D") }).
			where(versions.ReadsAges, 406, invalidArgument+"x-max-age"+ofThisQueue+"invalid_max_age"),
	),
)

const mastersRefused = "INTERNAL_ERROR - Feature `queue_master_locator` is deprecated.\nBy default, this feature is not permitted anymore.\n" +
	"The feature will be removed from a future major RabbitMQ version, regardless of the configuration; actual version to be determined.\nTo con..."

// ofType has a queue of a type refuse what is wrong with an argument that it may have.
func ofType(kind, name string, value any, text string) refusal {
	return refused("argument "+name+" of a "+kind+" queue, "+text, 406, invalidArgument+name+ofThisQueue+text,
		func(ch *channel) { ch.ofType(kind, name, value) })
}

// ofAnotherType has a queue of a type refuse an argument that only others may have.
func ofAnotherType(kind, name string, value any) refusal {
	return refused("argument "+name+" is not for a "+kind+" queue", 406,
		invalidArgument+name+"' for queue '{name}' in vhost '/' of queue type rabbit_"+kind+"_queue",
		func(ch *channel) { ch.ofType(kind, name, value) })
}

// ofType declares a queue, which is expected to fail.
func (ch *channel) ofType(kind, name string, value any) {
	ch.QueueDeclare(ch.c.name, true, false, false, false, amqp.Table{"x-queue-type": kind, name: value})
}

func knownClassic(c *client) {
	args := []any{
		"x-max-priority", 3, "x-max-length-bytes", 100, "x-queue-mode", "lazy", "x-queue-version", 2,
	}
	if c.has(versions.LocatesClassic) {
		args = append(args, "x-queue-leader-locator", "balanced")
	}
	c.taken(args)
	if c.has(versions.HasLazyQueues) {
		c.name = c.other("old")
		c.taken([]any{"x-queue-version", 1, "x-queue-mode", "default"})
	}
}

func knownQuorum(c *client) {
	args := []any{
		"x-queue-type", "quorum", "x-max-length-bytes", 100, "x-max-in-memory-length", 1, "x-max-in-memory-bytes", 1,
		"x-quorum-initial-group-size", 1, "x-queue-leader-locator", "client-local", "x-dead-letter-strategy", "at-most-once",
	}
	if c.has(versions.ChecksTimeouts) {
		args = append(args, "x-consumer-timeout", 60000, "x-consumer-disconnected-timeout", 60000)
	}
	c.taken(args)
}

func knownStream(c *client) {
	args := []any{
		"x-queue-type", "stream", "x-max-length-bytes", 1000, "x-max-age", "7D", "x-stream-max-segment-size-bytes", 1000000,
		"x-initial-cluster-size", 1, "x-queue-leader-locator", "client-local",
	}
	if c.has(versions.ChecksTimeouts) {
		args = append(args, "x-stream-filter-size-bytes", 16)
	}
	c.taken(args)
}

// taken declares a queue twice.
func (c *client) taken(args []any) {
	ch := c.channel()
	ch.durable(c.name, args...)
	ch.durable(c.name, args...)
	ch.publish(c.name, "1")
	ch.awaitReady(c.name, 1)
}

func masterLocator(c *client) {
	ch := c.channel()
	ch.QueueDeclare(c.name, true, false, false, false, amqp.Table{"x-queue-master-locator": "min-masters"})
	if c.has(versions.RefusesMasters) {
		ch.wantClosed(541, mastersRefused)
		return
	}
	_, err := ch.QueueDelete(c.name, false, false, false)
	c.ok(err)
}

func noDeliveryLimit(c *client) {
	if !c.has(versions.DefaultLimit) {
		c.Skip("there is no limit that one could be without")
	}
	ch := c.channel()
	ch.durable(c.name, "x-queue-type", "quorum", "x-delivery-limit", -1)
	ch.publish(c.name, "1")
	for range 25 {
		held := ch.get(c.name)
		c.ok(held.Reject(true))
	}
	ch.get(c.name)
}
