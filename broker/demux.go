package broker

import (
	"encoding/binary"
	"errors"
	"io"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/wire"
)

const (
	// readSize is how much is read from the socket at once, at most.
	readSize = 64 << 10
	// wholeSize is up to which size a frame is waited for, rather than dealt with as it comes in.
	wholeSize = 8 << 10

	frameHeader   = wire.FrameOverhead - 1 // type, channel and size
	frameOverhead = wire.FrameOverhead
)

// demux stands between the socket and amqp091-go, and takes the deliveries out of what comes in: the frames of
// basic.deliver, its header and its body on the channels that have a route; for a publisher, those of basic.return, and the
// confirms; and what tells of an alarm. Everything else goes on to amqp091-go, unchanged and in order.
//
//	socket --> buffer --+--> route --> inbox           a delivery of a channel that we consume
//	                    +--> amqp091-go's next Read    anything else
//
// amqp091-go itself would take several times the processor time for a delivery, and ends the connection on a
// message that it does not like, which then comes again on the next one.
//
// It is all that amqp091-go gets to see of the connection. If it saw SetReadDeadline, it would wake a goroutine
// that calls it for almost each frame. Read is called by amqp091-go's one reader, Write with a lock of its held.
type demux struct {
	io.WriteCloser
	source  io.Reader
	routes  routes
	opening chan *route // of the channel that is about to be opened
	alarms  alarms

	written     outgoing
	unconfirmed []uint16 // channels that have just been opened, for publishing

	buffer     []byte
	start, end int      // buffer[start:end] has come in, and is to be dealt with
	passing    int64    // how many bytes from start on are amqp091-go's
	keeping    kept     // the frame whose payload is at start; no route: a frame begins there
	touched    []*route // what has something to publish
	failure    error    // of the source, or of what came from there
}

// kept is a frame that is dealt with as it comes in.
type kept struct {
	route  *route
	header bool  // else it is a body
	length int64 // of the payload
	left   int64 // what of it has not come in yet
}

func newDemux(transport io.ReadWriteCloser) *demux {
	return &demux{
		WriteCloser: transport, source: transport,
		opening: make(chan *route, 1), alarms: newAlarms(), buffer: make([]byte, readSize),
	}
}

// Read returns what is amqp091-go's. Before it waits for more, all deliveries that have come in are in their
// inboxes; before it returns, those that came in before what it returns.
func (d *demux) Read(p []byte) (n int, err error) {
	for {
		for d.failure == nil && n < len(p) {
			if d.passing == 0 {
				if !d.advance() {
					break
				}
				continue
			}
			moved := copy(p[n:], d.buffer[d.start:min(int64(d.end), int64(d.start)+d.passing)])
			if moved == 0 {
				break
			}
			n, d.start, d.passing = n+moved, d.start+moved, d.passing-int64(moved)
		}
		d.publish()
		switch {
		case n > 0 || len(p) == 0:
			return n, nil
		case d.failure != nil:
			for _, r := range d.routes.all() {
				r.inbox.end()
			}
			return 0, d.failure
		}
		d.fill()
	}
}

// fill waits for more to come in.
func (d *demux) fill() {
	if d.start == d.end {
		d.start, d.end = 0, 0
	} else if d.start > 0 {
		d.start, d.end = 0, copy(d.buffer, d.buffer[d.start:d.end])
	}
	n, err := d.source.Read(d.buffer[d.end:])
	d.end += n
	if n == 0 { // otherwise it comes again with the next Read
		d.failure = err
	}
}

// advance deals with one frame, or with a part of it, and returns false when more has to come in first.
func (d *demux) advance() bool {
	in := d.buffer[d.start:d.end]
	if d.keeping.route != nil {
		return d.keep(in)
	}
	if len(in) < frameHeader {
		return false
	}
	kind, channel, length := in[0], binary.BigEndian.Uint16(in[1:]), int64(binary.BigEndian.Uint32(in[3:]))
	if channel == 0 && kind == wire.FrameMethod {
		return d.connectionMethod(in, length)
	}
	r := d.routes.get(channel)
	ours := r != nil && (kind == wire.FrameMethod ||
		(kind == wire.FrameHeader || kind == wire.FrameBody) && r.expects != nothing)
	if !ours {
		d.passing = length + frameOverhead
		return true
	}
	if kind == wire.FrameMethod {
		return d.method(r, in, length)
	}
	header := kind == wire.FrameHeader
	if length > r.largest(header) { // nobody waits for what will never come
		d.failure = amqp.ErrFrameTooLarge
		return false
	}
	if int64(len(in)) >= length+frameOverhead {
		payload := in[frameHeader:][:length]
		if !d.skip(int(length) + frameOverhead) {
			return false
		}
		if header {
			r.properties(payload, length)
		} else {
			r.body(payload, true)
		}
		d.touch(r)
		return true
	}
	if length <= wholeSize {
		return false
	}
	d.keeping = kept{route: r, header: header, length: length, left: length}
	d.start += frameHeader
	return true
}

// skip goes behind a whole frame of so many bytes.
func (d *demux) skip(bytes int) bool {
	d.start += bytes
	if d.buffer[d.start-1] != wire.FrameEnd {
		d.failure = amqp.ErrFrame
		return false
	}
	return true
}

// keep goes on with a frame that is dealt with as it comes in.
func (d *demux) keep(in []byte) bool {
	k := &d.keeping
	part := in[:min(int64(len(in)), k.left)]
	d.start += len(part)
	k.left -= int64(len(part))
	ended := k.left == 0 && len(in) > len(part)
	if k.header {
		k.route.gather(part, k.length)
	} else if len(part) > 0 {
		k.route.body(part, false)
	}
	if !ended || !d.skip(1) {
		return false
	}
	if k.header {
		k.route.properties(k.route.header, k.length)
	} else {
		k.route.body(nil, true)
	}
	d.touch(k.route)
	d.keeping = kept{}
	return true
}

// method deals with a method on a channel that has a route: what begins a delivery is kept, what tells where a
// consumer begins or ends is noted, in the order in which it came.
func (d *demux) method(r *route, in []byte, length int64) bool {
	if length < 4 { // not even the method's numbers: amqp091-go will have none of it
		d.passing = length + frameOverhead
		return true
	}
	if len(in) < frameHeader+4 {
		return false
	}
	name := [2]uint16{binary.BigEndian.Uint16(in[7:]), binary.BigEndian.Uint16(in[9:])}
	switch {
	case name == basicDeliver, name == basicReturn && (r.returned != nil || r.receipts != nil):
		return d.content(r, name == basicReturn, in, length)
	case r.receipts != nil && (name == basicAck || name == basicNack):
		return d.receipt(r, name == basicAck, in, length)
	}
	r.interrupt()
	switch name {
	case basicConsumeOK, basicCancel, basicCancelOK:
		r.publish()
		r.inbox.setOpen(name == basicConsumeOK)
	case channelClose, channelCloseOK:
		d.routes.set(r.channel, nil)
		r.inbox.end()
	}
	d.passing = length + frameOverhead
	return true
}

// connectionMethod takes out what tells of an alarm.
func (d *demux) connectionMethod(in []byte, length int64) bool {
	if length < 4 {
		d.passing = length + frameOverhead
		return true
	}
	if len(in) < frameHeader+4 {
		return false
	}
	name := [2]uint16{binary.BigEndian.Uint16(in[7:]), binary.BigEndian.Uint16(in[9:])}
	if name != connectionBlocked && name != connectionUnblocked {
		d.passing = length + frameOverhead
		return true
	}
	const longest = 4 + 1 + 255 // the method's numbers, a reason
	if length > longest {
		d.failure = amqp.ErrSyntax
		return false
	}
	if int64(len(in)) < length+frameOverhead || !d.skip(int(length)+frameOverhead) {
		return false
	}
	latest := alarm{active: name == connectionBlocked}
	if reason := in[frameHeader+4 : frameHeader+length]; latest.active {
		if len(reason) == 0 || len(reason) != 1+int(reason[0]) {
			d.failure = amqp.ErrSyntax
			return false
		}
		latest.reason = string(reason[1:])
	}
	d.alarms.put(latest)
	return true
}

// Class and number of methods.
var (
	connectionBlocked   = [2]uint16{10, 60}
	connectionUnblocked = [2]uint16{10, 61}

	channelOpen    = [2]uint16{20, 10}
	channelClose   = [2]uint16{20, 40}
	channelCloseOK = [2]uint16{20, 41}
	basicConsumeOK = [2]uint16{60, 21}
	basicCancel    = [2]uint16{60, 30}
	basicCancelOK  = [2]uint16{60, 31}
	basicReturn    = [2]uint16{60, 50}
	basicDeliver   = [2]uint16{60, 60}
	basicAck       = [2]uint16{60, 80}
	basicNack      = [2]uint16{60, 120}
)

// content begins a message with its method, which is no longer than a basic.deliver.
func (d *demux) content(r *route, isReturn bool, in []byte, length int64) bool {
	if length > wire.MaxDeliver {
		d.failure = amqp.ErrSyntax
		return false
	}
	if int64(len(in)) < length+frameOverhead {
		return false
	}
	if !d.skip(int(length) + frameOverhead) {
		return false
	}
	if isReturn {
		if err := r.giveBack(in[frameHeader:][:length]); err != nil {
			d.failure = amqp.ErrSyntax
			return false
		}
		return true
	}
	if err := r.deliver(in[frameHeader:][:length]); err != nil {
		d.failure = amqp.ErrSyntax
		return false
	}
	return true
}

// receipt deals with a confirm.
func (d *demux) receipt(r *route, taken bool, in []byte, length int64) bool {
	const size = 4 + 8 + 1 // the method's numbers, the delivery tag, the bits
	if length != size {
		d.failure = amqp.ErrSyntax
		return false
	}
	if len(in) < size+frameOverhead || !d.skip(size+frameOverhead) {
		return false
	}
	r.interrupt()
	payload := in[frameHeader:][:size]
	r.receipts.Settled(binary.BigEndian.Uint64(payload[4:]), payload[12]&1 != 0, taken)
	return true
}

// touch notes that there may be something to publish.
func (d *demux) touch(r *route) {
	if !r.touched && len(r.fresh) > 0 {
		r.touched = true
		d.touched = append(d.touched, r)
	}
}

func (d *demux) publish() {
	for i, r := range d.touched {
		r.publish()
		r.touched, d.touched[i] = false, nil
	}
	d.touched = d.touched[:0]
}

var errUnseen = errors.New("amqp091-go has opened a channel in a way that is not known")

// open opens a channel and calls it the route's. open must do so in the calling goroutine.
func (d *demux) open(r *route, open func() error) error {
	d.opening <- r // waits until another one is on its way, not for its answer
	err := open()
	if r.channel == 0 { // nothing was written, so it is still there
		<-d.opening
		if err == nil {
			err = errUnseen
		}
	}
	return err
}
