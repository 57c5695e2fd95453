package brokertest_test

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
)

// publisher is a client without a library in confirm mode on channel 1, which publishes to a queue of the scenario's.
// What it sends waits for flush, so that all of it is at the broker before anything is answered.
type publisher struct {
	*wire
	queue string
	out   []byte
}

func (c *client) publisher(user, queue string) *publisher {
	c.Helper()
	p := &publisher{wire: c.wire(), queue: queue}
	p.start()
	p.startOK("PLAIN", "\x00"+user+"\x00"+user)
	p.want(10, 30)
	p.tuneOK(2047, 131072, 0)
	p.method(0, 10, 40, "/", "", byte(0))
	p.want(10, 41)
	p.begin()
	return p
}

// begin opens the channel.
func (p *publisher) begin() {
	p.Helper()
	p.openChannel(1)
	p.method(1, 85, 10, byte(0))
	p.want(85, 11)
}

// publish sends a message with the queue's name for a routing key, and with one property at most.
func (p *publisher) publish(exchange, body string, flag uint16, property ...any) {
	p.message(exchange, p.queue, 0, body, flag, property...)
}

func (p *publisher) message(exchange, key string, mandatory byte, body string, flag uint16, property ...any) {
	p.out = append(p.out, frame(frameMethod, 1, uint16(60), uint16(40), uint16(0), exchange, key, mandatory)...)
	p.out = append(p.out, frame(frameHeader, 1, append([]any{uint16(60), uint16(0), uint64(len(body)), flag}, property...)...)...)
	for part := range slices.Chunk([]byte(body), 100_000) {
		p.out = append(p.out, frame(frameBody, 1, octets(part))...)
	}
}

// qos asks for a prefetch.
func (p *publisher) qos() {
	p.out = append(p.out, frame(frameMethod, 1, uint16(60), uint16(10), uint32(0), uint16(1), byte(0))...)
}

func (p *publisher) flush() {
	p.send(p.out)
	p.out = nil
}

// confirms are the messages that were confirmed.
type confirms struct {
	*publisher
	acked map[uint64]bool
	multi int // frames with multiple
}

func (p *publisher) confirms() *confirms { return &confirms{p, make(map[uint64]bool), 0} }

// take reads a frame that is a basic.ack; each message may be confirmed once.
func (k *confirms) take(f received) bool {
	k.Helper()
	if f.is(60, 120) {
		k.Fatalf("got %v, want no nack", f)
	}
	if !f.is(60, 80) {
		return false
	}
	tag, multiple := binary.BigEndian.Uint64(f.payload[4:]), f.payload[12] == 1
	if k.acked[tag] {
		k.Errorf("%d is confirmed twice", tag)
	}
	k.acked[tag] = true
	if multiple {
		k.multi++
		for before := range tag {
			k.acked[before] = true
		}
		delete(k.acked, 0)
	}
	return true
}

// until reads confirms until another frame comes.
func (k *confirms) until(class, method uint16) received {
	k.Helper()
	for {
		f, err := k.next()
		k.ok(err)
		if k.take(f) {
			continue
		}
		if !f.is(class, method) {
			k.Fatalf("got %v, want method %d.%d", f, class, method)
		}
		return f
	}
}

// want reads confirms until as many are there, which must be these.
func (k *confirms) want(tags ...uint64) {
	k.Helper()
	for len(k.acked) < len(tags) {
		f, err := k.next()
		k.ok(err)
		if !k.take(f) {
			k.Fatalf("got %v, want a confirm", f)
		}
	}
	if got := slices.Sorted(maps.Keys(k.acked)); !slices.Equal(got, tags) {
		k.Fatalf("confirmed are %d, want %d", got, tags)
	}
}

// closed reads channel.close, with confirms before it, and agrees. Nothing that was sent on the channel is answered
// behind it. The channel is open again then.
func (k *confirms) closed(code uint16, text string) {
	k.Helper()
	f := k.until(20, 40)
	if want := encode(code, text, uint16(60), uint16(40)); !bytes.Equal(f.payload[4:], want) {
		k.Errorf("got code, text and cause\n%q, want\n%q", f.payload[4:], want)
	}
	k.method(1, 20, 41)
	k.begin() // it reads no other frame
}
