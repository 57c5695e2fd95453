package wire

import (
	"bytes"
	"testing"
)

func TestAppendContentCutsTheBody(t *testing.T) {
	const least = FrameMinSize - FrameOverhead
	tests := []struct {
		name     string
		body     int
		frameMax uint32
		parts    []int
	}{
		{"empty", 0, FrameMinSize, nil},
		{"one byte", 1, FrameMinSize, []int{1}},
		{"one frame", least, FrameMinSize, []int{least}},
		{"a byte more", least + 1, FrameMinSize, []int{least, 1}},
		{"three frames", 2*least + 5, FrameMinSize, []int{least, least, 5}},
		{"larger frames", 2 * least, 3 * least, []int{2 * least}},
		{"no limit", 131072, 0, []int{131072 - FrameOverhead, FrameOverhead}},
		{"impossible limit", least + 1, 1, []int{least, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := make([]byte, tt.body)
			for i := range body {
				body[i] = byte(i % 251)
			}
			stream := AppendContent([]byte("12345678"), 7, &BasicGetOK{DeliveryTag: 3},
				Header{BodySize: 99, Properties: Properties{AppID: "a"}}, body, tt.frameMax)
			r := NewReader(bytes.NewReader(stream))
			if before, _ := r.ProtocolHeader(); string(before[:]) != "12345678" {
				t.Errorf("what was there is %q", before)
			}
			r.SetLimit(tt.frameMax)
			next := func(kind byte) []byte {
				t.Helper()
				f, err := r.Next()
				if err != nil || f.Type != kind || f.Channel != 7 {
					t.Fatalf("got %d on %d, %v, want %d on 7", f.Type, f.Channel, err, kind)
				}
				return f.Payload
			}
			if m, err := ParseMethod(next(FrameMethod)); err != nil || m.(*BasicGetOK).DeliveryTag != 3 {
				t.Errorf("method %+v, %v", m, err)
			}
			if h, err := ParseHeader(next(FrameHeader)); err != nil || h.BodySize != uint64(tt.body) || h.Properties.AppID != "a" {
				t.Errorf("header %+v, %v", h, err)
			}
			var whole []byte
			for _, size := range tt.parts {
				part := next(FrameBody)
				if len(part) != size {
					t.Errorf("part of %d, want %d", len(part), size)
				}
				whole = append(whole, part...)
			}
			if f, err := r.Next(); err == nil {
				t.Errorf("another frame of %d bytes", len(f.Payload))
			}
			if !bytes.Equal(whole, body) {
				t.Error("the parts are not the body")
			}
		})
	}
}
