package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

const readerBuffer = 32 << 10

// Reader reads frames. It reads ahead, so nothing else may read from its source. After an error it
// has lost its place and must not be used again.
type Reader struct {
	source  *bufio.Reader
	payload uint32 // the largest payload
}

// NewReader returns a Reader of r with the limit [FrameMinSize].
func NewReader(r io.Reader) *Reader {
	return &Reader{source: bufio.NewReaderSize(r, readerBuffer), payload: payloadLimit(FrameMinSize)}
}

// SetLimit sets the total size a frame may have from the next one on. 0 is 131072, and less than
// [FrameMinSize] is FrameMinSize.
func (r *Reader) SetLimit(frameMax uint32) { r.payload = payloadLimit(frameMax) }

// ProtocolHeader reads the eight octets a client greets with, and does not judge them.
func (r *Reader) ProtocolHeader() (header [8]byte, err error) {
	_, err = io.ReadFull(r.source, header[:])
	return header, err
}

// Buffered is how many octets have been read ahead.
func (r *Reader) Buffered() int { return r.source.Buffered() }

// Next reads a frame. The payload is the caller's to keep.
//
// The error is a [*FrameError] when what came is not a frame, io.EOF when the source ended between two
// frames, io.ErrUnexpectedEOF when it ended inside of one, and otherwise the error of the source.
func (r *Reader) Next() (Frame, error) {
	var header [frameHeaderSize]byte
	if _, err := io.ReadFull(r.source, header[:]); err != nil {
		return Frame{}, err
	}
	size := binary.BigEndian.Uint32(header[3:])
	fail := func(kind FrameFault) (Frame, error) {
		return Frame{}, &FrameError{Kind: kind, Header: header, Size: size, Limit: r.payload}
	}
	switch header[0] {
	case FrameMethod, FrameHeader, FrameBody, FrameHeartbeat:
	default:
		return fail(UnknownFrameType)
	}
	if size > r.payload {
		return fail(FrameTooLarge)
	}
	rest := make([]byte, size+1)
	if n, err := io.ReadFull(r.source, rest); err != nil {
		if n == 0 && errors.Is(err, io.EOF) { // the end, but not one between two frames
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	if rest[size] != FrameEnd {
		return fail(InvalidFrameEnd)
	}
	return Frame{
		Type:    header[0],
		Channel: binary.BigEndian.Uint16(header[1:]),
		Payload: rest[:size:size],
	}, nil
}
