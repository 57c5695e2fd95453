package wire

import "slices"

// AppendContent appends what carries a message on a channel: the frame of m, which is a basic.publish,
// return, deliver or get-ok, the header frame, and the body in as few frames as frameMax allows (none
// for an empty body). The caller writes them without frames of the same channel in between.
//
// The header's BodySize is taken from body. frameMax is read as [Reader.SetLimit] does; method and
// header cannot be divided and may exceed it.
func AppendContent(dst []byte, channel uint16, m Method, h Header, body []byte, frameMax uint32) []byte {
	dst, start := beginFrame(dst, FrameMethod, channel)
	dst = endFrame(AppendMethod(dst, m), start)

	h.BodySize = uint64(len(body))
	dst, start = beginFrame(dst, FrameHeader, channel)
	dst = endFrame(AppendHeader(dst, h), start)

	for part := range slices.Chunk(body, int(payloadLimit(frameMax))) {
		dst = AppendFrame(dst, Frame{Type: FrameBody, Channel: channel, Payload: part})
	}
	return dst
}
