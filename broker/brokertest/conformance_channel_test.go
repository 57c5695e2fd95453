package brokertest_test

import (
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

var channelScenarios = slices.Concat(
	[]scenario{
		{"channel opens, closes and opens again", reopenChannel},
		{"channel error leaves other channels alone", otherChannels},
		{"what follows an error is ignored", afterAnError},
		{"flow is on", flowOn},
		{"access.request", accessRequest},
		{"long reply texts are cut", longText},
	},
	refusals(
		refused("flow off", 540, "NOT_IMPLEMENTED - active=false", func(ch *channel) { ch.Flow(false) }),
	),
)

func reopenChannel(c *client) {
	w := c.wire()
	w.open(2047, 131072, 0)
	for range 3 {
		w.openChannel(1)
		w.method(1, 20, 40, uint16(200), "bye", uint16(0), uint16(0))
		w.want(20, 41)
	}
}

func otherChannels(c *client) {
	broken, whole := c.channel(), c.channel()
	whole.queue()
	consumer := whole.consume(c.name, consuming{noAck: true})
	broken.QueueDeclarePassive(c.other("missing"), false, false, false, false, nil)
	broken.wantClosed(404, "NOT_FOUND - no queue '{name}-missing' in vhost '/'")
	whole.publish(c.name, "1")
	consumer.want("1")
	if len(whole.closes) > 0 {
		c.Error("the other channel was closed too")
	}
	if _, err := broken.QueueDelete(c.name, false, false, false); err != amqp.ErrClosed {
		c.Errorf("on the closed channel: %v", err)
	}
}

// afterAnError sends more before it has read channel.close; the channel works again after close-ok.
func afterAnError(c *client) {
	w := c.wire()
	w.open(2047, 131072, 0)
	w.openChannel(1)
	w.method(1, 50, 10, uint16(0), c.name, byte(1), uint32(0)) // passive
	w.method(1, 50, 10, uint16(0), c.name, byte(8), uint32(0)) // auto-delete
	w.wantClose(404, "NOT_FOUND - no queue '"+c.name+"' in vhost '/'", [2]uint16{50, 10})
	w.openChannel(1)
	w.method(1, 50, 10, uint16(0), c.name, byte(1), uint32(0))
	w.wantClose(404, "NOT_FOUND - no queue '"+c.name+"' in vhost '/'", [2]uint16{50, 10})
}

func flowOn(c *client) {
	ch := c.channel()
	c.ok(ch.Flow(true))
	ch.sync()
}

func accessRequest(c *client) {
	w := c.wire()
	w.open(2047, 131072, 0)
	w.openChannel(1)
	w.method(1, 30, 10, "/data", byte(0))
	w.want(30, 11)
}

func longText(c *client) {
	ch := c.channel()
	name := strings.Repeat("x", 250)
	ch.QueueDeclarePassive(name, false, false, false, false, nil)
	ch.wantClosed(404, "NOT_FOUND - no queue '"+name[:252-len("NOT_FOUND - no queue '")]+"...")
}
