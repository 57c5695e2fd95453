package wire

import "fmt"

// FrameFault says what is wrong with a frame.
type FrameFault string

// The faults of a frame.
const (
	UnknownFrameType FrameFault = "unknown frame type"
	FrameTooLarge    FrameFault = "frame too large"
	InvalidFrameEnd  FrameFault = "invalid frame end"
)

// FrameError says that what came is not a frame. RabbitMQ answers it with 501 FRAME_ERROR.
type FrameError struct {
	Kind FrameFault
	// Header holds the frame's type, channel and size as they came.
	Header [frameHeaderSize]byte
	// Size is the size of the payload according to the header, Limit the largest permitted one.
	Size, Limit uint32
}

func (e *FrameError) Error() string {
	return fmt.Sprintf("wire: %s: header % x, payload of %d with a limit of %d", e.Kind, e.Header, e.Size, e.Limit)
}

// SyntaxError says that a payload is malformed. RabbitMQ answers it with 502 SYNTAX_ERROR.
type SyntaxError struct {
	// Subject is the name of the method, "method" when it has not even that, or "content header".
	Subject string
	// Detail says what is wrong.
	Detail string
}

func (e *SyntaxError) Error() string { return "wire: " + e.Subject + ": " + e.Detail }

// UnknownMethodError says that AMQP 0-9-1, as far as this package knows it, has no such method.
// RabbitMQ answers it with 503 COMMAND_INVALID or 540 NOT_IMPLEMENTED.
type UnknownMethodError struct{ Class, Number uint16 }

func (e *UnknownMethodError) Error() string {
	return fmt.Sprintf("wire: unknown method %d of class %d", e.Number, e.Class)
}
