package broker

import (
	"encoding/binary"
	"testing"

	"github.com/everhop/everhop/broker/internal/wire"
)

// endsAListTooEarly tells whether the first thing that is wrong with the headers is one that amqp091-go takes for the
// end of a list. Its readArrayDepth ends a list, without an error, with the first io.EOF that comes out of it, and a
// read there returns io.EOF when it finds nothing at all, for whatever reason:
//
//   - the list has come to its end, as it should be;
//   - what the list is in has, since nobody compares the two: it said that it is longer than there is room;
//   - nothing is left of a value whose type, or whose length, was the last thing there was. Then the value is
//     dropped; if it was deeper inside, what is left of the list is read as what comes behind it.
//
// It is not wrong about a value of which a part is there: that is io.ErrUnexpectedEOF.
func endsAListTooEarly(properties []byte) bool {
	w := walk{left: properties}
	flags, _ := w.take(2)
	if len(flags) < 2 || flags[0]&0x20 == 0 {
		return false
	}
	for _, bit := range []byte{0x80, 0x40} { // content type and encoding stand before the headers
		if flags[0]&bit != 0 && !w.shortString() {
			return false
		}
	}
	w.table()
	return w.early
}

// walk goes through an encoded table until it finds a fault.
type walk struct {
	left  []byte
	lists int  // that it is in
	early bool // the fault ends a list for amqp091-go
}

func (w *walk) take(n int) ([]byte, bool) {
	if n > len(w.left) {
		w.early = w.lists > 0 && len(w.left) == 0
		return nil, false
	}
	b := w.left[:n]
	w.left = w.left[n:]
	return b, true
}

func (w *walk) skip(n int) bool { _, ok := w.take(n); return ok }

func (w *walk) shortString() bool {
	n, ok := w.take(1)
	return ok && w.skip(int(n[0]))
}

func (w *walk) long() (n int, ok bool) {
	b, ok := w.take(4)
	if !ok {
		return 0, false
	}
	return int(binary.BigEndian.Uint32(b)), true
}

func (w *walk) table() bool {
	n, ok := w.long()
	if !ok {
		return false
	}
	return w.inside(n, func() bool { return w.shortString() && w.value() })
}

func (w *walk) list() bool {
	n, ok := w.long()
	if !ok {
		return false
	}
	if n > len(w.left) {
		w.early = true
		return false
	}
	w.lists++
	defer func() { w.lists-- }()
	return w.inside(n, w.value)
}

// inside goes through what so many bytes hold.
func (w *walk) inside(bytes int, entry func() bool) bool {
	content, ok := w.take(bytes)
	if !ok {
		return false
	}
	behind := w.left
	for w.left = content; len(w.left) > 0; {
		if !entry() {
			return false
		}
	}
	w.left = behind
	return true
}

func (w *walk) value() bool {
	kind, ok := w.take(1)
	if !ok {
		return false
	}
	switch kind[0] {
	case 't', 'b', 'B':
		return w.skip(1)
	case 's', 'u':
		return w.skip(2)
	case 'I', 'i', 'f':
		return w.skip(4)
	case 'l', 'L', 'd', 'T':
		return w.skip(8)
	case 'D':
		return w.skip(1) && w.skip(4)
	case 'S', 'x':
		n, ok := w.long()
		return ok && w.skip(n)
	case 'A':
		return w.list()
	case 'F':
		return w.table()
	}
	return kind[0] == 'V'
}

// TestListsThatEndTooEarly: where amqp091-go is wrong it reads on, and where it is not it refuses.
func TestListsThatEndTooEarly(t *testing.T) {
	list := func(size byte, content string) string { return "A\x00\x00\x00" + string(size) + content }
	for _, test := range []struct {
		name, value string
		wrong       bool
	}{
		{"longer than its table", list(9, "t\x01"), true},
		{"longer than its list", list(7, list(9, "t\x01")), true},
		{"nothing of a value", list(3, "t\x01I"), true},
		{"nothing of a text", list(7, "t\x01S\x00\x00\x00\x05"), true},
		{"nothing of a decimal's value", list(4, "t\x01D\x02"), true},
		{"nothing of a table's value", list(7, "F\x00\x00\x00\x02\x01a"), true},
		{"nothing of a list's length", list(3, "t\x01A"), true},
		{"a part of a value", list(5, "t\x01Ixx"), false},
		{"a part of a text", list(8, "t\x01S\x00\x00\x00\x05x"), false},
		{"a part of a list's length", list(4, "t\x01A\x00"), false},
		{"an unknown type", list(3, "t\x01Z"), false},
		{"nothing of a value outside of a list", "I", false},
		{"nothing of a table's value, outside of a list", "F\x00\x00\x00\x02\x01a", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			content := "\x01a" + test.value
			properties := []byte("\x20\x00\x00\x00\x00" + string(rune(len(content))) + content)
			if got := endsAListTooEarly(properties); got != test.wrong {
				t.Errorf("amqp091-go is said to be wrong: %t, want %t", got, test.wrong)
			}
			payload := append(make([]byte, 12), properties...)
			payload[1] = 60
			stream := method(nil, 1, &wire.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 7})
			stream = wire.AppendFrame(stream, wire.Frame{Type: wire.FrameHeader, Channel: 1, Payload: payload})
			r := newReference(t)
			defer r.close()
			if got := r.read(stream) != nil; got != test.wrong {
				t.Errorf("amqp091-go reads it: %t", got)
			}
			if err := new(wire.Delivered).Header(payload, new(wire.Header)); err == nil {
				t.Error("we read it")
			}
			compareReading(t, properties, nil)
		})
	}
}
