package brokertest_test

import (
	"fmt"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

var streamScenarios = slices.Concat(
	[]scenario{
		{"stream: first", streamFirst},
		{"stream: next is what a reader begins at", streamNext},
		{"stream: last", streamLast},
		{"stream: an offset", streamOffset},
		{"stream: an offset to come", streamOffsetToCome},
		{"stream: a time", streamTime},
		{"stream: an age", streamAge},
		{"stream: several readers", streamReaders},
		{"stream: prefetch", streamPrefetch},
		{"stream: a reader that comes back", streamAgain},
		{"stream: properties", streamProperties},
		{"stream: a dead letter", streamOfLetters},
		{"stream: its length", streamLength},
		{"stream: an exclusive reader", streamExclusive},
		{"stream: deleted under its reader", streamDeleted},
		{"stream: what is not acknowledged", streamUnsettled},
	},
	refusals(
		streamRefusal("get", 540, "NOT_IMPLEMENTED - basic.get not supported by stream queues queue '{name}' in vhost '/'",
			func(ch *channel) { ch.Get(ch.c.name, false) }),
		streamRefusal("purge", 540, "NOT_IMPLEMENTED - queue.purge not supported by stream queues queue '{name}' in vhost '/'",
			func(ch *channel) { ch.QueuePurge(ch.c.name, false) }),
		streamRefusal("no prefetch", 406, "PRECONDITION_FAILED - consumer prefetch count is not set for 'queue '{name}' in vhost '/''",
			func(ch *channel) { ch.Consume(ch.c.name, "", false, false, false, false, nil) }).
			where(versions.NamesStreams, 406, "PRECONDITION_FAILED - consumer prefetch count is not set for stream queue '{name}' in vhost '/'"),
		streamRefusal("no acknowledgements", 540, "NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queues queue '{name}' in vhost '/'",
			func(ch *channel) { ch.prefetch(1); ch.Consume(ch.c.name, "", true, false, false, false, nil) }).
			where(versions.NamesStreams, 540, "NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queue '{name}' in vhost '/'"),
		streamRefusal("an offset that is nothing", 541, "INTERNAL_ERROR",
			func(ch *channel) { ch.reader("never") }).
			where(versions.ReadsAges, 406, invalidArgument+`x-stream-offset`+ofThisQueue+`{invalid_stream_offset_arg,{longstr,<<"never">>}}`),
		streamRefusal("an age of nothing", 406, invalidArgument+`x-stream-offset`+ofThisQueue+`{invalid_stream_offset_arg,{longstr,<<"0s">>}}`,
			func(ch *channel) { ch.reader("0s") }),
		streamRefusal("priority of a reader", 406, invalidArgument+"x-priority' for queue '{name}' in vhost '/' of queue type rabbit_stream_queue",
			func(ch *channel) {
				ch.prefetch(1)
				ch.Consume(ch.c.name, "", false, false, false, false, amqp.Table{"x-priority": 1})
			}),
		refused("stream: offset of a classic queue", 406, invalidArgument+"x-stream-offset' for queue '{name}' in vhost '/' of queue type rabbit_classic_queue",
			func(ch *channel) {
				ch.queue()
				ch.Consume(ch.c.name, "", false, false, false, false, amqp.Table{"x-stream-offset": "first"})
			}),
		refused("stream: exclusive", 406, "PRECONDITION_FAILED - invalid property 'exclusive-owner' for queue '{name}' in vhost '/'",
			func(ch *channel) {
				ch.QueueDeclare(ch.c.name, true, false, true, false, amqp.Table{"x-queue-type": "stream"})
			}),
		refused("stream: not durable", 406, "PRECONDITION_FAILED - invalid property 'non-durable' for queue '{name}' in vhost '/'",
			func(ch *channel) {
				ch.QueueDeclare(ch.c.name, false, false, false, false, amqp.Table{"x-queue-type": "stream"})
			}),
		refused("stream: auto-delete", 406, "PRECONDITION_FAILED - invalid property 'auto-delete' for queue '{name}' in vhost '/'",
			func(ch *channel) {
				ch.QueueDeclare(ch.c.name, true, true, false, false, amqp.Table{"x-queue-type": "stream"})
			}),
	),
	[]scenario{
		{"stream: nack", func(c *client) { streamRejects(c, func(d amqp.Delivery) error { return d.Nack(false, true) }) }},
		{"stream: nack, not requeued", func(c *client) { streamRejects(c, func(d amqp.Delivery) error { return d.Nack(false, false) }) }},
		{"stream: reject", func(c *client) { streamRejects(c, func(d amqp.Delivery) error { return d.Reject(true) }) }},
	},
)

// streamRefusal is one about a stream with the scenario's name.
func streamRefusal(name string, code int, text string, act func(*channel)) refusal {
	return refused("stream: "+name, code, text, func(ch *channel) {
		ch.stream()
		act(ch)
	})
}

// stream declares one, with a message for each body.
func (ch *channel) stream(bodies ...string) {
	ch.c.Helper()
	ch.durable(ch.c.name, "x-queue-type", "stream")
	ch.publish(ch.c.name, bodies...)
}

// reader consumes from an offset on, with a prefetch of 10.
func (ch *channel) reader(offset any) (<-chan amqp.Delivery, error) {
	ch.prefetch(10)
	return ch.Consume(ch.c.name, "", false, false, false, false, amqp.Table{"x-stream-offset": offset})
}

// read is a reader on a channel of its own.
func (c *client) read(offset any) *consumer {
	c.Helper()
	deliveries, err := c.channel().reader(offset)
	c.ok(err)
	return &consumer{c, deliveries}
}

// wantOffset looks at a delivery's place.
func (c *client) wantOffset(d amqp.Delivery, want int64) {
	c.Helper()
	if got := d.Headers["x-stream-offset"]; got != want {
		c.Errorf("%s is at %v, want %d", d.Body, got, want)
	}
}

func streamFirst(c *client) {
	ch := c.channel()
	ch.stream("0", "1", "2")
	reader := c.read("first")
	c.wantOffset(reader.want("0"), 0)
	c.wantOffset(reader.want("1", "2"), 2)
	ch.publish(c.name, "3")
	c.wantOffset(reader.want("3"), 3)
	ch.awaitReady(c.name, 4) // all are there still
}

func streamNext(c *client) {
	ch := c.channel()
	ch.stream("0", "1")
	other := c.channel()
	other.prefetch(10)
	unsaid, said := other.consume(c.name, consuming{}), c.read("next")
	ch.publish(c.name, "2")
	c.wantOffset(unsaid.want("2"), 2)
	said.want("2")
}

func streamLast(c *client) {
	ch := c.channel()
	ch.stream("0", "1", "2")
	reader := c.read("last")
	reader.want("2")
	ch.publish(c.name, "3")
	reader.want("3")
}

func streamOffset(c *client) {
	ch := c.channel()
	ch.stream("0", "1", "2", "3")
	c.wantOffset(c.read(int64(2)).want("2"), 2)
	c.read(int32(3)).want("3")
	c.read(int16(0)).want("0", "1", "2", "3")
}

func streamOffsetToCome(c *client) {
	ch := c.channel()
	ch.stream("0")
	reader := c.read(int64(3))
	ch.publish(c.name, "1", "2", "3", "4")
	reader.want("3", "4")
}

func streamTime(c *client) {
	ch := c.channel()
	ch.stream("0", "1")
	c.read(time.Now().Add(-time.Hour)).want("0", "1")
	reader := c.read(time.Now().Add(time.Hour))
	ch.publish(c.name, "2")
	reader.want("2")
}

func streamAge(c *client) {
	ch := c.channel()
	ch.stream("0", "1")
	c.read("1h").want("0", "1")
	c.read("2D").want("0", "1")
}

func streamReaders(c *client) {
	ch := c.channel()
	ch.stream("0", "1")
	readers := []*consumer{c.read("first"), c.read("first"), c.read(int64(1))}
	for _, reader := range readers[:2] {
		c.ok(reader.want("0", "1").Ack(true))
	}
	c.ok(readers[2].want("1").Ack(false))
	ch.publish(c.name, "2")
	for _, reader := range readers {
		reader.want("2")
	}
}

// streamPrefetch has two messages in hand at most.
func streamPrefetch(c *client) {
	ch := c.channel()
	ch.stream("0", "1", "2", "3", "4")
	ch.prefetch(2)
	reader := ch.consume(c.name, consuming{arguments: amqp.Table{"x-stream-offset": "first"}})
	first := reader.want("0")
	second := reader.want("1")
	ch.sync()
	if n := len(reader.deliveries); n > 0 {
		c.Errorf("%d more than the prefetch", n)
	}
	c.ok(second.Ack(false))
	reader.want("2")
	c.ok(first.Ack(false))
	c.ok(reader.want("3").Ack(true))
	reader.want("4")
}

// streamAgain finds what it has acknowledged.
func streamAgain(c *client) {
	ch := c.channel()
	ch.stream("0", "1")
	reader := c.channel()
	reader.prefetch(10)
	from := consuming{tag: "a", arguments: amqp.Table{"x-stream-offset": "first"}}
	c.ok(reader.consume(c.name, from).want("0", "1").Ack(true))
	c.ok(reader.Cancel("a", false))
	reader.consume(c.name, from).want("0", "1")
}

func streamProperties(c *client) {
	ch := c.channel()
	ch.stream()
	ch.exchange("direct")
	ch.bind(c.name, "k", c.name)
	ch.send(c.name, "k", amqp.Publishing{
		Headers: amqp.Table{"h": "v"}, ContentType: "text/plain", MessageId: "m", CorrelationId: "c", DeliveryMode: 2, Body: []byte("0"),
	})
	d := c.read("first").want("0")
	got := fmt.Sprint(d.Headers["h"], d.ContentType, d.MessageId, d.CorrelationId, d.DeliveryMode, d.Exchange == c.name, d.RoutingKey)
	if want := "vtext/plainmc2 truek"; got != want {
		c.Errorf("got %q, want %q", got, want)
	}
}

// streamOfLetters has dead letters routed to a stream and to another queue.
func streamOfLetters(c *client) {
	ch := c.channel()
	ch.stream()
	ch.exchange("fanout")
	witness := ch.queueNamed(c.other("witness"))
	ch.bind(c.name, "", c.name)
	ch.bind(witness, "", c.name)
	ch.queueNamed(c.other("short"), "x-message-ttl", 1, "x-dead-letter-exchange", c.name)
	ch.publish(c.other("short"), "0")
	ch.wantQueue(witness, "0")
	if !c.has(versions.StreamsTakeLetters) {
		ch.publish(c.name, "1")
		c.read("first").want("1")
		return
	}
	if d := c.read("first").want("0"); d.Headers["x-first-death-reason"] != "expired" {
		c.Errorf("the headers are %v", d.Headers)
	}
}

func streamExclusive(c *client) {
	ch := c.channel()
	ch.stream("0")
	ch.prefetch(1)
	from := amqp.Table{"x-stream-offset": "first"}
	ch.consume(c.name, consuming{exclusive: true, arguments: from}).want("0")
	other := c.channel()
	other.prefetch(1)
	other.consume(c.name, consuming{exclusive: true, arguments: from}).want("0")
}

func streamDeleted(c *client) {
	ch := c.channel()
	ch.stream("0")
	reader := c.read("first")
	reader.want("0")
	_, err := ch.QueueDelete(c.name, false, false, false)
	c.ok(err)
	reader.wantEnd()
}

// streamUnsettled has nothing come back to the stream.
func streamUnsettled(c *client) {
	ch := c.channel()
	ch.stream("0", "1")
	reader := c.dial(amqp.Config{}).channel()
	deliveries, err := reader.reader("first")
	c.ok(err)
	(&consumer{c, deliveries}).want("0", "1")
	c.ok(reader.connection.Close())
	ch.awaitReady(c.name, 2)
	c.read("first").want("0", "1")
}

func streamRejects(c *client, reject func(amqp.Delivery) error) {
	ch := c.channel()
	ch.stream("0", "1", "2")
	ch.prefetch(1)
	reader := ch.consume(c.name, consuming{arguments: amqp.Table{"x-stream-offset": "first"}})
	c.ok(reject(reader.want("0")))
	if c.has(versions.StreamsAreDeaf) {
		reader.want("1")
		return
	}
	ch.wantClosed(540, "NOT_IMPLEMENTED - basic.nack and basic.reject not supported by stream queues queue '"+c.name+"' in vhost '/'")
}

// streamLength is what a declaration tells of it, which reading changes nothing about. Some versions tell it late.
func streamLength(c *client) {
	ch := c.channel()
	ch.stream("0", "1", "2")
	c.ok(c.read("first").want("0", "1", "2").Ack(true))
	ch.publish(c.name, "3")
	ch.awaitReady(c.name, 4)
	q, err := ch.QueueDeclarePassive(c.name, true, false, false, false, nil)
	c.ok(err)
	c.wantCounts(q, 4, 0)
}
