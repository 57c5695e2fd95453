package wire

import (
	"encoding/binary"
	"fmt"
)

// classBasic is the only class whose methods carry content.
const classBasic = 60

// Header is the payload of a content header frame.
type Header struct {
	BodySize   uint64
	Properties Properties
}

// AppendHeader appends the payload of a content header frame. A short string is cut after 255 bytes.
func AppendHeader(dst []byte, h Header) []byte {
	dst = binary.BigEndian.AppendUint16(dst, classBasic)
	dst = append(dst, 0, 0) // weight, which nobody uses
	dst = binary.BigEndian.AppendUint64(dst, h.BodySize)
	return h.Properties.append(dst)
}

// ParseHeader decodes the payload of a content header frame. The error is a [*SyntaxError].
func ParseHeader(payload []byte) (Header, error) {
	const subject = "content header"
	d := &decoder{left: payload}
	if class := d.short(); d.fault == "" && class != classBasic {
		return Header{}, &SyntaxError{Subject: subject, Detail: fmt.Sprintf("class %d carries no content", class)}
	}
	d.short() // weight
	h := Header{BodySize: d.longlong()}
	present := h.Properties.decode(d, &Properties{})
	h.Properties.Empty = present &^ h.Properties.present()
	if err := d.end(subject); err != nil {
		return Header{}, err
	}
	return h, nil
}
