package brokertest_test

import (
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/rabbittest"
)

const (
	defaultRefused  = "ACCESS_REFUSED - operation not permitted on the default exchange"
	exchangeDiffers = "PRECONDITION_FAILED - inequivalent arg '"
	exchangeMissing = "NOT_FOUND - no exchange '{name}' in vhost '/'"
)

var exchangeScenarios = slices.Concat(
	[]scenario{
		{"exchange is declared twice", declareExchangeTwice},
		{"exchange passive ignores what it is told", passiveExchange},
		{"exchange delete", deleteExchange},
		{"exchange delete if unused", deleteUnusedExchange},
		{"auto-delete exchange goes with its last binding", autoDeleteExchange},
		{"auto-delete exchange goes with its last queue", autoDeleteExchangeByQueue},
		{"auto-delete exchange that was never bound stays", autoDeleteExchangeStays},
		{"exchange delete unbinds", deleteExchangeUnbinds},
		{"exchange declare with nowait", exchangeNoWait},
	},
	refusals(
		refused("exchange bound to a missing one", 404, "NOT_FOUND - no exchange 'nope' in vhost '/'",
			func(ch *channel) { ch.ExchangeBind("nope", "", "amq.fanout", false, nil) }),
		refused("exchange bound from a missing one", 404, "NOT_FOUND - no exchange 'nope' in vhost '/'",
			func(ch *channel) { ch.ExchangeBind("amq.fanout", "", "nope", false, nil) }),
		refused("exchange bound to the default exchange", 403, "ACCESS_REFUSED - operation not permitted on the default exchange",
			func(ch *channel) { ch.ExchangeBind("", "", "amq.fanout", false, nil) }),
		refused("exchange unbound from the default exchange", 403, "ACCESS_REFUSED - operation not permitted on the default exchange",
			func(ch *channel) { ch.ExchangeUnbind("amq.fanout", "", "", false, nil) }),
		refused("exchange of another type", 406, exchangeDiffers+"type' for exchange '{name}' in vhost '/': received 'topic' but current is 'direct'",
			func(ch *channel) { ch.exchange("direct"); ch.redeclare("topic", false, false, false) }),
		refused("exchange now durable", 406, exchangeDiffers+"durable' for exchange '{name}' in vhost '/': received 'true' but current is 'false'",
			func(ch *channel) { ch.exchange("direct"); ch.redeclare("direct", true, false, false) }),
		refused("exchange now auto-delete", 406, exchangeDiffers+"auto_delete' for exchange '{name}' in vhost '/': received 'true' but current is 'false'",
			func(ch *channel) { ch.exchange("direct"); ch.redeclare("direct", false, true, false) }),
		refused("exchange now internal", 406, exchangeDiffers+"internal' for exchange '{name}' in vhost '/': received 'true' but current is 'false'",
			func(ch *channel) { ch.exchange("direct"); ch.redeclare("direct", false, false, true) }),
		refused("exchange differs in everything", 406, exchangeDiffers+"type' for exchange '{name}' in vhost '/': received 'topic' but current is 'direct'",
			func(ch *channel) { ch.exchange("direct"); ch.redeclare("topic", true, true, true) }),
		refused("exchange of an unknown type", 503, "COMMAND_INVALID - invalid exchange type 'other'",
			func(ch *channel) { ch.redeclare("other", false, false, false) }).
			where(versions.ForgivesTypes, 406, "PRECONDITION_FAILED - invalid exchange type 'other'"),
		refused("exchange passive, missing", 404, exchangeMissing,
			func(ch *channel) { ch.ExchangeDeclarePassive(ch.c.name, "direct", false, false, false, false, nil) }),
		refused("exchange with a reserved name", 403, "ACCESS_REFUSED - exchange name 'amq.{name}' contains reserved prefix 'amq.*'",
			func(ch *channel) { ch.ExchangeDeclare("amq."+ch.c.name, "direct", false, false, false, false, nil) }),
		refused("predeclared exchange differs", 406, exchangeDiffers+"type' for exchange 'amq.direct' in vhost '/': received 'topic' but current is 'direct'",
			func(ch *channel) { ch.ExchangeDeclare("amq.direct", "topic", true, false, false, false, nil) }),
		refused("predeclared exchange is deleted", 403, "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed",
			func(ch *channel) { ch.ExchangeDelete("amq.direct", false, false) }),
		refused("exchange of traces differs", 406, exchangeDiffers+"internal' for exchange 'amq.rabbitmq.trace' in vhost '/': received 'false' but current is 'true'",
			func(ch *channel) { ch.ExchangeDeclare("amq.rabbitmq.trace", "topic", true, false, false, false, nil) }),
		refused("exchange of traces is deleted", 403, "ACCESS_REFUSED - deletion of system exchange 'amq.rabbitmq.trace' in vhost '/' not allowed",
			func(ch *channel) { ch.ExchangeDelete("amq.rabbitmq.trace", false, false) }),
		refused("exchange of traces is published to", 403, "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'",
			func(ch *channel) { ch.cast("amq.rabbitmq.trace", "", amqp.Publishing{}) }),
		refused("exchange in use is deleted if unused", 406, "PRECONDITION_FAILED - exchange '{name}' in vhost '/' in use",
			func(ch *channel) {
				ch.exchange("fanout")
				ch.queue()
				ch.bind(ch.c.name, "", ch.c.name)
				ch.ExchangeDelete(ch.c.name, true, false)
			}),
		refused("default exchange is declared", 403, defaultRefused,
			func(ch *channel) { ch.ExchangeDeclare("", "direct", true, false, false, false, nil) }),
		refused("default exchange is declared passively", 403, defaultRefused,
			func(ch *channel) { ch.ExchangeDeclarePassive("", "direct", true, false, false, false, nil) }),
		refused("default exchange is deleted", 403, defaultRefused,
			func(ch *channel) { ch.ExchangeDelete("", false, false) }),
		refused("default exchange is bound", 403, defaultRefused,
			func(ch *channel) { ch.queue(); ch.QueueBind(ch.c.name, "k", "", false, nil) }),
		refused("default exchange is unbound", 403, defaultRefused,
			func(ch *channel) { ch.queue(); ch.QueueUnbind(ch.c.name, ch.c.name, "", nil) }),
		refused("publish to a missing exchange", 404, exchangeMissing,
			func(ch *channel) { ch.cast(ch.c.name, "", amqp.Publishing{}) }),
		refused("publish to an internal exchange", 403, "ACCESS_REFUSED - cannot publish to internal exchange '{name}' in vhost '/'",
			func(ch *channel) {
				c := ch.c
				c.ok(ch.ExchangeDeclare(c.name, "fanout", false, false, true, false, nil))
				c.Cleanup(func() { c.channel().ExchangeDelete(c.name, false, false) })
				ch.cast(c.name, "", amqp.Publishing{})
			}),
	),
)

// redeclare declares an exchange with the scenario's name; it is expected to fail.
func (ch *channel) redeclare(kind string, durable, autoDelete, internal bool) {
	ch.ExchangeDeclare(ch.c.name, kind, durable, autoDelete, internal, false, nil)
}

// exists tells whether there is such an exchange. It costs a channel if not.
func (ch *channel) exists(exchange string) bool {
	probe := ch.channel()
	return probe.ExchangeDeclarePassive(exchange, "direct", false, false, false, false, nil) == nil && probe.Close() == nil
}

func declareExchangeTwice(c *client) {
	ch := c.channel()
	ch.exchange("topic")
	ch.exchange("topic")
}

func passiveExchange(c *client) {
	ch := c.channel()
	ch.exchange("topic")
	c.ok(ch.ExchangeDeclarePassive(c.name, "other", true, true, true, false, nil))
}

func deleteExchange(c *client) {
	ch := c.channel()
	ch.exchange("topic")
	c.ok(ch.ExchangeDelete(c.name, false, false))
	if ch.exists(c.name) {
		c.Error("it is still there")
	}
	c.ok(ch.ExchangeDelete(c.name, false, false))
	c.ok(ch.ExchangeDelete(c.name, true, false))
}

func deleteUnusedExchange(c *client) {
	ch := c.channel()
	ch.exchange("topic")
	ch.queue()
	ch.bind(c.name, "a", c.name)
	c.ok(ch.QueueUnbind(c.name, "a", c.name, nil))
	c.ok(ch.ExchangeDelete(c.name, true, false))
}

func autoDeleteExchange(c *client) {
	ch := c.channel()
	c.ok(ch.ExchangeDeclare(c.name, "direct", false, true, false, false, nil))
	ch.queue()
	ch.bind(c.name, "a", c.name)
	ch.bind(c.name, "b", c.name)
	c.ok(ch.QueueUnbind(c.name, "a", c.name, nil))
	if !ch.exists(c.name) {
		c.Error("it went with the first binding")
	}
	c.ok(ch.QueueUnbind(c.name, "b", c.name, nil))
	if ch.exists(c.name) {
		c.Error("it did not go with the last binding")
	}
}

func autoDeleteExchangeByQueue(c *client) {
	ch := c.channel()
	c.ok(ch.ExchangeDeclare(c.name, "direct", false, true, false, false, nil))
	ch.queue()
	ch.bind(c.name, "a", c.name)
	_, err := ch.QueueDelete(c.name, false, false, false)
	c.ok(err)
	rabbittest.Eventually(c, moment, "it goes with the queue", func() bool { return !ch.exists(c.name) })
}

func autoDeleteExchangeStays(c *client) {
	ch := c.channel()
	c.ok(ch.ExchangeDeclare(c.name, "direct", false, true, false, false, nil))
	ch.queue()
	c.ok(ch.QueueUnbind(c.name, "a", c.name, nil))
	if !ch.exists(c.name) {
		c.Error("it went without having been bound")
	}
	c.ok(ch.ExchangeDelete(c.name, false, false))
}

func deleteExchangeUnbinds(c *client) {
	ch := c.channel()
	ch.exchange("fanout")
	ch.queue()
	ch.bind(c.name, "", c.name)
	c.ok(ch.ExchangeDelete(c.name, false, false))
	ch.exchange("fanout")
	ch.send(c.name, "", amqp.Publishing{Body: []byte("lost")})
	ch.publish(c.name, "1")
	ch.wantQueue(c.name, "1")
}

func exchangeNoWait(c *client) {
	ch := c.channel()
	c.ok(ch.ExchangeDeclare(c.name, "fanout", false, true, false, true, nil))
	ch.queue()
	c.ok(ch.QueueBind(c.name, "", c.name, true, nil))
	ch.sync()
	ch.send(c.name, "", amqp.Publishing{Body: []byte("1")})
	ch.wantQueue(c.name, "1")
}
