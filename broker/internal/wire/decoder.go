package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

const (
	// MaxDeliver is the most that a payload of basic.deliver takes: the method's numbers, three short strings,
	// the delivery tag and the bits.
	MaxDeliver = 4 + 3*(1+MaxShortString) + 8 + 1
	// MaxDeliveredDepth is how many tables and arrays may be inside of one another in a delivery: what a
	// goroutine's stack holds easily, since it is the publisher who chooses.
	MaxDeliveredDepth = 10_000
	// maxSharedText is how long a table may be whose strings share one allocation.
	maxSharedText = 4096
)

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

	deliver BasicDeliver
	last    *Properties // nil before the first one: most of a thousand queues may be empty
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

// ParseReturn decodes the payload of a basic.return. The error is a [*SyntaxError].
func ParseReturn(payload []byte) (BasicReturn, error) {
	d := decoder{left: payload}
	d.take(4, "method")
	m := BasicReturn{ReplyCode: d.short(), ReplyText: d.shortString(), Exchange: d.shortString(), RoutingKey: d.shortString()}
	if len(d.left) > 0 || d.fault != "" {
		return BasicReturn{}, d.end("basic.return")
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
	d := decoder{left: payload[fixed:], lenient: true, memory: r.MaxMemory}
	if r.last == nil {
		r.last = new(Properties)
	}
	h.Properties.decode(&d, r.last)
	if d.fault != "" {
		return &SyntaxError{Subject: "content header", Detail: d.fault}
	}
	return nil
}

// decode returns the set of what is there. What is often the same in one message as in the last is shared
// with last, which may be anything, and is changed to hold the strings of this one.
func (p *Properties) decode(d *decoder, last *Properties) (present PropertySet) {
	present = PropertySet(d.short())
	if present&undefined != 0 && !d.lenient {
		d.fail("undefined property flags %#x", present&undefined)
		return present
	}
	if present&contentType != 0 {
		p.ContentType = d.repeated(&last.ContentType)
	}
	if present&contentEncoding != 0 {
		p.ContentEncoding = d.repeated(&last.ContentEncoding)
	}
	fault := ""
	if present&headers != 0 {
		p.Headers, fault = d.headers()
	}
	if present&deliveryMode != 0 {
		p.DeliveryMode = d.octet()
	}
	if present&priority != 0 {
		p.Priority = d.octet()
	}
	if present&correlationID != 0 {
		p.CorrelationID = d.shortString()
	}
	if present&replyTo != 0 {
		p.ReplyTo = d.repeated(&last.ReplyTo)
	}
	if present&expiration != 0 {
		p.Expiration = d.repeated(&last.Expiration)
	}
	if present&messageID != 0 {
		p.MessageID = d.shortString()
	}
	if present&timestamp != 0 {
		p.Timestamp = d.timestamp()
	}
	if present&typeProperty != 0 {
		p.Type = d.repeated(&last.Type)
	}
	if present&userID != 0 {
		p.UserID = d.repeated(&last.UserID)
	}
	if present&appID != 0 {
		p.AppID = d.repeated(&last.AppID)
	}
	if present&clusterID != 0 {
		p.ClusterID = d.repeated(&last.ClusterID)
	}
	if fault != "" {
		d.fault = fault
	}
	return present
}

// headers decodes the table of a content header. A fault in it is not one of what is behind it.
func (d *decoder) headers() (t Table, fault string) {
	length := d.left[:min(4, len(d.left))]
	content := d.longString()
	if d.fault != "" {
		return nil, d.fault
	}
	behind := d.left
	d.left = length[: 4+len(content) : cap(length)]
	t = d.table(0)
	fault, d.fault, d.left = d.fault, "", behind
	return t, fault
}

// decoder takes values from the front of a payload. After the first fault it yields zero values
// only, so that the fault needs to be asked for just once, at the end.
type decoder struct {
	left  []byte // its capacity ends where the payload's does, which tells where it begins
	fault string
	// lenient reads what a server delivers as long as it can be read at all.
	lenient bool
	// memory is how many bytes what lenient tables hold may still take.
	memory int64
	// text is a copy of a table's content, of which its strings are parts. It was taken when the capacity of
	// left was textFrom.
	text     string
	textFrom int
}

func (d *decoder) fail(format string, args ...any) {
	if d.fault == "" {
		d.fault = fmt.Sprintf(format, args...)
	}
	d.left = nil
}

// take returns the next n bytes, nil if there are fewer. They are part of the payload, not a copy.
func (d *decoder) take(n uint32, what string) []byte {
	if uint64(n) > uint64(len(d.left)) {
		d.tooFew(n, what)
		return nil
	}
	b := d.left[:n]
	d.left = d.left[n:]
	return b
}

func (d *decoder) tooFew(n uint32, what string) {
	d.fail("%s needs %d bytes, %d are left", what, n, len(d.left))
}

func (d *decoder) octet() uint8 {
	if b := d.take(1, "octet"); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) short() uint16 {
	if b := d.take(2, "short"); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) long() uint32 {
	if b := d.take(4, "long"); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) longlong() uint64 {
	if b := d.take(8, "long long"); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// shortBytes returns a short string as a part of the payload.
func (d *decoder) shortBytes() []byte { return d.take(uint32(d.octet()), "short string") }

func (d *decoder) shortString() string { return string(d.shortBytes()) }

// repeated is shortString for what is often the same as the last time, and then shared with it.
func (d *decoder) repeated(last *string) string {
	if b := d.shortBytes(); string(b) != *last {
		*last = string(b)
	}
	return *last
}

// longString returns a part of the payload; whoever keeps it copies it.
func (d *decoder) longString() []byte { return d.take(d.long(), "long string") }

func (d *decoder) timestamp() time.Time {
	t := time.Unix(int64(d.longlong()), 0)
	if d.lenient {
		return t
	}
	return t.UTC()
}

// end is the verdict on the whole payload, of which nothing may be left.
func (d *decoder) end(subject string) error {
	if len(d.left) > 0 {
		d.fail("%d bytes too many", len(d.left))
	}
	if d.fault != "" {
		return &SyntaxError{Subject: subject, Detail: d.fault}
	}
	return nil
}

// table decodes a table inside of depth others. It is never nil; after a fault it holds what was read before.
func (d *decoder) table(depth int) Table {
	t := make(Table)
	behind := d.enter(depth, "table")
	for len(d.left) > 0 {
		key := d.string(d.shortBytes())
		v := d.value(depth + 1)
		if d.fault != "" {
			return t
		}
		d.charge(64 + len(key))
		t[key] = v
	}
	d.leave(behind)
	return t
}

func (d *decoder) array(depth int) []any {
	a := []any{}
	behind := d.enter(depth, "array")
	for len(d.left) > 0 {
		v := d.value(depth + 1)
		if d.fault != "" {
			return a
		}
		d.charge(32)
		a = append(a, v)
	}
	d.leave(behind)
	return a
}

// enter goes into a table or an array, and returns what is behind it.
func (d *decoder) enter(depth int, what string) (behind []byte) {
	limit := maxDepth
	if d.lenient {
		limit = MaxDeliveredDepth
	}
	if depth >= limit {
		d.fail("%s nested deeper than %d", what, limit)
		return nil
	}
	content := d.take(d.long(), what)
	behind, d.left = d.left, content
	if d.lenient && depth == 0 && len(content) <= maxSharedText {
		d.text, d.textFrom = string(content), cap(content)
	}
	return behind
}

func (d *decoder) leave(behind []byte) {
	if d.fault == "" {
		d.left = behind
	}
}

// string is a copy of what was taken from a table.
func (d *decoder) string(b []byte) string {
	if from := d.textFrom - cap(b); len(b) > 0 && from >= 0 && from+len(b) <= len(d.text) {
		return d.text[from : from+len(b)]
	}
	return string(b)
}

// charge is called before so many bytes of memory are taken for what is small on the wire.
func (d *decoder) charge(bytes int) {
	if !d.lenient {
		return
	}
	if d.memory -= int64(bytes); d.memory < 0 {
		d.fail("headers that take too much memory")
	}
}

func (d *decoder) value(depth int) any {
	switch kind := d.octet(); kind {
	case 't':
		return d.octet() != 0
	case 'b':
		return int8(d.octet())
	case 'B':
		return d.octet()
	case 's':
		return int16(d.short())
	case 'u':
		return d.short()
	case 'I':
		return int32(d.long())
	case 'i':
		return d.long()
	case 'l', 'L':
		return int64(d.longlong())
	case 'f':
		return math.Float32frombits(d.long())
	case 'd':
		return math.Float64frombits(d.longlong())
	case 'D':
		return Decimal{Scale: d.octet(), Value: int32(d.long())}
	case 'S':
		return d.string(d.longString())
	case 'x':
		return append([]byte{}, d.longString()...)
	case 'A':
		return d.array(depth)
	case 'T':
		return d.timestamp()
	case 'F':
		return d.table(depth)
	case 'V':
		return nil
	default:
		d.fail("field value of unknown type %q", kind)
		return nil
	}
}

// ParseTable decodes the entries of a table that come without their length, as in the response of the
// AMQPLAIN mechanism. The error is a [*SyntaxError].
func ParseTable(entries []byte) (Table, error) {
	d := &decoder{left: binary.BigEndian.AppendUint32(nil, uint32(len(entries)))}
	d.left = append(d.left, entries...)
	t := d.table(0)
	return t, d.end("table")
}
