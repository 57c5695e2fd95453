package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestReaderNext(t *testing.T) {
	stream := AppendFrame(nil, Frame{Type: FrameMethod, Channel: 0x0102, Payload: []byte("abc")})
	stream = AppendFrame(stream, Frame{Type: FrameHeartbeat})
	if golden := "\x01\x01\x02\x00\x00\x00\x03abc\xce\x08\x00\x00\x00\x00\x00\x00\xce"; string(stream) != golden {
		t.Fatalf("appended % x, want % x", stream, golden)
	}
	r := NewReader(iotest.OneByteReader(bytes.NewReader(stream)))
	for _, want := range []Frame{
		{Type: FrameMethod, Channel: 0x0102, Payload: []byte("abc")},
		{Type: FrameHeartbeat, Payload: []byte{}},
	} {
		got, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the last frame: %v, want io.EOF", err)
	}
}

func TestReaderRefuses(t *testing.T) {
	tests := []struct {
		name   string
		stream string
		want   FrameError
	}{
		{"unknown type", "\x04\x00\x00\x00\x00\x00\x00\xce",
			FrameError{Kind: UnknownFrameType, Header: [7]byte{4}}},
		{"type of a protocol header", "AMQP\x00\x00\x09\x01",
			FrameError{Kind: UnknownFrameType, Header: [7]byte{'A', 'M', 'Q', 'P', 0, 0, 9}, Size: 0x50000009}},
		{"one byte too large", "\x03\x00\x01\x00\x00\x0f\xf9",
			FrameError{Kind: FrameTooLarge, Header: [7]byte{3, 0, 1, 0, 0, 0x0f, 0xf9}, Size: 4089}},
		{"as large as can be", "\x03\x00\x01\xff\xff\xff\xff",
			FrameError{Kind: FrameTooLarge, Header: [7]byte{3, 0, 1, 255, 255, 255, 255}, Size: 1<<32 - 1}},
		{"wrong end", "\x03\x00\x01\x00\x00\x00\x01a\xcd",
			FrameError{Kind: InvalidFrameEnd, Header: [7]byte{3, 0, 1, 0, 0, 0, 1}, Size: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewReader(bytes.NewReader([]byte(tt.stream))).Next()
			var got *FrameError
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a *FrameError", err)
			}
			tt.want.Limit = FrameMinSize - FrameOverhead
			if diff := cmp.Diff(tt.want, *got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestReaderPassesOnHowTheSourceEnds(t *testing.T) {
	frame := AppendFrame(nil, Frame{Type: FrameBody, Channel: 1, Payload: []byte("abc")})
	broken := errors.New("broken")
	for n := range frame {
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if _, err := NewReader(bytes.NewReader(frame[:n])).Next(); err != want {
			t.Errorf("end after %d bytes: %v, want %v", n, err, want)
		}
		source := io.MultiReader(bytes.NewReader(frame[:n]), iotest.ErrReader(broken))
		if _, err := NewReader(source).Next(); err != broken {
			t.Errorf("failure after %d bytes: %v, want it as it is", n, err)
		}
	}
}

func TestReaderLimit(t *testing.T) {
	tests := []struct {
		name           string
		limit, largest uint32
	}{
		{"none", 0, 131072},
		{"below the minimum", 7, FrameMinSize},
		{"minimum", FrameMinSize, FrameMinSize},
		{"larger", 5000, 5000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []uint32{tt.largest, tt.largest + 1} {
				payload := make([]byte, size-FrameOverhead)
				r := NewReader(bytes.NewReader(AppendFrame(nil, Frame{Type: FrameBody, Payload: payload})))
				r.SetLimit(tt.limit)
				_, err := r.Next()
				if fits := size <= tt.largest; fits != (err == nil) {
					t.Errorf("frame of %d bytes: %v", size, err)
				}
			}
		})
	}
}

func TestReaderPayloadIsTheCallers(t *testing.T) {
	stream := AppendFrame(nil, Frame{Type: FrameBody, Payload: []byte("first")})
	stream = AppendFrame(stream, Frame{Type: FrameBody, Payload: []byte("other")})
	r := NewReader(bytes.NewReader(stream))
	first, _ := r.Next()
	_ = append(first.Payload, "overwritten"...)
	if other, err := r.Next(); err != nil || string(other.Payload) != "other" || string(first.Payload) != "first" {
		t.Errorf("got %q and %q, %v", first.Payload, other.Payload, err)
	}
}

func TestReaderProtocolHeader(t *testing.T) {
	stream := AppendFrame([]byte("AMQP\x00\x00\x09\x01"), Frame{Type: FrameHeartbeat})
	r := NewReader(bytes.NewReader(stream))
	if header, err := r.ProtocolHeader(); string(header[:]) != "AMQP\x00\x00\x09\x01" || err != nil {
		t.Errorf("got %q, %v", header, err)
	}
	if f, err := r.Next(); f.Type != FrameHeartbeat || err != nil {
		t.Errorf("after the header: %v, %v", f, err)
	}
	if _, err := NewReader(bytes.NewReader(stream[:7])).ProtocolHeader(); err != io.ErrUnexpectedEOF {
		t.Errorf("short header: %v", err)
	}
}

func FuzzFrames(f *testing.F) {
	content := AppendContent(nil, 1, &BasicPublish{Exchange: "e", RoutingKey: "k"},
		Header{Properties: Properties{ContentType: "text/plain"}}, bytes.Repeat([]byte("body"), 2000), FrameMinSize)
	f.Add(content, uint32(0))
	f.Add(AppendFrame(content, Frame{Type: FrameHeartbeat}), uint32(FrameMinSize))
	f.Add([]byte("AMQP\x00\x00\x09\x01"), uint32(1))
	f.Add([]byte("\x03\x00\x01\xff\xff\xff\xff"), uint32(0))
	f.Add([]byte("\x03\x00\x01\x00\x00\x00\x01a\xcd"), uint32(0))
	f.Fuzz(func(t *testing.T, stream []byte, limit uint32) {
		limit %= 1 << 20
		r := NewReader(bytes.NewReader(stream))
		r.SetLimit(limit)
		if limit == 0 {
			limit = 131072
		}
		var back []byte
		for {
			frame, err := r.Next()
			if err != nil {
				break
			}
			if cap(frame.Payload)+FrameOverhead > int(max(limit, FrameMinSize)) {
				t.Fatalf("payload of %d with a limit of %d", cap(frame.Payload), limit)
			}
			back = AppendFrame(back, frame)
		}
		if !bytes.HasPrefix(stream, back) {
			t.Errorf("frames read are % x", back)
		}
		// What stopped the reader is no complete frame that it should have read.
		if rest := stream[len(back):]; len(rest) >= FrameOverhead {
			size := uint64(binary.BigEndian.Uint32(rest[3:]))
			switch kind := rest[0]; {
			case kind != FrameMethod && kind != FrameHeader && kind != FrameBody && kind != FrameHeartbeat:
			case size+FrameOverhead > uint64(max(limit, FrameMinSize)):
			case size+FrameOverhead > uint64(len(rest)):
			case rest[frameHeaderSize+size] != FrameEnd:
			default:
				t.Errorf("stopped in front of % x", rest)
			}
		}
	})
}
