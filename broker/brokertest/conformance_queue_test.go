package brokertest_test

import (
	"regexp"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/rabbittest"
)

const (
	queueMissing  = "NOT_FOUND - no queue '{name}' in vhost '/'"
	noneDeclared  = "NOT_FOUND - no previously declared queue"
	queueDiffers  = "PRECONDITION_FAILED - inequivalent arg '"
	queueIsLocked = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'. It could be originally" +
		" declared on another connection or the exclusive property value does not match that of the original declaration."
)

var queueScenarios = slices.Concat(
	[]scenario{
		{"queue declare counts", declareCounts},
		{"queue passive ignores what it is told", passiveQueue},
		{"queue named by the broker", serverNamed},
		{"empty name is the queue declared last", lastDeclared},
		{"exclusive queue goes with its connection", exclusiveGoes},
		{"exclusive queue stays when its channel closes", exclusiveStays},
		{"auto-delete queue goes when its consumer is cancelled", autoDeleteByCancel},
		{"auto-delete queue goes when its consumer's channel closes", autoDeleteByChannel},
		{"auto-delete queue goes when its consumer's connection closes", autoDeleteByConnection},
		{"auto-delete queue that had no consumer stays", autoDeleteStays},
		{"purge", purge},
		{"delete queue", deleteQueue},
		{"delete queue if unused and if empty", deleteUnusedQueue},
		{"queue deleted is unbound", deletedQueueIsUnbound},
		{"queue declare with nowait", queueNoWait},
		{"longest name of a queue", longestName},
		{"names lose their line breaks", lineBreaks},
		{"unbind of the queue declared last", unbindLast},
		{"unbind of what is not bound to a locked queue", unbindNothingLocked},
	},
	refusals(
		refused("queue now durable", 406, queueDiffers+"durable' for queue '{name}' in vhost '/': received 'true' but current is 'false'",
			func(ch *channel) { ch.shared(); ch.QueueDeclare(ch.c.name, true, false, false, false, nil) }),
		refused("queue no longer durable", 406, queueDiffers+"durable' for queue '{name}' in vhost '/': received 'false' but current is 'true'",
			func(ch *channel) { ch.durable(ch.c.name); ch.QueueDeclare(ch.c.name, false, false, false, false, nil) }),
		refused("queue now auto-delete", 406, queueDiffers+"auto_delete' for queue '{name}' in vhost '/': received 'true' but current is 'false'",
			func(ch *channel) { ch.shared(); ch.QueueDeclare(ch.c.name, false, true, false, false, nil) }),
		refused("queue now exclusive", 405, queueIsLocked,
			func(ch *channel) { ch.shared(); ch.QueueDeclare(ch.c.name, false, false, true, false, nil) }),
		refused("queue no longer exclusive", 405, queueIsLocked,
			func(ch *channel) { ch.queue(); ch.QueueDeclare(ch.c.name, false, false, false, false, nil) }),
		refused("queue differs in all flags", 406, queueDiffers+"durable' for queue '{name}' in vhost '/': received 'true' but current is 'false'",
			func(ch *channel) { ch.shared(); ch.QueueDeclare(ch.c.name, true, true, false, false, nil) }),
		refused("queue with a reserved name", 403, "ACCESS_REFUSED - queue name 'amq.{name}' contains reserved prefix 'amq.*'",
			func(ch *channel) { ch.QueueDeclare("amq."+ch.c.name, false, false, true, false, nil) }),
		refused("queue passive, missing", 404, queueMissing,
			func(ch *channel) { ch.QueueDeclarePassive(ch.c.name, false, false, false, false, nil) }),
		refused("queue passive, no name", 404, "NOT_FOUND - no queue '' in vhost '/'",
			func(ch *channel) { ch.QueueDeclarePassive("", false, false, false, false, nil) }),
		refused("get, missing", 404, queueMissing, func(ch *channel) { ch.Get(ch.c.name, true) }),
		refused("get, none declared", 404, noneDeclared, func(ch *channel) { ch.Get("", true) }),
		refused("consume, missing", 404, queueMissing, func(ch *channel) { ch.Consume(ch.c.name, "", true, false, false, false, nil) }),
		refused("consume, none declared", 404, noneDeclared, func(ch *channel) { ch.Consume("", "", true, false, false, false, nil) }),
		refused("purge, missing", 404, queueMissing, func(ch *channel) { ch.QueuePurge(ch.c.name, false) }),
		refused("purge, none declared", 404, noneDeclared, func(ch *channel) { ch.QueuePurge("", false) }),
		refused("delete queue, none declared", 404, noneDeclared, func(ch *channel) { ch.QueueDelete("", false, false, false) }),
		refused("bind, queue missing", 404, queueMissing, func(ch *channel) { ch.QueueBind(ch.c.name, "k", "amq.direct", false, nil) }),
		refused("bind, exchange missing", 404, "NOT_FOUND - no exchange '{name}-x' in vhost '/'",
			func(ch *channel) { ch.queue(); ch.QueueBind(ch.c.name, "k", ch.c.other("x"), false, nil) }),
		refused("bind, both missing", 404, "NOT_FOUND - no exchange '{name}-x' in vhost '/'",
			func(ch *channel) { ch.QueueBind(ch.c.name, "k", ch.c.other("x"), false, nil) }),
		refused("bind, none declared", 404, noneDeclared, func(ch *channel) { ch.QueueBind("", "k", "amq.direct", false, nil) }),
		refused("unbind, none declared", 404, noneDeclared, func(ch *channel) { ch.QueueUnbind("", "k", "amq.direct", nil) }),
		refused("exclusive elsewhere, declare", 405, queueIsLocked,
			func(ch *channel) { ch.elsewhere(); ch.QueueDeclare(ch.c.name, false, false, true, false, nil) }),
		refused("exclusive elsewhere, declare another kind", 405, queueIsLocked,
			func(ch *channel) { ch.elsewhere(); ch.QueueDeclare(ch.c.name, true, true, false, false, nil) }),
		refused("exclusive elsewhere, passive", 405, queueIsLocked,
			func(ch *channel) { ch.elsewhere(); ch.QueueDeclarePassive(ch.c.name, false, false, false, false, nil) }),
		refused("exclusive elsewhere, get", 405, queueIsLocked,
			func(ch *channel) { ch.elsewhere(); ch.Get(ch.c.name, true) }),
		refused("exclusive elsewhere, consume", 405, queueIsLocked,
			func(ch *channel) { ch.elsewhere(); ch.Consume(ch.c.name, "", true, false, false, false, nil) }),
		refused("exclusive elsewhere, bind", 405, queueIsLocked,
			func(ch *channel) { ch.elsewhere(); ch.QueueBind(ch.c.name, "k", "amq.direct", false, nil) }),
		refused("exclusive elsewhere, unbind", 405, queueIsLocked, func(ch *channel) {
			owner := ch.c.dial(amqp.Config{}).channel()
			owner.queue()
			owner.bind(ch.c.name, ch.c.name, "amq.direct")
			ch.QueueUnbind(ch.c.name, ch.c.name, "amq.direct", nil)
		}),
		refused("unbind, none declared and no key", 404, noneDeclared, func(ch *channel) { ch.QueueUnbind("", "", "nope", nil) }),
		refused("a line break in the name of a queue, get", 404, "NOT_FOUND - no queue 'a\n{name}' in vhost '/'",
			func(ch *channel) { ch.Get("a\n"+ch.c.name, true) }),
		refused("a line break in the name of a queue, consume", 404, "NOT_FOUND - no queue 'a\n{name}' in vhost '/'",
			func(ch *channel) { ch.Consume("a\n"+ch.c.name, "", true, false, false, false, nil) }),
		refused("a line break in the name of a queue, purge", 404, "NOT_FOUND - no queue 'a\n{name}' in vhost '/'",
			func(ch *channel) { ch.QueuePurge("a\n"+ch.c.name, false) }),
		refused("a line break in the name of an exchange, publish", 404, "NOT_FOUND - no exchange 'a\r{name}' in vhost '/'",
			func(ch *channel) { ch.cast("a\r"+ch.c.name, "", amqp.Publishing{}) }),
		refused("a line break in a reserved name", 403, "ACCESS_REFUSED - queue name 'amq.{name}' contains reserved prefix 'amq.*'",
			func(ch *channel) { ch.QueueDeclare("\ramq."+ch.c.name, false, false, true, false, nil) }),
		refused("a name of line breaks is the default exchange", 403, defaultRefused,
			func(ch *channel) { ch.ExchangeDeclarePassive("\r\n", "direct", false, false, false, false, nil) }),
		refused("exclusive elsewhere, purge", 405, queueIsLocked,
			func(ch *channel) { ch.elsewhere(); ch.QueuePurge(ch.c.name, false) }),
		refused("exclusive elsewhere, delete", 405, queueIsLocked,
			func(ch *channel) { ch.elsewhere(); ch.QueueDelete(ch.c.name, false, false, false) }),
		refused("delete queue if empty", 406, "PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty", func(ch *channel) {
			ch.queue()
			ch.publish(ch.c.name, "1")
			ch.QueueDelete(ch.c.name, false, true, false)
		}),
		refused("delete queue if unused", 406, "PRECONDITION_FAILED - queue '{name}' in vhost '/' in use", func(ch *channel) {
			ch.queue()
			ch.consume(ch.c.name, consuming{})
			ch.QueueDelete(ch.c.name, true, false, false)
		}),
	),
)

// shared declares a queue that is neither durable nor exclusive.
func (ch *channel) shared() {
	c := ch.c
	_, err := ch.QueueDeclare(c.name, false, false, false, false, nil)
	c.ok(err)
	c.Cleanup(func() { c.channel().QueueDelete(c.name, false, false, false) })
}

// elsewhere declares an exclusive queue on another connection.
func (ch *channel) elsewhere() { ch.c.dial(amqp.Config{}).channel().queue() }

func (c *client) wantCounts(q amqp.Queue, messages, consumers int) {
	c.Helper()
	if q.Messages != messages || q.Consumers != consumers {
		c.Errorf("%d messages, %d consumers, want %d and %d", q.Messages, q.Consumers, messages, consumers)
	}
}

// there tells whether there is such a queue. It costs a channel if not.
func (ch *channel) there(queue string) bool {
	probe := ch.channel()
	_, err := probe.QueueDeclarePassive(queue, false, false, false, false, nil)
	return err == nil && probe.Close() == nil
}

func declareCounts(c *client) {
	ch := c.channel()
	q, err := ch.QueueDeclare(c.name, false, false, true, false, nil)
	c.ok(err)
	c.wantCounts(q, 0, 0)
	if q.Name != c.name {
		c.Errorf("declared %q", q.Name)
	}
	ch.publish(c.name, "1", "2", "3")
	ch.get(c.name) // unacknowledged messages do not count
	q, err = ch.QueueDeclare(c.name, false, false, true, false, nil)
	c.ok(err)
	c.wantCounts(q, 2, 0)
	consumer := ch.consume(c.name, consuming{})
	consumer.want("2", "3")
	q, err = ch.QueueDeclarePassive(c.name, false, false, false, false, nil)
	c.ok(err)
	c.wantCounts(q, 0, 1)
}

func passiveQueue(c *client) {
	ch := c.channel()
	ch.queue()
	_, err := ch.QueueDeclarePassive(c.name, true, true, false, false, amqp.Table{"x-message-ttl": 5})
	c.ok(err)
}

func serverNamed(c *client) {
	ch := c.channel()
	q, err := ch.QueueDeclare("", false, false, true, false, nil)
	c.ok(err)
	if !regexp.MustCompile(`^amq\.gen-[-_A-Za-z0-9]{22}$`).MatchString(q.Name) {
		c.Errorf("named %q", q.Name)
	}
	second, err := ch.QueueDeclare("", false, false, true, false, nil)
	c.ok(err)
	if second.Name == q.Name {
		c.Error("two queues of one name")
	}
	_, err = ch.QueueDeclare(second.Name, false, false, true, false, nil) // such a name may be declared again
	if err == nil {
		c.Error("a reserved name was declared")
	}
}

func lastDeclared(c *client) {
	ch := c.channel()
	ch.queueNamed(c.other("first"))
	ch.queue()
	ch.bind("", "", "amq.direct") // the key too is the queue's name
	ch.send("amq.direct", c.name, amqp.Publishing{Body: []byte("1")})
	if m := ch.get(""); string(m.Body) != "1" {
		c.Errorf("got %q", m.Body)
	}
	ch.publish(c.name, "2")
	ch.consume("", consuming{noAck: true}).want("2")
	_, err := ch.QueueDelete("", false, false, false)
	c.ok(err)
	if ch.there(c.name) {
		c.Error("it is still there")
	}
}

func exclusiveGoes(c *client) {
	owner := c.dial(amqp.Config{})
	owner.channel().queue()
	c.ok(owner.Close())
	ch := c.channel()
	rabbittest.Eventually(c, moment, "the queue goes", func() bool { return !ch.there(c.name) })
}

func exclusiveStays(c *client) {
	ch := c.channel()
	ch.queue()
	c.ok(ch.Close())
	if !c.channel().there(c.name) {
		c.Error("it went with the channel")
	}
}

// autoDeleted declares an auto-delete queue, with a consumer of tag "tag" on a connection of its own.
func autoDeleted(c *client) (observer, consumer *channel) {
	observer, consumer = c.channel(), c.dial(amqp.Config{}).channel()
	_, err := consumer.QueueDeclare(c.name, false, true, false, false, nil)
	c.ok(err)
	consumer.consume(c.name, consuming{tag: "tag"})
	consumer.consume(c.name, consuming{tag: "second"})
	c.ok(consumer.Cancel("second", false))
	if !observer.there(c.name) {
		c.Error("it went with one of two consumers")
	}
	return observer, consumer
}

func autoDeleteByCancel(c *client) {
	observer, consumer := autoDeleted(c)
	c.ok(consumer.Cancel("tag", false))
	rabbittest.Eventually(c, moment, "the queue goes", func() bool { return !observer.there(c.name) })
}

func autoDeleteByChannel(c *client) {
	observer, consumer := autoDeleted(c)
	c.ok(consumer.Close())
	rabbittest.Eventually(c, moment, "the queue goes", func() bool { return !observer.there(c.name) })
}

func autoDeleteByConnection(c *client) {
	observer, consumer := autoDeleted(c)
	c.ok(consumer.connection.Close())
	rabbittest.Eventually(c, moment, "the queue goes", func() bool { return !observer.there(c.name) })
}

func autoDeleteStays(c *client) {
	ch := c.channel()
	_, err := ch.QueueDeclare(c.name, false, true, false, false, nil)
	c.ok(err)
	ch.publish(c.name, "1")
	ch.wantQueue(c.name, "1") // a get is no consumer
	if !ch.there(c.name) {
		c.Error("it went without having had a consumer")
	}
	_, err = ch.QueueDelete(c.name, false, false, false)
	c.ok(err)
}

func purge(c *client) {
	ch := c.channel()
	ch.queue()
	ch.publish(c.name, "1", "2", "3")
	held := ch.get(c.name)
	count, err := ch.QueuePurge(c.name, false)
	c.ok(err)
	if count != 2 {
		c.Errorf("purged %d, want 2", count)
	}
	c.ok(ch.Reject(held.DeliveryTag, true))
	ch.wantQueue(c.name, "1R")
}

func deleteQueue(c *client) {
	ch := c.channel()
	ch.queue()
	ch.publish(c.name, "1", "2", "3")
	held := ch.get(c.name)
	for _, want := range []int{2, 0} { // what does not exist is deleted too
		count, err := ch.QueueDelete(c.name, false, false, false)
		c.ok(err)
		if count != want {
			c.Errorf("deleted with %d messages, want %d", count, want)
		}
	}
	c.ok(ch.Ack(held.DeliveryTag, false)) // and accepted
	ch.sync()
}

func deleteUnusedQueue(c *client) {
	ch := c.channel()
	ch.queue()
	ch.consume(c.name, consuming{tag: "tag"})
	c.ok(ch.Cancel("tag", false))
	ch.publish(c.name, "1")
	ch.wantQueue(c.name, "1")
	_, err := ch.QueueDelete(c.name, true, true, false)
	c.ok(err)
	_, err = ch.QueueDelete(c.name, true, true, false)
	c.ok(err)
}

func deletedQueueIsUnbound(c *client) {
	ch := c.channel()
	ch.exchange("fanout")
	ch.queue()
	ch.bind(c.name, "", c.name)
	_, err := ch.QueueDelete(c.name, false, false, false)
	c.ok(err)
	ch.queue()
	ch.send(c.name, "", amqp.Publishing{Body: []byte("lost")})
	ch.publish(c.name, "1")
	ch.wantQueue(c.name, "1")
}

func queueNoWait(c *client) {
	ch := c.channel()
	_, err := ch.QueueDeclare(c.name, false, false, true, true, nil)
	c.ok(err)
	ch.sync()
	ch.publish(c.name, "1", "2")
	ch.awaitReady(c.name, 2)
	_, err = ch.QueuePurge(c.name, true)
	c.ok(err)
	ch.wantQueue(c.name)
	_, err = ch.QueueDelete(c.name, false, false, true)
	c.ok(err)
	ch.sync() // another channel looks
	if ch.there(c.name) {
		c.Error("it is still there")
	}
}

func longestName(c *client) {
	ch := c.channel()
	name := c.name + strings.Repeat("x", 255-len(c.name))
	ch.queueNamed(name)
	ch.publish(name, "1")
	ch.wantQueue(name, "1")
}

// lineBreaks are left out of the names of what is declared, bound and deleted, and kept in routing keys.
func lineBreaks(c *client) {
	ch := c.channel()
	broken := "\r" + c.name[:3] + "\n\r\n" + c.name[3:] + "\n"
	q, err := ch.QueueDeclare(broken, false, false, true, false, nil)
	c.ok(err)
	if q.Name != c.name {
		c.Errorf("declared %q, want %q", q.Name, c.name)
	}
	_, err = ch.QueueDeclarePassive(broken, false, false, true, false, nil)
	c.ok(err)
	ch.exchange("direct")
	c.ok(ch.ExchangeDeclare(broken, "direct", false, false, false, false, nil))
	c.ok(ch.ExchangeDeclarePassive(broken, "direct", false, false, false, false, nil))
	ch.bind(broken, "k\ney", broken)
	ch.send(c.name, "k\ney", amqp.Publishing{Body: []byte("1")})
	ch.send(c.name, "key", amqp.Publishing{Body: []byte("other key")})
	ch.wantQueue(c.name, "1")
	c.ok(ch.QueueUnbind(broken, "k\ney", broken, nil))
	ch.send(c.name, "k\ney", amqp.Publishing{Body: []byte("unbound")})
	ch.wantQueue(c.name)
	c.ok(ch.ExchangeBind(broken, "", "amq.fan\nout", false, nil))
	c.ok(ch.ExchangeUnbind(broken, "", "amq.fan\nout", false, nil))
	c.ok(ch.ExchangeDelete(broken, false, false))
	if ch.exists(c.name) {
		c.Error("the exchange is still there")
	}
	_, err = ch.QueueDelete(broken, false, false, false)
	c.ok(err)
	if ch.there(c.name) {
		c.Error("the queue is still there")
	}
	if q, err = ch.QueueDeclare("\r\n", false, false, true, false, nil); err != nil || !strings.HasPrefix(q.Name, "amq.gen-") {
		c.Errorf("a name of line breaks: declared %q: %v", q.Name, err)
	}
}

func unbindLast(c *client) {
	ch := c.channel()
	ch.queueNamed(c.other("first"))
	ch.queue()
	ch.bind("", "", "amq.direct")
	ch.send("amq.direct", c.name, amqp.Publishing{Body: []byte("1")})
	c.ok(ch.QueueUnbind("", "", "amq.direct", nil)) // the key too is the queue's name
	ch.send("amq.direct", c.name, amqp.Publishing{Body: []byte("unbound")})
	ch.wantQueue(c.name, "1")
}

// unbindNothingLocked: whose a queue is matters only where there is something to unbind.
func unbindNothingLocked(c *client) {
	ch := c.channel()
	ch.elsewhere()
	c.ok(ch.QueueUnbind(c.name, "k", "amq.direct", nil))
	c.ok(ch.QueueUnbind(c.name, "k", c.other("missing"), nil))
}
