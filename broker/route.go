package broker

import (
	"bytes"
	"fmt"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

// route takes the deliveries of one channel, from its opening until it is closed, and puts them together. All
// but the inbox belongs to the connection's reader.
type route struct {
	none     bool // the channel is amqp091-go\'s alone
	inbox    *inbox
	channel  uint16                         // set when channel.open is sent; 0 before
	limit    int64                          // Plan.MaxMessageSize
	returned func(*Delivery)                // takes what basic.return brings, without its body; nil: amqp091-go does
	receipts *Receipts                      // of what is published on the channel; nil: amqp091-go's
	apart    func(*Delivery) bool           // takes what is not for the inbox; nil: nothing
	arrived  func(d *Delivery, bytes int64) // Intake.Arrived

	reader  wire.Delivered
	fresh   []*Delivery // complete, and not in the inbox yet
	touched bool        // the demux knows of fresh

	expects  content
	message  *Delivery // that is coming in
	isReturn bool      // it was published on the channel, and could not be routed
	size     uint64    // of its body
	around   int64     // the size of its header
	skip     bool      // the body is too large to be kept
	skipped  uint64    // bytes of it
	header   []byte    // what has come in of a header that does not fit into the reader's buffer
}

const (
	// largestBody is the most that RabbitMQ takes, whatever its max_message_size.
	largestBody = 512 << 20
	// spare is by how much a frame may be larger than it should be: a header with what the broker has added to it, a
	// body that is longer than was announced. Such a message is read, or marked.
	spare = 16 << 20
)

// content is what comes next on the channel of the message that is coming in.
type content int

const (
	nothing content = iota // whatever comes is not ours
	contentHeader
	contentBody
)

func newRoute(limit int64) *route {
	return &route{inbox: newInbox(), limit: limit, reader: wire.Delivered{MaxMemory: limit}}
}

// deliver begins a message.
func (r *route) deliver(method []byte) error {
	m, err := r.reader.Deliver(method)
	if err != nil {
		return err
	}
	r.interrupt()
	r.message = &Delivery{
		ConsumerTag: m.ConsumerTag, DeliveryTag: m.DeliveryTag, Redelivered: m.Redelivered,
		Exchange: m.Exchange, RoutingKey: m.RoutingKey,
	}
	r.expects = contentHeader
	return nil
}

// giveBack begins a message that is returned. Its body is what was published.
func (r *route) giveBack(method []byte) error {
	m, err := wire.ParseReturn(method)
	if err != nil {
		return err
	}
	r.interrupt()
	r.message = &Delivery{Exchange: m.Exchange, RoutingKey: m.RoutingKey}
	r.isReturn, r.skip, r.expects = true, true, contentHeader
	return nil
}

// interrupt drops the message that is coming in, if one is: another method, or a frame out of turn, ends it.
// RabbitMQ does no such thing.
func (r *route) interrupt() {
	r.message, r.expects, r.header = nil, nothing, nil
	r.isReturn, r.skip, r.skipped = false, false, 0
}

// largest is how much payload a frame may have, as what comes next. What is larger is no frame of a message.
// It is more than the frame_max: RabbitMQ itself exceeds that, with a header to which it has added something.
func (r *route) largest(header bool) int64 {
	switch {
	case header:
		return r.limit + spare
	case r.expects != contentBody:
		return spare
	}
	missing := r.size - r.skipped - uint64(len(r.message.Body))
	return int64(min(missing, uint64(max(r.limit, largestBody)))) + spare
}

// gather keeps a part of a header of so many bytes; of one that is too large, what is needed to tell about it.
func (r *route) gather(part []byte, length int64) {
	if r.expects != contentHeader {
		return
	}
	if length > r.limit {
		part = part[:min(len(part), max(0, readSize-len(r.header)))]
	}
	r.header = extend(r.header, part, uint64(length))
}

// properties goes on with the payload of the header, or with as much of it as was kept of so many bytes.
func (r *route) properties(payload []byte, length int64) {
	if r.expects != contentHeader {
		r.interrupt()
		return
	}
	var h wire.Header
	err := r.reader.Header(payload, &h)
	r.message.describe(&h.Properties)
	r.size, r.around, r.expects = h.BodySize, length, contentBody
	if length > r.limit || h.BodySize > uint64(r.limit-length) {
		r.skip = true
		err = fmt.Errorf("%w: %d bytes of header and %d of body", ErrTooLarge, length, h.BodySize)
	}
	if err != nil {
		r.message.Unreadable = &UnreadableError{Err: err, RawHeader: bytes.Clone(payload)}
	}
	if r.size == 0 {
		r.message.Body = []byte{}
		r.complete()
	}
}

// describe takes over the properties.
func (d *Delivery) describe(p *wire.Properties) {
	d.Headers = p.Headers
	d.StreamOffset, _ = p.Headers["x-stream-offset"].(int64)
	d.ContentType = p.ContentType
	d.ContentEncoding = p.ContentEncoding
	d.DeliveryMode = p.DeliveryMode
	d.Priority = p.Priority
	d.CorrelationID = p.CorrelationID
	d.ReplyTo = p.ReplyTo
	d.Expiration = p.Expiration
	d.MessageID = p.MessageID
	d.Timestamp = p.Timestamp
	d.Type = p.Type
	d.UserID = p.UserID
	d.AppID = p.AppID
}

// body goes on with a part of the body; last tells whether it ends a frame. A message is complete only with a
// frame, even if that is too long.
func (r *route) body(part []byte, last bool) {
	if r.expects != contentBody {
		r.interrupt()
		return
	}
	m := r.message
	if !r.skip && int64(len(m.Body)+len(part)) > r.limit { // and the header had said less
		r.skip, r.skipped, m.Body = true, uint64(len(m.Body)), nil
		m.Unreadable = &UnreadableError{Err: fmt.Errorf("%w: a body of more than the %d bytes that the header has", ErrTooLarge, r.size)}
	}
	switch {
	case r.skip:
		r.skipped += uint64(len(part))
	case m.Body == nil && uint64(len(part)) >= r.size:
		m.Body = bytes.Clone(part)
	default:
		m.Body = extend(m.Body, part, r.size)
	}
	if last && uint64(len(m.Body))+r.skipped >= r.size {
		r.complete()
	}
}

// extend appends a part to a body of so many bytes. It takes no more than four times the memory of what has come
// in: a size is quickly said.
func extend(body, part []byte, size uint64) []byte {
	if need := len(body) + len(part); need > cap(body) {
		grown := make([]byte, len(body), max(uint64(need), min(size, 4*uint64(need))))
		copy(grown, body)
		body = grown
	}
	return append(body, part...)
}

func (r *route) complete() {
	switch {
	case r.isReturn && r.receipts != nil:
		m := r.message
		r.receipts.Returned(Returned{Exchange: m.Exchange, RoutingKey: m.RoutingKey, ID: m.publishID()})
	case r.isReturn:
		r.returned(r.message)
	case r.apart != nil && r.message.Headers != nil && r.apart(r.message):
	default:
		r.fresh = append(r.fresh, r.message)
		if r.arrived != nil {
			r.arrived(r.message, memoryOf(r.message, r.around))
		}
	}
	r.interrupt()
}

// publish puts what is complete into the inbox.
func (r *route) publish() {
	if len(r.fresh) > 0 {
		now := time.Now()
		for _, d := range r.fresh {
			d.ReceivedAt = now
		}
		r.inbox.put(r.fresh)
		clear(r.fresh)
		r.fresh = r.fresh[:0]
	}
}
