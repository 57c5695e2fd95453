package rabbittest

import (
	"encoding/binary"
	"testing"
)

// frame builds a method frame.
func frame(channel uint16, payload ...byte) []byte {
	head := []byte{frameMethod}
	head = binary.BigEndian.AppendUint16(head, channel)
	head = binary.BigEndian.AppendUint32(head, uint32(len(payload)))
	return append(append(head, payload...), 0xCE)
}

func TestOpenWatch(t *testing.T) {
	start := frame(0, 0, 10, 0, 10, 1, 2, 3)
	open := frame(0, 0, 10, 0, 41, 0)
	for _, test := range []struct {
		name   string
		stream [][]byte
		want   int // offset of the end of connection.open-ok, -1 for none
	}{
		{"nothing", nil, -1},
		{"only start", [][]byte{start}, -1},
		{"open-ok", [][]byte{start, open}, len(start) + len(open)},
		{"more after it", [][]byte{open, start, open}, len(open)},
		{"on another channel", [][]byte{frame(1, 0, 10, 0, 41, 0)}, -1},
		{"inside a payload", [][]byte{frame(0, append([]byte{0, 10, 0, 10}, open...)...)}, -1},
		{"an empty frame", [][]byte{frame(0), open}, len(frame(0)) + len(open)},
		{"not AMQP", [][]byte{[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), open}, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stream []byte
			for _, part := range test.stream {
				stream = append(stream, part...)
			}
			for size := 1; size <= len(stream)+1; size++ {
				if got := scan(stream, size); got != test.want {
					t.Errorf("in chunks of %d: found at %d, want %d", size, got, test.want)
				}
			}
		})
	}
}

// scan feeds a stream in chunks and returns where connection.open-ok ends, or -1.
func scan(stream []byte, size int) int {
	var watch openWatch
	for at := 0; at < len(stream); at += size {
		chunk := stream[at:min(at+size, len(stream))]
		if length, ok := watch.end(chunk); ok {
			return at + length
		}
	}
	return -1
}

// However a stream is cut, the answer is the same.
func FuzzOpenWatch(f *testing.F) {
	f.Add(frame(0, 0, 10, 0, 41, 0), 3)
	f.Add([]byte("AMQP\x00\x00\x09\x01"), 1)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		if size <= 0 {
			return
		}
		if cut, whole := scan(stream, size), scan(stream, len(stream)+1); cut != whole {
			t.Errorf("in chunks of %d: %d, whole: %d", size, cut, whole)
		}
	})
}
