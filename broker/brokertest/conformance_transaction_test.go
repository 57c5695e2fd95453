package brokertest_test

import (
	"fmt"
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

var transactionScenarios = slices.Concat(
	[]scenario{
		{"transaction: what is published comes with the commit", txPublish},
		{"transaction: what is settled counts with the commit", txSettle},
		{"transaction: a rollback takes acknowledgements back", txRollback},
		{"transaction: a channel that closes takes them back, too", txClosed},
		{"transaction: room comes with the commit", txRoom},
		{"transaction: select twice", txTwice},
		{"transaction: a full queue", txFull},
		{"transaction: a queue that is gone", txGone},
		{"transaction: a queue that comes", txComes},
	},
	refusals(
		refused("transaction: commit without one", 406, "PRECONDITION_FAILED - channel is not transactional", func(ch *channel) { ch.TxCommit() }),
		refused("transaction: rollback without one", 406, "PRECONDITION_FAILED - channel is not transactional", func(ch *channel) { ch.TxRollback() }),
		refused("transaction: confirms", 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode",
			func(ch *channel) { ch.c.ok(ch.Tx()); ch.Confirm(false) }),
		refused("transaction: after confirms", 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode",
			func(ch *channel) { ch.c.ok(ch.Confirm(false)); ch.Tx() }),
		refused("transaction: missing exchange", 404, exchangeMissing,
			func(ch *channel) { ch.c.ok(ch.Tx()); ch.cast(ch.c.name, "", amqp.Publishing{}) }),
		refused("transaction: an acknowledgement twice", 406, "PRECONDITION_FAILED - unknown delivery tag 1", func(ch *channel) {
			ch.queue()
			ch.publish(ch.c.name, "1")
			ch.c.ok(ch.Tx())
			held := ch.get(ch.c.name)
			ch.c.ok(held.Ack(false))
			held.Ack(false)
		}),
	),
)

func txPublish(c *client) {
	ch, observer := c.channel(), c.channel()
	ch.queue()
	c.ok(ch.Tx())
	returned := ch.NotifyReturn(make(chan amqp.Return, 1))
	c.ok(ch.PublishWithContext(c.Context(), "", c.other("nowhere"), true, false, amqp.Publishing{}))
	ch.cast("", c.name, amqp.Publishing{Body: []byte("1")})
	ch.cast("", c.name, amqp.Publishing{Body: []byte("2")})
	ch.sync()
	if got := observer.ready(c.name); got != 0 || len(returned) > 0 {
		c.Errorf("%d messages, %d returned before the commit", got, len(returned))
	}
	c.ok(ch.TxCommit())
	observer.wantQueue(c.name, "1", "2")
	if len(returned) != 1 {
		c.Error("nothing was returned with the commit")
	}
	ch.cast("", c.name, amqp.Publishing{Body: []byte("3")})
	c.ok(ch.TxRollback())
	ch.cast("", c.name, amqp.Publishing{Body: []byte("4")})
	c.ok(ch.TxCommit())
	c.ok(ch.TxCommit()) // of nothing
	observer.wantQueue(c.name, "4")
}

func txSettle(c *client) {
	ch := c.channel()
	dead := ch.dying()
	ch.publish(c.name, "1", "2", "3")
	c.ok(ch.Tx())
	acked, requeued, rejected := ch.get(c.name), ch.get(c.name), ch.get(c.name)
	c.ok(acked.Ack(false))
	c.ok(requeued.Nack(false, true))
	c.ok(rejected.Reject(false))
	ch.sync()
	if ready, letters := ch.ready(c.name), ch.ready(dead); ready+letters > 0 {
		c.Errorf("%d messages, %d dead letters before the commit", ready, letters)
	}
	c.ok(ch.TxCommit())
	if c.has(versions.DeadRedelivered) {
		ch.wantQueue(dead, "3R")
	} else {
		ch.wantQueue(dead, "3")
	}
	ch.wantQueue(c.name, "2R")
}

func txRollback(c *client) {
	ch := c.channel()
	ch.queue()
	ch.publish(c.name, "1", "2", "3")
	c.ok(ch.Tx())
	first, second := ch.get(c.name), ch.get(c.name)
	ch.get(c.name)
	c.ok(second.Ack(false))
	c.ok(first.Nack(false, true))
	c.ok(ch.TxRollback())
	c.ok(second.Ack(true)) // the first one, too
	c.ok(ch.TxCommit())
	c.ok(ch.Close())
	c.channel().wantQueue(c.name, "3R")
}

func txClosed(c *client) {
	ch := c.channel()
	ch.queue()
	ch.publish(c.name, "1", "2")
	c.ok(ch.Tx())
	c.ok(ch.get(c.name).Ack(false))
	ch.cast("", c.name, amqp.Publishing{Body: []byte("never")})
	c.ok(ch.Close())
	c.channel().wantQueue(c.name, "1R", "2")
}

func txRoom(c *client) {
	ch := c.channel()
	ch.queue()
	ch.publish(c.name, "1", "2", "3", "4", "5")
	c.ok(ch.Tx())
	ch.prefetch(1)
	consumer := ch.consume(c.name, consuming{})
	c.ok(consumer.want("1").Ack(false))
	ch.sync()
	ch.awaitReady(c.name, 4)
	c.ok(ch.TxCommit())
	second := consumer.want("2")
	c.ok(second.Ack(false))
	c.ok(ch.TxRollback())
	ch.awaitReady(c.name, 3)
	c.ok(second.Ack(false))
	c.ok(ch.TxCommit())
	consumer.want("3")
	ch.awaitReady(c.name, 2)
}

func txTwice(c *client) {
	ch := c.channel()
	ch.queue()
	c.ok(ch.Tx())
	ch.cast("", c.name, amqp.Publishing{Body: []byte("1")})
	c.ok(ch.Tx()) // it is the same transaction
	c.ok(ch.TxCommit())
	ch.wantQueue(c.name, "1")
}

func txFull(c *client) {
	ch := c.channel()
	ch.queue("x-max-length", 1, "x-overflow", "reject-publish")
	c.ok(ch.Tx())
	ch.cast("", c.name, amqp.Publishing{Body: []byte("1")})
	ch.cast("", c.name, amqp.Publishing{Body: []byte("2")})
	ch.TxCommit()
	ch.wantClosed(406, "PRECONDITION_FAILED - partial tx completion")
	c.channel().wantQueue(c.name, "1")
}

func txGone(c *client) {
	ch := c.dial(amqp.Config{}).channel()
	queue := ch.queueNamed("gone" + c.name[len(c.name)-6:]) // short, so that Erlang breaks no line for it
	c.ok(ch.Tx())
	ch.cast("", queue, amqp.Publishing{Body: []byte("1")})
	_, err := ch.QueueDelete(queue, false, false, false)
	c.ok(err)
	err = ch.TxCommit()
	switch {
	case c.has(versions.NamesLostQueues):
		ch.wantClosed(506, fmt.Sprintf("RESOURCE_ERROR - failed to deliver message: {not_found,\n%31s{resource,<<\"/\">>,queue,<<%q>>}}", "", queue))
	case c.has(versions.RoutesAtOnce):
		ch.wantClosed(406, "PRECONDITION_FAILED - partial tx completion")
	default:
		c.ok(err)
	}
}

// txComes: whether a queue that was not there yet gets a message depends on when messages are routed.
func txComes(c *client) {
	ch := c.channel()
	c.ok(ch.Tx())
	returned := ch.NotifyReturn(make(chan amqp.Return, 1))
	c.ok(ch.PublishWithContext(c.Context(), "", c.name, true, false, amqp.Publishing{Body: []byte("1")}))
	ch.queue()
	c.ok(ch.TxCommit())
	if !c.has(versions.RoutesAtOnce) {
		ch.wantQueue(c.name, "1")
		return
	}
	ch.wantQueue(c.name)
	if len(returned) != 1 {
		c.Error("it was not returned")
	}
}
