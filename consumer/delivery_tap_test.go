package consumer_test

import (
	"bytes"
	"encoding/binary"
	"net"
)

// tapped is a connection that is read along.
type tapped struct {
	net.Conn
	ledger *ledger
	dial   uint64

	in, out frames            // used by one goroutine each
	channel uint16            // that delivers; there is one subscription
	tag     uint64            // of a delivery whose body is to come
	open    map[uint64]string // unsettled deliveries; this and the above are guarded by ledger.mu
}

// frames cuts a stream into AMQP frames.
type frames struct{ rest []byte }

const bodyFrame = 3

func (f *frames) feed(chunk []byte, each func(kind byte, channel uint16, payload []byte)) {
	f.rest = append(f.rest, chunk...)
	if greeting := []byte("AMQP\x00\x00\x09\x01"); bytes.HasPrefix(f.rest, greeting) {
		f.rest = f.rest[len(greeting):]
	}
	for len(f.rest) >= 7 {
		end := 7 + int(binary.BigEndian.Uint32(f.rest[3:]))
		if len(f.rest) <= end {
			return
		}
		each(f.rest[0], binary.BigEndian.Uint16(f.rest[1:]), f.rest[7:end])
		f.rest = f.rest[end+1:]
	}
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	c.in.feed(p[:n], c.fromBroker)
	return n, err
}

// Write looks before it sends, so that no handler can return in between.
func (c *tapped) Write(p []byte) (int, error) {
	c.ledger.mu.Lock()
	c.out.feed(p, c.fromClient)
	c.ledger.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *tapped) fromBroker(kind byte, channel uint16, payload []byte) {
	switch {
	case kind == methodFrame && bytes.HasPrefix(payload, []byte{0, 60, 0, 60}): // basic.deliver
		if c.channel != 0 && c.channel != channel {
			c.ledger.complain("dial %d: deliveries on channels %d and %d", c.dial, c.channel, channel)
		}
		c.channel = channel
		behind := payload[5+payload[4]:] // the consumer tag
		c.tag = binary.BigEndian.Uint64(behind)
	case kind == bodyFrame && channel == c.channel:
		c.open[c.tag] = string(payload)
		c.ledger.sent[spot{c.dial, c.tag}] = string(payload)
	}
}

func (c *tapped) fromClient(kind byte, channel uint16, payload []byte) {
	if kind != methodFrame || len(payload) < 13 || payload[1] != 60 {
		return
	}
	tag, bits := binary.BigEndian.Uint64(payload[4:]), payload[12]
	switch payload[3] {
	case 80: // basic.ack
		c.ledger.frames++
		c.settle(channel, tag, bits&1 != 0, c.acknowledge)
	case 90: // basic.reject
		c.settle(channel, tag, false, func(uint64) {})
	case 120: // basic.nack
		c.settle(channel, tag, bits&1 != 0, func(uint64) {})
	}
}

// settle expands what is settled up to a tag.
func (c *tapped) settle(channel uint16, tag uint64, multiple bool, each func(tag uint64)) {
	if _, ok := c.open[tag]; !ok || channel != c.channel {
		c.ledger.complain("%v: settled on channel %d, and is not outstanding there", spot{c.dial, tag}, channel)
		return
	}
	for t := range c.open {
		if t == tag || multiple && t < tag {
			each(t)
			delete(c.open, t)
		}
	}
}

func (c *tapped) acknowledge(tag uint64) {
	l, at, id := c.ledger, spot{c.dial, tag}, c.open[tag]
	l.acked[id]++
	if !l.returned[at] && (!l.dedup || l.done[id] == 0) {
		l.complain("%v: %s was acknowledged before its handler returned", at, id)
	}
}
