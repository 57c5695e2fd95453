package brokertest_test

import (
	"encoding/binary"
	"io"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

// deadlyBody is the body of the message that deadlyMessage is about.
const deadlyBody = "deadly"

// deadlyMessage is one that AMQP 0-9-1 cannot carry. It ends each connection that it is delivered to, by consuming or by
// getting it, and stays where it is, unless that was with no-ack. The queue can be purged.
func deadlyMessage(c *client) {
	if !c.has(versions.AMQP1) {
		c.Skip("only AMQP 1.0 can publish what AMQP 0-9-1 cannot carry, and this broker does not speak it")
	}
	observer := c.channel()
	q := observer.durable(c.name)
	observer.publish(q, "1")
	c.server.Deadly(c, q)
	observer.publish(q, "2")

	ch := c.dial(amqp.Config{}).channel()
	ch.prefetch(1)
	ch.consume(q, consuming{}).want("1").Ack(false)
	ch.wantClosed(541, "INTERNAL_ERROR")
	observer.awaitReady(q, 2)
	for range 2 {
		ch := c.dial(amqp.Config{}).channel()
		ch.Consume(q, "", false, false, false, false, nil) // the close may overtake its answer
		ch.wantClosed(541, "INTERNAL_ERROR")
		observer.awaitReady(q, 2)
	}
	ch = c.dial(amqp.Config{}).channel()
	ch.Get(q, false)
	ch.wantClosed(541, "INTERNAL_ERROR")
	observer.awaitReady(q, 2)
	purged, err := observer.QueuePurge(q, false)
	c.ok(err)
	if purged != 2 {
		c.Errorf("%d messages were purged", purged)
	}

	c.server.Deadly(c, q)
	ch = c.dial(amqp.Config{}).channel()
	ch.Consume(q, "", true, false, false, false, nil)
	ch.wantClosed(541, "INTERNAL_ERROR")
	observer.wantQueue(q) // with no-ack it is gone
	observer.publish(q, "3")
	observer.wantQueue(q, "3")
}

// The types of AMQP 1.0 that are used here, and its performatives.
const (
	described1, smallCode1, null1, false1   = byte(0x00), byte(0x53), byte(0x40), byte(0x42)
	char1, string1, symbol1, binary1, uint1 = byte(0x73), byte(0xa1), byte(0xa3), byte(0xb0), byte(0x70)
	list1, map1                             = byte(0xc0), byte(0xc1)

	saslFrame1, amqpFrame1                                                 = byte(1), byte(0)
	open1, begin1, attach1, flow1, transfer1, disposition1                 = byte(0x10), byte(0x11), byte(0x12), byte(0x13), byte(0x14), byte(0x15)
	source1, target1, annotations1, data1, mechanisms1, saslInit1, outcome = byte(0x28), byte(0x29), byte(0x72), byte(0x75), byte(0x40), byte(0x41), byte(0x44)
)

// compound1 is a list or a map, of values that are encoded already.
func compound1(kind, count byte, values ...any) octets {
	items := encode(values...)
	return encode(kind, byte(len(items)+1), count, octets(items))
}

// of1 gives a value its type: that of a performative, or of a section.
func of1(code byte, value octets) octets { return encode(described1, smallCode1, code, value) }

// send1 sends a frame of AMQP 1.0, and reads frames until an answer of the type that is awaited.
func (w *wire) send1(kind byte, body octets, awaited byte) {
	w.Helper()
	w.send(encode(uint32(len(body)+8), byte(2), kind, uint16(0), body))
	w.await1(awaited)
}

func (w *wire) await1(awaited byte) {
	w.Helper()
	for {
		w.SetReadDeadline(time.Now().Add(moment))
		head := make([]byte, 8)
		_, err := io.ReadFull(w.reader, head)
		w.ok(err)
		body := make([]byte, binary.BigEndian.Uint32(head)-8)
		_, err = io.ReadFull(w.reader, body)
		w.ok(err)
		if len(body) > 2 && body[2] == awaited {
			return
		}
	}
}

func (w *wire) hello1(protocol byte) {
	w.Helper()
	header := encode(octets("AMQP"), protocol, byte(1), byte(0), byte(0))
	w.send(header)
	w.SetReadDeadline(time.Now().Add(moment))
	_, err := io.ReadFull(w.reader, make([]byte, len(header)))
	w.ok(err)
}

// publishDeadly publishes over AMQP 1.0, with an annotation of a type that AMQP 0-9-1 does not have.
func (w *wire) publishDeadly(queue, body string) {
	w.Helper()
	w.hello1(3)
	w.await1(mechanisms1)
	w.send1(saslFrame1, of1(saslInit1, compound1(list1, 2, symbol1, "PLAIN", binary1, long("\x00guest\x00guest"))), outcome)
	w.hello1(0)
	w.send1(amqpFrame1, of1(open1, compound1(list1, 1, string1, "publisher")), open1)
	w.send1(amqpFrame1, of1(begin1, compound1(list1, 4, null1, uint1, uint32(0), uint1, uint32(100), uint1, uint32(100))), begin1)
	w.send1(amqpFrame1, of1(attach1, compound1(list1, 10, string1, "link", uint1, uint32(0), false1, null1, null1,
		of1(source1, compound1(list1, 0)), of1(target1, compound1(list1, 1, string1, "/queues/"+queue)), null1, null1, uint1, uint32(0))), flow1)
	w.send1(amqpFrame1, encode(
		of1(transfer1, compound1(list1, 5, uint1, uint32(0), uint1, uint32(0), binary1, long("tag"), uint1, uint32(0), false1)),
		of1(annotations1, compound1(map1, 2, symbol1, "x-char", char1, uint32('A'))),
		of1(data1, encode(binary1, long(body))),
	), disposition1)
}
