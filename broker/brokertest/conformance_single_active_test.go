package brokertest_test

import (
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

var singleActiveScenarios = []scenario{
	{"single active: the others wait", singleOthersWait},
	{"single active: cancelled", func(c *client) { singleCancelled(c) }},
	{"single active: cancelled, quorum", func(c *client) { singleCancelled(c, "x-queue-type", "quorum") }},
	{"single active: cancelled with a backlog, quorum", singleCancelledBacklog},
	{"single active: channel closed", singleChannelClosed},
	{"single active: connection closed", func(c *client) { singleConnectionClosed(c) }},
	{"single active: connection closed, quorum", func(c *client) { singleConnectionClosed(c, "x-queue-type", "quorum") }},
	{"single active: one that waits leaves", singleCandidateLeaves},
	{"single active: who comes back waits at the end", singleComesBack},
	{"single active: requeued to the active", singleRequeues},
	{"single active: get beside it", singleGet},
	{"single active: get beside it, quorum", singleGetQuorum},
	{"single active: queue deleted", singleDeleted},
}

// candidates are three consumers of one single-active queue, each with a connection of its own and a prefetch of 2.
func candidates(c *client, args ...any) (chs [3]*channel, of [3]*consumer) {
	c.channel().durable(c.name, append(args, "x-single-active-consumer", true)...)
	for i := range chs {
		chs[i] = c.dial(amqp.Config{}).channel()
		chs[i].prefetch(2)
		of[i] = chs[i].consume(c.name, consuming{tag: "tag"})
	}
	return chs, of
}

func singleOthersWait(c *client) {
	chs, of := candidates(c)
	chs[0].publish(c.name, "1", "2", "3", "4", "5")
	last := of[0].want("1", "2")
	chs[0].awaitReady(c.name, 3)
	c.ok(last.Ack(true))
	of[0].want("3", "4")
	chs[0].awaitReady(c.name, 1)
}

// singleCancelled leaves no backlog when it cancels: RabbitMQ 3.10 then forgets to deliver it, and the
// next message crashes the queue.
func singleCancelled(c *client, args ...any) {
	chs, of := candidates(c, args...)
	chs[0].publish(c.name, "1", "2")
	held := of[0].want("1", "2")
	c.ok(chs[0].Cancel("tag", false))
	of[0].wantEnd()
	chs[0].publish(c.name, "3", "4", "5")
	of[1].want("3", "4") // although 1 and 2 are not settled
	c.ok(held.Ack(true)) // still allowed
	chs[0].sync()
	chs[0].awaitReady(c.name, 1)
}

func singleCancelledBacklog(c *client) {
	chs, of := candidates(c, "x-queue-type", "quorum")
	chs[0].publish(c.name, "1", "2", "3", "4", "5")
	of[0].want("1", "2")
	c.ok(chs[0].Cancel("tag", false))
	of[1].want("3", "4")
	c.ok(chs[0].Close())
	chs[1].awaitReady(c.name, 3)
	c.ok(chs[1].Close())
	of[2].want("1R", "2R")
}

func singleChannelClosed(c *client) {
	chs, of := candidates(c)
	chs[0].publish(c.name, "1", "2", "3", "4")
	of[0].want("1", "2")
	c.ok(chs[0].Close())
	last := of[1].want("1R", "2R")
	c.ok(last.Ack(true))
	of[1].want("3", "4")
}

func singleConnectionClosed(c *client, args ...any) {
	chs, of := candidates(c, args...)
	chs[0].publish(c.name, "1", "2", "3", "4")
	of[0].want("1", "2")
	c.ok(chs[0].connection.Close())
	c.ok(of[1].want("1R", "2R").Ack(true))
	of[1].want("3", "4")
	c.ok(chs[1].connection.Close())
	of[2].want("3R", "4R")
}

func singleCandidateLeaves(c *client) {
	chs, of := candidates(c)
	chs[0].publish(c.name, "1")
	of[0].want("1")
	c.ok(chs[1].Close())
	c.ok(chs[0].Close())
	of[2].want("1R")
}

func singleComesBack(c *client) {
	chs, of := candidates(c)
	chs[0].publish(c.name, "1")
	of[0].want("1")
	c.ok(chs[0].Close())
	of[1].want("1R")
	back := chs[0].channel().consume(c.name, consuming{})
	c.ok(chs[1].Close())
	of[2].want("1R")
	c.ok(chs[2].Close())
	back.want("1R")
}

func singleRequeues(c *client) {
	chs, of := candidates(c)
	chs[0].publish(c.name, "1", "2", "3")
	of[0].want("1", "2")
	c.ok(chs[0].Nack(2, true, true))
	of[0].want("1R", "2R")
}

func singleGet(c *client) {
	chs, of := candidates(c)
	chs[0].publish(c.name, "1", "2", "3")
	of[0].want("1", "2")
	if got := show(chs[2].get(c.name)); got != "3" {
		c.Errorf("got %s", got)
	}
}

func singleGetQuorum(c *client) {
	chs, _ := candidates(c, "x-queue-type", "quorum")
	chs[0].Get(c.name, true)
	kind := "quorum"
	if c.has(versions.QuotesTypes) {
		kind = `<<"quorum">>`
	}
	chs[0].wantClosed(405, "RESOURCE_LOCKED - cannot obtain access to locked queue '{name}' in vhost '/'."+
		" basic.get operations are not supported by "+kind+" queues with single active consumer")
}

func singleDeleted(c *client) {
	chs, of := candidates(c)
	_, err := chs[0].QueueDelete(c.name, false, false, false)
	c.ok(err)
	for _, consumer := range of {
		consumer.wantEnd()
	}
}
