package brokertest

import (
	"encoding/binary"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/everhop/everhop/broker/internal/wire"
)

// SplitFrames sends each frame in two parts: the first one is cut behind its first byte, the next one behind its
// second, and so on; behind a frame's last byte but one it begins anew. In memory a client reads the parts apart,
// without a pause between them; over TCP it may read them together. Delay(0) ends it.
func SplitFrames() Fault {
	return Fault{name: "SplitFrames", connection: func(c *connection, _ aim) bool {
		c.socket.slow(0, pace{}, pace{}, true)
		return false
	}}
}

// LargeHeader sends the delivery that is its moment, or else the next one, with one more header, which makes its
// header frame larger than frame_max: as RabbitMQ does when x-death comes on top of headers that just fitted.
func LargeHeader() Fault {
	return Fault{name: "LargeHeader", connection: func(c *connection, _ aim) bool {
		c.frameFaults.largeHeader = true
		return false
	}}
}

// Garbage sends bytes that are no frame: behind the frame of the method that is its moment, if that one is sent,
// and before the content that goes with it; otherwise at once. Send sends bytes of one's own.
func Garbage() Fault {
	return Fault{name: "Garbage", connection: func(c *connection, _ aim) bool {
		if c.frameFaults.sending {
			c.frameFaults.garbage = true
		} else {
			c.out.add(func(b []byte) []byte { return append(b, garbage...) })
		}
		return false
	}}
}

// StopInBody sends half a body frame of the delivery that is its moment, or else of the next one that has a body,
// and nothing from there on, not even heartbeats, until Thaw: the body does not end. The client is still heard,
// and what answers it comes behind the other half.
func StopInBody() Fault {
	return Fault{name: "StopInBody", connection: func(c *connection, _ aim) bool {
		c.frameFaults.stopInBody = true
		return false
	}}
}

// garbage begins with no type that a frame has.
const garbage = "HTTP/1.1 400 Bad Request\r\n\r\n"

// largeHeader is the name of the header that LargeHeader adds.
const largeHeader = "x-large"

// frameFaults wait for the frames that they are about.
type frameFaults struct {
	sending     bool // a method is about to be sent, which may be a fault's moment
	garbage     bool // goes behind its frame
	largeHeader bool // the next delivery is to have one
	stopInBody  bool // of the next delivery that has a body
}

// send queues a method for the client.
func (c *connection) send(channel uint16, m wire.Method) {
	c.sendFrames(channel, m, func(b []byte) []byte {
		return wire.AppendFrame(b, wire.Frame{Type: wire.FrameMethod, Channel: channel, Payload: wire.AppendMethod(nil, m)})
	})
}

// sendContent queues a method and the message that goes with it.
func (c *connection) sendContent(channel uint16, m wire.Method, msg *message, properties wire.Properties) {
	c.sendFrames(channel, m, func(b []byte) []byte {
		faults, start := &c.frameFaults, len(b)
		_, delivers := m.(*wire.BasicDeliver)
		if delivers && faults.largeHeader {
			faults.largeHeader = false
			properties.Headers = maps.Clone(properties.Headers)
			if properties.Headers == nil {
				properties.Headers = wire.Table{}
			}
			properties.Headers[largeHeader] = strings.Repeat("x", int(max(c.frameMax, maxFrame)))
		}
		b = wire.AppendContent(b, channel, m, wire.Header{BodySize: uint64(len(msg.body)), Properties: properties}, msg.body, c.frameMax)
		if delivers && faults.stopInBody && len(msg.body) > 0 {
			faults.stopInBody = false
			body := start
			for range 2 { // behind the method and the header
				body += frameLength(b[body:])
			}
			c.stopAt(c.out.added + uint64(body-start+frameLength(b[body:])/2))
		}
		return b
	})
}

// sendFrames queues the frames that encode appends, the first of which is the method's.
func (c *connection) sendFrames(channel uint16, m wire.Method, encode func([]byte) []byte) {
	c.server.seen.counts[wire.Name(m)]++
	c.frameFaults.sending = true
	lost := c.server.injections.method(c, channel, m)
	c.frameFaults.sending = false
	if lost {
		encode = func(b []byte) []byte { return b }
	}
	c.out.add(func(b []byte) []byte {
		start := len(b)
		b = encode(b)
		if c.frameFaults.garbage {
			c.frameFaults.garbage = false
			b = slices.Insert(b, start+frameLength(b[start:]), []byte(garbage)...)
		}
		return b
	})
}

// stopAt stops what is sent behind so many bytes since the connection was opened.
func (c *connection) stopAt(bytes uint64) {
	c.server.injections.add(&injection{
		Moment: Moment{on: sent, n: bytes, only: c.id}, fault: Freeze(ToClient), played: make(chan struct{}),
	})
}

// frameLength is how long the frame is with which b begins; or all of b, if it does not begin with one.
func frameLength(b []byte) int {
	if len(b) < wire.FrameOverhead {
		return len(b)
	}
	return int(min(uint64(len(b)), uint64(binary.BigEndian.Uint32(b[3:]))+wire.FrameOverhead))
}

// parts are what of a batch of frames is written at once.
func (s *socket) parts(batch []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		from := 0
		for frame := 0; frame < len(batch) && s.splits(); {
			length := frameLength(batch[frame:])
			if at := s.nextCut(length); at > 0 {
				if !yield(batch[from : frame+at]) {
					return
				}
				from = frame + at
			}
			frame += length
		}
		yield(batch[from:])
	}
}

func (s *socket) splits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.splitting
}

// nextCut returns behind how many bytes of a frame to cut it, 0 if it cannot be cut.
func (s *socket) nextCut(length int) int {
	if length < 2 {
		return 0
	}
	s.cuts++
	return (s.cuts-1)%(length-1) + 1
}
