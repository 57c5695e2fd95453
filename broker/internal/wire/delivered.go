package wire

import (
	"encoding/binary"
	"fmt"
)

// MaxDeliver is the most that a payload of basic.deliver takes: the method's numbers, three short strings,
// the delivery tag and the bits.
const MaxDeliver = 4 + 3*(1+MaxShortString) + 8 + 1

// Delivered reads the content that a server delivers on one channel. It is more patient than the Parse
// functions: it reads whatever can be read at all, since a broken header is the publisher's doing, and not the
// connection's fault. Where strings are often those of the message before, the two share them. What it
// returns is otherwise the caller's own.
//
// Tables are as in [Table], but times are local, as amqp091-go has them.
type Delivered struct {
	// MaxMemory bounds, in bytes, what the headers of one message may take beyond their text: a nil is one
	// byte on the wire.
	MaxMemory int64
	// SkipHeaders leaves Headers nil, whatever they are.
	SkipHeaders bool

	deliver BasicDeliver
	last    Properties
}

// Deliver decodes the payload of a basic.deliver. The error is a [*SyntaxError].
func (r *Delivered) Deliver(payload []byte) (BasicDeliver, error) {
	d := decoder{left: payload}
	d.take(4, "method")
	m := BasicDeliver{ConsumerTag: d.repeated(&r.deliver.ConsumerTag)}
	m.DeliveryTag = d.longlong()
	m.Redelivered = d.octet()&1 != 0
	m.Exchange = d.repeated(&r.deliver.Exchange)
	m.RoutingKey = d.repeated(&r.deliver.RoutingKey)
	if len(d.left) > 0 || d.fault != "" {
		return BasicDeliver{}, d.end("basic.deliver")
	}
	return m, nil
}

// Header decodes the payload of a content header into h, which must be zero. The error is a [*SyntaxError]; then
// h holds what could be read. What a header has behind the properties is skipped.
func (r *Delivered) Header(payload []byte, h *Header) error {
	const fixed = 2 + 2 + 8 // class and weight, which mean nothing, and the size of the body
	if len(payload) < fixed {
		return &SyntaxError{Subject: "content header", Detail: fmt.Sprintf("%d bytes", len(payload))}
	}
	h.BodySize = binary.BigEndian.Uint64(payload[4:])
	d := decoder{left: payload[fixed:], lenient: true, memory: r.MaxMemory, skipHeaders: r.SkipHeaders}
	h.Properties.decode(&d, &r.last)
	if d.fault != "" {
		return &SyntaxError{Subject: "content header", Detail: d.fault}
	}
	return nil
}
