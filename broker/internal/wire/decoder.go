package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// decoder takes values from the front of a payload. After the first fault it yields zero values
// only, so that the fault needs to be asked for just once, at the end.
type decoder struct {
	left  []byte
	fault string
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
		d.fail("%s needs %d bytes, %d are left", what, n, len(d.left))
		return nil
	}
	b := d.left[:n]
	d.left = d.left[n:]
	return b
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

func (d *decoder) shortString() string {
	return string(d.take(uint32(d.octet()), "short string"))
}

// longString returns a part of the payload; whoever keeps it copies it.
func (d *decoder) longString() []byte { return d.take(d.long(), "long string") }

func (d *decoder) timestamp() time.Time { return time.Unix(int64(d.longlong()), 0).UTC() }

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

// table decodes a table inside of depth others. It is never nil, but empty after a fault.
func (d *decoder) table(depth int) Table {
	entries := d.container(depth, "table")
	t := make(Table)
	for len(entries.left) > 0 {
		key := entries.shortString()
		t[key] = entries.value(depth + 1)
	}
	d.adopt(entries)
	return t
}

func (d *decoder) array(depth int) []any {
	elements := d.container(depth, "array")
	a := []any{}
	for len(elements.left) > 0 {
		a = append(a, elements.value(depth+1))
	}
	d.adopt(elements)
	return a
}

// container takes the content of a table or an array.
func (d *decoder) container(depth int, what string) *decoder {
	if depth >= maxDepth {
		d.fail("%s nested deeper than %d", what, maxDepth)
		return &decoder{}
	}
	return &decoder{left: d.take(d.long(), what)}
}

// adopt makes the fault of a container's content the container's own.
func (d *decoder) adopt(content *decoder) {
	if content.fault != "" {
		d.fail("%s", content.fault)
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
		return string(d.longString())
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
