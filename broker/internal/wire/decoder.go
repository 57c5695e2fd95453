package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

const (
	// MaxDeliveredDepth is how many tables and arrays may be inside of one another in a delivery: what a
	// goroutine's stack holds easily, since it is the publisher who chooses.
	MaxDeliveredDepth = 10_000
	// maxSharedText is how long a table may be whose strings share one allocation.
	maxSharedText = 4096
)

// decoder takes values from the front of a payload. After the first fault it yields zero values
// only, so that the fault needs to be asked for just once, at the end.
type decoder struct {
	left  []byte // its capacity ends where the payload's does, which tells where it begins
	fault string
	// lenient reads what a server delivers as long as it can be read at all.
	lenient bool
	// skipHeaders skips the table of a content header.
	skipHeaders bool
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
