package broker

import (
	"bytes"
	"slices"
	"testing"

	"github.com/everhop/everhop/broker/internal/wire"
)

// A channel.open is seen wherever it is in what is written: behind other frames, or divided.
func TestWrittenFrames(t *testing.T) {
	frame := func(kind byte, channel byte, payload ...byte) []byte {
		return append(append([]byte{kind, 0, channel, 0, 0, 0, byte(len(payload))}, payload...), wire.FrameEnd)
	}
	open := []byte{0, 20, 0, 10, 0}
	all := bytes.Join([][]byte{
		[]byte("AMQP\x00\x00\x09\x01"),
		frame(wire.FrameMethod, 1, open...),
		frame(wire.FrameMethod, 1, 0, 60, 0, 40, 0, 0, 0, 0, 0), // basic.publish
		frame(wire.FrameHeader, 1, open...),
		frame(wire.FrameBody, 1, frame(wire.FrameMethod, 9, open...)...),
		frame(wire.FrameBody, 1),
		frame(wire.FrameMethod, 2, open...),
		frame(8, 0), // a heartbeat
		frame(wire.FrameMethod, 1, 0, 20),
		frame(wire.FrameMethod, 3, open...),
	}, nil)
	for first := range len(all) {
		for second := first; second < len(all); second += 5 {
			var seen []uint16
			w := newDemux(nil).written
			for _, part := range [][]byte{all[:first], all[first:second], all[second:]} {
				w.walk(part, func(channel uint16) { seen = append(seen, channel) })
			}
			if !slices.Equal(seen, []uint16{1, 2, 3}) || !w.between() {
				t.Fatalf("divided at %d and %d: %v, %+v", first, second, seen, w)
			}
		}
	}
}
