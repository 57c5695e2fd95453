package brokertest_test

import (
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

const unknownTag = "PRECONDITION_FAILED - unknown delivery tag "

var ackScenarios = slices.Concat(
	[]scenario{
		{"ack one", ackOne},
		{"ack several", ackSeveral},
		{"ack all", ackAll},
		{"ack out of order", ackOutOfOrder},
		{"nack 0 of several", nackAllOfNothing},
		{"nack without requeue", nackDiscards},
		{"reject without requeue", rejectDiscards},
		{"get without acknowledgement", getNoAck},
		{"requeued to the same consumer", requeueToSame},
		{"requeued to another consumer", requeueToOther},
		{"recover to the same consumer", recoverToSame},
		{"acknowledged after an error elsewhere", ackAfterOther},
		{"redelivered stays true", redeliveredStays},
	},
	refusals(
		refused("ack unknown", 406, unknownTag+"1", func(ch *channel) { ch.Ack(1, false) }),
		refused("ack unknown, several", 406, unknownTag+"17", func(ch *channel) { ch.Ack(17, true) }),
		refused("ack 0", 406, unknownTag+"0", func(ch *channel) { ch.Ack(0, false) }),
		refused("nack unknown", 406, unknownTag+"1", func(ch *channel) { ch.Nack(1, false, true) }),
		refused("reject unknown", 406, unknownTag+"1", func(ch *channel) { ch.Reject(1, true) }),
		refused("ack twice", 406, unknownTag+"1", func(ch *channel) { ch.hold("1"); ch.Ack(1, false); ch.Ack(1, false) }),
		refused("ack several twice", 406, unknownTag+"2", func(ch *channel) { ch.hold("1", "2", "3"); ch.Ack(2, true); ch.Ack(2, true) }),
		refused("ack one after several", 406, unknownTag+"1", func(ch *channel) { ch.hold("1", "2", "3"); ch.Ack(2, true); ch.Ack(1, false) }),
		refused("ack beyond the last", 406, unknownTag+"4", func(ch *channel) { ch.hold("1", "2", "3"); ch.Ack(4, true) }),
		refused("ack of an automatically acknowledged message", 406, unknownTag+"1", func(ch *channel) {
			ch.publish(ch.queue(), "1")
			ch.awaitReady(ch.c.name, 1)
			ch.Get(ch.c.name, true)
			ch.Ack(1, false)
		}),
		refused("ack of another channel's delivery", 406, unknownTag+"1", func(ch *channel) {
			ch.channel().hold("1")
			ch.Ack(1, false)
		}),
		refused("recover without requeue", 540, "NOT_IMPLEMENTED - requeue=false", func(ch *channel) { ch.putBack(false) }),
	),
	requeues("classic", nil, []requeue{
		{"nack one", func(ch *channel) { ch.Nack(2, false, true) }, "2R 4 5"},
		{"reject one", func(ch *channel) { ch.Reject(2, true) }, "2R 4 5"},
		{"nack several", func(ch *channel) { ch.Nack(2, true, true) }, "1R 2R 4 5"},
		{"nack all", func(ch *channel) { ch.Nack(0, true, true) }, "1R 2R 3R 4 5"},
		{"nack each, out of order", func(ch *channel) { ch.Nack(3, false, true); ch.Nack(1, false, true); ch.Nack(2, false, true) }, "1R 2R 3R 4 5"},
		{"recover", func(ch *channel) { ch.putBack(true) }, "1R 2R 3R 4 5"},
		{"close the channel", func(ch *channel) { ch.Close() }, "1R 2R 3R 4 5"},
		{"close the channel after an ack", func(ch *channel) { ch.Ack(2, false); ch.Close() }, "1R 3R 4 5"},
		{"close the connection", func(ch *channel) { ch.connection.Close() }, "1R 2R 3R 4 5"},
		{"error on the channel", func(ch *channel) { ch.Ack(9, false); await(ch.c, "the close", ch.closes) }, "1R 2R 3R 4 5"},
		{"error on the connection", func(ch *channel) { ch.putBack(false); await(ch.c, "the close", ch.connection.closes) }, "1R 2R 3R 4 5"},
	}),
)

// requeue is a way back into the queue for a channel that holds 1, 2 and 3 of 1 to 5.
type requeue struct {
	name string
	way  func(*channel)
	want string // in the queue; behind "|" where quorum queues have a limit by default
}

func requeues(kind string, args []any, table []requeue) []scenario {
	scenarios := make([]scenario, len(table))
	for i, r := range table {
		scenarios[i] = scenario{"requeue " + kind + ": " + r.name, func(c *client) {
			observer, ch := c.channel(), c.dial(amqp.Config{}).channel()
			observer.durable(c.name, args...)
			observer.publish(c.name, "1", "2", "3", "4", "5")
			observer.awaitReady(c.name, 5)
			for range 3 {
				ch.get(c.name)
			}
			r.way(ch)
			want, limited, differs := strings.Cut(r.want, "|")
			if differs && c.has(versions.DefaultLimit) {
				want = limited
			}
			observer.wantQueue(c.name, strings.Fields(want)...)
		}}
	}
	return scenarios
}

// putBack is basic.recover.
func (ch *channel) putBack(requeue bool) error {
	return ch.Recover(requeue) //nolint:staticcheck // deprecated, and part of what brokers do
}

// hold declares the scenario's queue, and takes these messages out of it without acknowledging them.
func (ch *channel) hold(bodies ...string) {
	ch.c.Helper()
	ch.queue()
	ch.publish(ch.c.name, bodies...)
	for range bodies {
		ch.get(ch.c.name)
	}
}

// wantUnacked expects these messages to come back when the channel closes.
func (ch *channel) wantUnacked(bodies ...string) {
	ch.c.Helper()
	ch.sync()
	ch.c.ok(ch.Close())
	ch.c.channel().wantQueue(ch.c.name, bodies...)
}

func ackOne(c *client) {
	ch := c.channel()
	ch.hold("1", "2", "3")
	c.ok(ch.Ack(1, false))
	ch.wantUnacked("2R", "3R")
}

func ackSeveral(c *client) {
	ch := c.channel()
	ch.hold("1", "2", "3")
	c.ok(ch.Ack(2, true))
	ch.wantUnacked("3R")
}

func ackAll(c *client) {
	ch := c.channel()
	ch.hold("1", "2", "3")
	c.ok(ch.Ack(0, true))
	c.ok(ch.Ack(0, true)) // of nothing
	ch.wantUnacked()
}

func ackOutOfOrder(c *client) {
	ch := c.channel()
	ch.hold("1", "2", "3", "4")
	c.ok(ch.Ack(3, false))
	c.ok(ch.Ack(1, false))
	c.ok(ch.Ack(4, true)) // 2 and 4
	ch.wantUnacked()
}

func nackAllOfNothing(c *client) {
	ch := c.channel()
	c.ok(ch.Nack(0, true, true))
	ch.sync()
}

func nackDiscards(c *client) {
	ch := c.channel()
	ch.hold("1", "2", "3")
	c.ok(ch.Nack(2, true, false))
	ch.wantUnacked("3R")
}

func rejectDiscards(c *client) {
	ch := c.channel()
	ch.hold("1", "2", "3")
	c.ok(ch.Reject(2, false))
	ch.wantUnacked("1R", "3R")
}

func getNoAck(c *client) {
	ch := c.channel()
	ch.queue()
	ch.publish(c.name, "1", "2")
	ch.awaitReady(c.name, 2)
	_, ok, err := ch.Get(c.name, true)
	c.ok(err)
	if !ok {
		c.Error("nothing to get")
	}
	ch.wantUnacked("2")
}

func requeueToSame(c *client) {
	_, consumer := c.consuming(1)
	for _, body := range []string{"1", "1R", "1R"} {
		c.ok(consumer.want(body).Nack(false, true))
	}
	c.ok(consumer.want("1R").Reject(true))
	c.ok(consumer.want("1R").Ack(false))
	consumer.want("2")
}

func requeueToOther(c *client) {
	a, _, ofA, ofB := c.pair(1, "1", "2")
	ofA.want("1")
	held := ofB.want("2")
	c.ok(a.Close())
	c.ok(held.Ack(false))
	ofB.want("1R")
}

func recoverToSame(c *client) {
	ch, consumer := c.consuming(3)
	consumer.want("1", "2", "3")
	c.ok(ch.putBack(true))
	last := consumer.want("1R", "2R", "3R")
	if last.DeliveryTag != 6 {
		c.Errorf("tag %d, want new tags, 6", last.DeliveryTag)
	}
	c.ok(last.Ack(true))
	consumer.want("4", "5", "6")
}

func ackAfterOther(c *client) {
	ch, broken := c.channel(), c.channel()
	ch.hold("1", "2")
	broken.Ack(9, false)
	broken.wantClosed(406, unknownTag+"9")
	c.ok(ch.Ack(1, false))
	ch.wantUnacked("2R")
}

func redeliveredStays(c *client) {
	ch := c.channel()
	ch.hold("1")
	c.ok(ch.Nack(1, false, true))
	if got := show(ch.get(c.name)); got != "1R" {
		c.Errorf("got %s", got)
	}
	ch.wantUnacked("1R")
}
