package wire

import "encoding/binary"

// ProtocolHeader is what a client greets with, and what a server answers that does not speak the client's
// protocol.
const ProtocolHeader = "AMQP\x00\x00\x09\x01"

// The frame types.
const (
	FrameMethod    = 1
	FrameHeader    = 2
	FrameBody      = 3
	FrameHeartbeat = 8
)

const (
	// FrameMinSize is the smallest frame_max that peers may agree on, and the limit until they have.
	FrameMinSize = 4096
	// FrameOverhead is what a frame is larger than its payload.
	FrameOverhead = frameHeaderSize + 1

	// FrameEnd is a frame's last byte.
	FrameEnd = 0xCE

	frameHeaderSize  = 7
	defaultFrameSize = 131072
)

// Frame is what a connection carries.
//
//	0      1         3      7         7+size   8+size
//	+------+---------+------+---------+--------+
//	| type | channel | size | payload |  0xCE  |
//	+------+---------+------+---------+--------+
type Frame struct {
	Type    byte
	Channel uint16
	Payload []byte
}

// AppendFrame appends f to dst. It does not check f: a broker for tests may well send nonsense.
func AppendFrame(dst []byte, f Frame) []byte {
	dst, start := beginFrame(dst, f.Type, f.Channel)
	return endFrame(append(dst, f.Payload...), start)
}

// beginFrame appends a frame's header; start is where the payload begins.
func beginFrame(dst []byte, kind byte, channel uint16) (_ []byte, start int) {
	dst = append(dst, kind)
	dst = binary.BigEndian.AppendUint16(dst, channel)
	dst = append(dst, 0, 0, 0, 0)
	return dst, len(dst)
}

// endFrame completes the frame whose payload is dst[start:].
func endFrame(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start-4:], uint32(len(dst)-start))
	return append(dst, FrameEnd)
}

// payloadLimit is how much payload a frame may have when its total size may be frameMax.
func payloadLimit(frameMax uint32) uint32 {
	if frameMax == 0 {
		frameMax = defaultFrameSize
	}
	return max(frameMax, FrameMinSize) - FrameOverhead
}
