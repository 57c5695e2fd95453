package broker

import (
	"bytes"
	"encoding/binary"

	"github.com/everhop/everhop/broker/internal/wire"
)

// Write sees which number amqp091-go gives to a channel, which it does not tell. What makes the broker confirm is written
// together with channel.open: if that was written and seemed to have failed, amqp091-go would forget the channel, and its
// reader wait for ever to hand over the answer.
func (d *demux) Write(p []byte) (int, error) {
	d.written.walk(p, d.channelOpens)
	if len(d.unconfirmed) == 0 || !d.written.between() {
		return d.WriteCloser.Write(p)
	}
	more := bytes.Clone(p)
	for _, channel := range d.unconfirmed {
		more = append(more, confirmSelect(channel)...)
	}
	d.unconfirmed = d.unconfirmed[:0]
	n, err := d.WriteCloser.Write(more)
	return min(n, len(p)), err
}

// channelOpens is called with what is about to be written.
func (d *demux) channelOpens(number uint16) {
	select {
	case r := <-d.opening:
		r.channel = number
		if !r.none {
			d.routes.set(number, r)
		}
		if r.receipts != nil {
			d.unconfirmed = append(d.unconfirmed, number)
		}
	default: // opened before anything is consumed
	}
}

// outgoing is where amqp091-go is in what it writes. Frames of several goroutines share its buffer, and a full buffer ends
// amid a frame.
type outgoing struct {
	head [frameHeader + 4]byte // of the frame that has begun, and the numbers of its method
	n    int                   // what there is of it
	left int64                 // what is missing of the frame behind it
}

// between tells whether the next byte begins a frame.
func (w *outgoing) between() bool { return w.n == 0 && w.left == 0 }

// walk calls opens for each channel.open that p has, or the begin of one.
func (w *outgoing) walk(p []byte, opens func(channel uint16)) {
	for len(p) > 0 {
		if w.left > 0 {
			skipped := min(w.left, int64(len(p)))
			w.left -= skipped
			p = p[skipped:]
			continue
		}
		if w.n == 0 && p[0] == 'A' { // no frame, but what comes before the first one
			w.left = int64(len("AMQP\x00\x00\x09\x01"))
			continue
		}
		need := w.need()
		taken := copy(w.head[w.n:need], p)
		w.n += taken
		p = p[taken:]
		if w.n < w.need() {
			continue
		}
		length := int64(binary.BigEndian.Uint32(w.head[3:]))
		name := [2]uint16{binary.BigEndian.Uint16(w.head[7:]), binary.BigEndian.Uint16(w.head[9:])}
		if w.n == len(w.head) && name == channelOpen {
			opens(binary.BigEndian.Uint16(w.head[1:]))
		}
		w.left = length + frameOverhead - int64(w.n)
		w.n = 0
	}
}

// need is how much of a frame tells what it is.
func (w *outgoing) need() int {
	if w.n < frameHeader || w.head[0] != wire.FrameMethod || binary.BigEndian.Uint32(w.head[3:]) < 4 {
		return frameHeader
	}
	return len(w.head)
}
