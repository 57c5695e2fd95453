package rabbittest

import (
	"bytes"
	"encoding/binary"
	"slices"
)

const (
	frameMethod   = 1
	frameOverhead = 8       // type, channel, size and end octet
	frameLimit    = 1 << 20 // no frame of a handshake is near it
)

// openOK is the head of the payload of connection.open-ok: class 10, method 41.
var openOK = []byte{0, 10, 0, 41}

// openWatch looks for connection.open-ok in what a broker sends. A stream that
// does not look like AMQP is given up: the answer stays no.
type openWatch struct {
	partial []byte // the start of a frame that is not complete yet
	over    bool   // found, or given up
}

// end returns how many bytes of chunk belong to the stream up to and including
// connection.open-ok, once; otherwise ok is false.
func (w *openWatch) end(chunk []byte) (length int, ok bool) {
	if w.over {
		return 0, false
	}
	rest := slices.Concat(w.partial, chunk)
	for len(rest) >= frameOverhead {
		size := int64(binary.BigEndian.Uint32(rest[3:7]))
		if size > frameLimit {
			w.over = true
			w.partial = nil
			return 0, false
		}
		frame := int(size) + frameOverhead
		if len(rest) < frame {
			break
		}
		channel0 := rest[1] == 0 && rest[2] == 0
		found := rest[0] == frameMethod && channel0 && bytes.HasPrefix(rest[7:frame-1], openOK)
		rest = rest[frame:]
		if found {
			w.over = true
			w.partial = nil
			return len(chunk) - len(rest), true
		}
	}
	w.partial = bytes.Clone(rest)
	return 0, false
}
