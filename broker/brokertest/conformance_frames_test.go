package brokertest_test

import "slices"

// violation is a frame that no client may send, and how the broker refuses it.
type violation struct {
	name  string
	code  uint16 // 0: the broker hangs up
	text  string
	cause [2]uint16
	send  func(*wire)
}

var violations = []violation{
	{"wrong end octet", 501, "FRAME_ERROR - type 1, all octets = <<0,20,0,10,0>>: {invalid_frame_end_marker,0}", [2]uint16{}, func(w *wire) {
		octets := frame(frameMethod, 1, uint16(20), uint16(10), "")
		octets[len(octets)-1] = 0
		w.send(octets)
	}},
	{"wrong end octet of a heartbeat", 501, "FRAME_ERROR - type 8, all octets = <<>>: {invalid_frame_end_marker,1}", [2]uint16{}, func(w *wire) {
		w.send([]byte{frameHeartbeat, 0, 0, 0, 0, 0, 0, 1})
	}},
	{"frame too large", 501, "FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,200000,131064}", [2]uint16{}, func(w *wire) {
		w.send(encode(byte(frameMethod), uint16(1), uint32(200000)))
	}},
	{"unknown type of frame", 501, "FRAME_ERROR - type 9, all octets = <<0,20,0,10,0>>: unknown_frame", [2]uint16{}, func(w *wire) {
		w.send(frame(9, 1, uint16(20), uint16(10), ""))
	}},
	{"heartbeat with a payload", 501, `FRAME_ERROR - type 8, all octets = <<"abc">>: unknown_frame`, [2]uint16{}, func(w *wire) {
		w.send(frame(frameHeartbeat, 0, octets("abc")))
	}},
	{"heartbeat on a channel", 505, "UNEXPECTED_FRAME - type 8, all octets = <<>>", [2]uint16{}, func(w *wire) {
		w.send(frame(frameHeartbeat, 1))
	}},
	{"method on a closed channel", 504, "CHANNEL_ERROR - expected 'channel.open'", [2]uint16{60, 80}, func(w *wire) {
		w.method(5, 60, 80, uint64(0), byte(0))
	}},
	{"publish on a closed channel", 504, "CHANNEL_ERROR - expected 'channel.open'", [2]uint16{60, 40}, func(w *wire) {
		w.method(5, 60, 40, uint16(0), "", w.name, byte(0))
		w.send(header(5, 60, 0))
	}},
	{"channel.close on a closed channel", 504, "CHANNEL_ERROR - expected 'channel.open'", [2]uint16{20, 40}, func(w *wire) {
		w.method(5, 20, 40, uint16(0), "", uint16(0), uint16(0))
	}},
	{"body on a closed channel", 505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead", [2]uint16{}, func(w *wire) {
		w.send(frame(frameBody, 5, octets("x")))
	}},
	{"second channel.open", 504, "CHANNEL_ERROR - second 'channel.open' seen", [2]uint16{20, 10}, func(w *wire) {
		w.method(1, 20, 10, "")
	}},
	{"unknown method", 0, "", [2]uint16{}, func(w *wire) { w.method(1, 60, 999, "") }},
	{"unknown class", 0, "", [2]uint16{}, func(w *wire) { w.method(1, 77, 10, "") }},
	{"malformed table", 0, "", [2]uint16{}, func(w *wire) {
		w.method(1, 50, 10, uint16(0), w.name, byte(8), long("\x01a?xx"))
	}},
	{"truncated arguments", 501, "FRAME_ERROR - cannot decode <<0,0>>", [2]uint16{50, 10}, func(w *wire) {
		w.method(1, 50, 10, uint16(0))
	}},
	{"half a method", 501, "FRAME_ERROR - type 1, all octets = <<0,60>>: unknown_frame", [2]uint16{}, func(w *wire) {
		w.send(frame(frameMethod, 1, uint16(60)))
	}},
	{"method of a server", 503, "COMMAND_INVALID - unimplemented method", [2]uint16{60, 60}, func(w *wire) {
		w.method(1, 60, 60, "tag", uint64(1), byte(0), "", "")
		w.send(header(1, 60, 0))
	}},
	{"method of a connection on a channel", 503, "COMMAND_INVALID - unimplemented method", [2]uint16{10, 40}, func(w *wire) {
		w.method(1, 10, 40, "/", "", byte(0))
	}},
	{"method of a channel on the connection", 504, "CHANNEL_ERROR - unexpected method in connection state running", [2]uint16{50, 10}, func(w *wire) {
		w.method(0, 50, 10, uint16(0), w.name, byte(8), uint32(0))
	}},
	{"second connection.open", 504, "CHANNEL_ERROR - unexpected method in connection state running", [2]uint16{10, 40}, func(w *wire) {
		w.method(0, 10, 40, "/", "", byte(0))
	}},
	{"content on the connection", 505, "UNEXPECTED_FRAME - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,1,0,0>>", [2]uint16{}, func(w *wire) {
		w.send(header(0, 60, 1))
	}},
	{"header without a method", 505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead", [2]uint16{}, func(w *wire) {
		w.send(header(1, 60, 1))
	}},
	{"method instead of a header", 505, "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead", [2]uint16{60, 40}, func(w *wire) {
		w.publish()
		w.method(1, 20, 20, byte(1))
	}},
	{"body instead of a header", 505, "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead", [2]uint16{60, 40}, func(w *wire) {
		w.publish()
		w.send(frame(frameBody, 1, octets("x")))
	}},
	{"header of another class", 505, "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead", [2]uint16{60, 40}, func(w *wire) {
		w.publish()
		w.send(header(1, 50, 1))
	}},
	{"method instead of a body", 505, "UNEXPECTED_FRAME - expected content body, got non content body frame instead", [2]uint16{60, 40}, func(w *wire) {
		w.publish()
		w.send(header(1, 60, 1))
		w.method(1, 20, 20, byte(1))
	}},
}

func (w *wire) publish() { w.method(1, 60, 40, uint16(0), "", w.name, byte(0)) }

// header announces a body, without properties.
func header(channel, class uint16, size uint64) []byte {
	return frame(frameHeader, channel, class, uint16(0), size, uint16(0))
}

var frameScenarios = slices.Collect(func(yield func(scenario) bool) {
	for _, v := range violations {
		yield(scenario{v.name, func(c *client) {
			w := c.wire()
			w.open(2047, 131072, 0)
			w.openChannel(1)
			v.send(w)
			switch {
			case c.differs(ownWords):
				w.wantCode(v.code)
			case v.code != 0:
				w.wantClose(v.code, v.text, v.cause)
			default:
				w.wantHangUp()
			}
		}})
	}
})
