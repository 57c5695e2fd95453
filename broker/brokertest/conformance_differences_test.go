package brokertest_test

import amqp "github.com/rabbitmq/amqp091-go"

// difference is something that a Server does otherwise than RabbitMQ 3.10, on purpose.
type difference string

const (
	namesItself     difference = "its server properties say that it is a test broker"
	strictArguments difference = "it refuses with 540 an argument that it does not know; RabbitMQ ignores it"
	ownWords        difference = "of frames that no client library sends it speaks in its own words, and closes with 501 where RabbitMQ hangs up"
	noCarbonCopy    difference = "it refuses with 540 CC and BCC headers"
	lacksFeatures   difference = "it refuses with 540 transactions, bindings between exchanges, streams and direct reply-to"
)

// differs tells a scenario that it must expect the difference.
func (c *client) differs(d difference) bool {
	_, ok := c.server.(double)
	if ok {
		c.Log("on purpose: ", d)
	}
	return ok
}

// wantRefused expects that the Server says that it cannot do what was asked for.
func (ch *channel) wantRefused() {
	ch.c.Helper()
	got, _ := await(ch.c, "the close", ch.closes)
	if got == nil || got.Code != amqp.NotImplemented {
		ch.c.Errorf("closed with %v, want %d", got, amqp.NotImplemented)
	}
}
