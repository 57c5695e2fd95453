package brokertest_test

import (
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

const (
	invalidArgument = "PRECONDITION_FAILED - invalid arg '"
	ofThisQueue     = "' for queue '{name}' in vhost '/': "
)

// refusedArguments are those that a queue cannot be declared with.
func refusedArguments(name, text string, args ...any) refusal {
	return refused("argument "+name, 406, text, func(ch *channel) {
		ch.QueueDeclare(ch.c.name, false, false, true, false, arguments(args))
	})

}

// differingArguments are those that a queue, declared with the first, cannot be declared with again.
func differingArguments(name, text string, first, second []any) refusal {
	return refused("argument "+name, 406, "PRECONDITION_FAILED - inequivalent arg '"+text, func(ch *channel) {
		ch.queue(first...)
		ch.QueueDeclare(ch.c.name, false, false, true, false, arguments(second))
	})

}

var argumentScenarios = slices.Concat(
	[]scenario{
		{"arguments of other integer types are the same", sameArguments},
		{"type classic is what no type is", typeClassic},
		{"unknown arguments", unknownArguments},
		{"unknown arguments of a consumer", unknownConsumerArguments},
		{"arguments that are zero", zeroArguments},
	},
	refusals(
		refusedArguments("ttl negative", invalidArgument+"x-message-ttl"+ofThisQueue+"{value_negative,-1}", "x-message-ttl", -1),
		refusedArguments("ttl text", invalidArgument+"x-message-ttl"+ofThisQueue+`"expected integer, got longstr"`, "x-message-ttl", "5"),
		refusedArguments("ttl double", invalidArgument+"x-message-ttl"+ofThisQueue+`"expected integer, got double"`, "x-message-ttl", 1.5),
		refusedArguments("ttl bool", invalidArgument+"x-message-ttl"+ofThisQueue+`"expected integer, got bool"`, "x-message-ttl", true),
		refusedArguments("ttl too large", invalidArgument+"x-message-ttl"+ofThisQueue+"{value_too_large,1099511627776}", "x-message-ttl", int64(1)<<40),
		refusedArguments("expires 0", invalidArgument+"x-expires"+ofThisQueue+"{value_zero,0}", "x-expires", 0),
		refusedArguments("expires too large", invalidArgument+"x-expires"+ofThisQueue+"{value_too_large,1099511627776}", "x-expires", int64(1)<<40),
		refusedArguments("expires before ttl", invalidArgument+"x-expires"+ofThisQueue+"{value_zero,0}", "x-expires", 0, "x-message-ttl", -1),
		refusedArguments("length negative", invalidArgument+"x-max-length"+ofThisQueue+"{value_negative,-1}", "x-max-length", -1),
		refusedArguments("length text", invalidArgument+"x-max-length"+ofThisQueue+`"expected integer, got longstr"`, "x-max-length", "1"),
		refusedArguments("overflow unknown", invalidArgument+"x-overflow"+ofThisQueue+"invalid_overflow", "x-overflow", "other"),
		refusedArguments("overflow number", invalidArgument+"x-overflow"+ofThisQueue+"{unacceptable_type,signedint}", "x-overflow", 1),
		refusedArguments("dead-letter exchange number",
			"PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue '{name}' in vhost '/'", "x-dead-letter-exchange", 1),
		refusedArguments("dead-letter key alone",
			invalidArgument+"x-dead-letter-routing-key"+ofThisQueue+"routing_key_but_no_dlx_defined", "x-dead-letter-routing-key", "k"),
		refusedArguments("dead-letter key number",
			invalidArgument+"x-dead-letter-routing-key"+ofThisQueue+"{unacceptable_type,signedint}", "x-dead-letter-exchange", "", "x-dead-letter-routing-key", 1),
		refusedArguments("single active text", invalidArgument+"x-single-active-consumer"+ofThisQueue+"{unacceptable_type,longstr}", "x-single-active-consumer", "a"),
		refusedArguments("type unknown", invalidArgument+"x-queue-type"+ofThisQueue+`"unsupported queue type 'other'"`, "x-queue-type", "other"),
		refusedArguments("type number", invalidArgument+"x-queue-type"+ofThisQueue+"{unacceptable_type,signedint}", "x-queue-type", 1),
		refusedArguments("limit of a classic queue",
			invalidArgument+"x-delivery-limit' for queue '{name}' in vhost '/' of queue type rabbit_classic_queue", "x-delivery-limit", 3),

		differingArguments("expires differs", "x-expires"+ofThisQueue+"received '60001' but current is '60000'", []any{"x-expires", 60000}, []any{"x-expires", 60001}),
		differingArguments("impossible ttl differs", "x-message-ttl"+ofThisQueue+"received the value 'x' of type 'longstr' but current is none", nil, []any{"x-message-ttl", "x"}),
		differingArguments("ttl differs", "x-message-ttl"+ofThisQueue+"received '2' but current is '1'", []any{"x-message-ttl", 1}, []any{"x-message-ttl", 2}),
		differingArguments("ttl added", "x-message-ttl"+ofThisQueue+"received the value '1' of type 'long' but current is none", nil, []any{"x-message-ttl", int64(1)}),
		differingArguments("ttl removed", "x-message-ttl"+ofThisQueue+"received none but current is the value '1' of type 'signedint'", []any{"x-message-ttl", int32(1)}, nil),
		differingArguments("length differs", "x-max-length"+ofThisQueue+"received '2' but current is '1'", []any{"x-max-length", 1}, []any{"x-max-length", 2}),
		differingArguments("overflow added", "x-overflow"+ofThisQueue+"received the value 'drop-head' of type 'longstr' but current is none",
			nil, []any{"x-overflow", "drop-head"}),
		differingArguments("dead-letter exchange differs", "x-dead-letter-exchange"+ofThisQueue+"received 'b' but current is 'a'",
			[]any{"x-dead-letter-exchange", "a"}, []any{"x-dead-letter-exchange", "b"}),
		differingArguments("dead-letter key removed", "x-dead-letter-routing-key"+ofThisQueue+"received none but current is the value 'k' of type 'longstr'",
			[]any{"x-dead-letter-exchange", "a", "x-dead-letter-routing-key", "k"}, []any{"x-dead-letter-exchange", "a"}),
		differingArguments("single active added", "x-single-active-consumer"+ofThisQueue+"received the value 'true' of type 'bool' but current is none",
			nil, []any{"x-single-active-consumer", true}),
		differingArguments("single active false is not none", "x-single-active-consumer"+ofThisQueue+"received the value 'false' of type 'bool' but current is none",
			nil, []any{"x-single-active-consumer", false}),
		refused("argument type differs", 406, queueDiffers+"x-queue-type"+ofThisQueue+"received the value 'quorum' of type 'longstr' but current is none",
			func(ch *channel) {
				ch.durable(ch.c.name)
				ch.QueueDeclare(ch.c.name, true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
			}).where(versions.NamesTypes, 406, queueDiffers+"x-queue-type"+ofThisQueue+"received 'quorum' but current is 'classic'"),
	),
)

func sameArguments(c *client) {
	ch := c.channel()
	ch.queue("x-message-ttl", int16(5000), "x-max-length", int64(5), "x-dead-letter-exchange", "dlx")
	ch.queue("x-message-ttl", int64(5000), "x-max-length", int32(5), "x-dead-letter-exchange", "dlx")
}

func typeClassic(c *client) {
	ch := c.channel()
	ch.queue()
	ch.queue("x-queue-type", "classic")
}

func unknownArguments(c *client) {
	ch := c.channel()
	if c.differs(strictArguments) {
		ch.QueueDeclare(c.name, false, false, true, false, amqp.Table{"x-other": true})
		ch.wantRefused()
	}
	ch = c.lenient()
	ch.queue("x-other", true, "other", "x")
	ch.queue("x-other", false) // and they are not compared
	c.wantIgnored("queue.declare other", "queue.declare x-other")
}

func unknownConsumerArguments(c *client) {
	ch := c.channel()
	ch.queue()
	if c.differs(strictArguments) {
		ch.Consume(c.name, "", false, false, false, false, amqp.Table{"x-other": true})
		ch.wantRefused()
	}
	ch = c.lenient()
	ch.queueNamed(c.other("lenient"))
	c.name = c.other("lenient")
	consumer := ch.consume(c.name, consuming{arguments: amqp.Table{"x-other": true}})
	ch.publish(c.name, "1")
	consumer.want("1")
	c.wantIgnored("basic.consume x-other")
}

// lenient opens a channel to a broker that passes over arguments which it does not know.
func (c *client) lenient() *channel {
	c.server, c.first = c.server.Lenient(c), nil
	return c.channel()
}

// wantIgnored asks a Server what it has passed over.
func (c *client) wantIgnored(want ...string) {
	c.Helper()
	if d, ok := c.server.(double); ok && !slices.Equal(d.Ignored(), want) {
		c.Errorf("ignored %q, want %q", d.Ignored(), want)
	}
}

func zeroArguments(c *client) {
	ch := c.channel()
	ch.queueNamed(c.other("ttl"), "x-message-ttl", 0)
	ch.publish(c.other("ttl"), "1")
	ch.wantQueue(c.other("ttl"))
	ch.queueNamed(c.other("length"), "x-max-length", 0)
	ch.publish(c.other("length"), "1")
	ch.wantQueue(c.other("length"))
}
