package broker

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/internal/wire"
)

// besideEachOther is a session that consumes from two queues.
func besideEachOther(t *testing.T) (*brokertest.Server, *Session, [2]*Consumer) {
	beside := topology
	beside.Queue = "beside"
	server, plan := serve(t, topology, beside)
	s := begin(t, plan)
	return server, s, [2]*Consumer{subscribe(t, s, 0), subscribe(t, s, 1)}
}

// number is that of the consumer's channel.
func number(s *Session, c *Consumer) uint16 {
	for _, r := range s.link.demux.routes.all() {
		if r.inbox == c.inbox {
			return r.channel
		}
	}
	return 0
}

// Whatever way the bytes of a delivery come in, it is read.
func TestFramesInSingleBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, s, c := besideEachOther(t)
		server.Inject(brokertest.Now(), brokertest.Drip(time.Microsecond))
		body := strings.Repeat("x", 1000)
		for _, queue := range []string{"q", "beside"} {
			publishTo(t, server, queue, body, "")
		}
		for i := range c {
			for _, body := range []string{body, ""} {
				d := take(t, c[i])
				if string(d.Body) != body {
					t.Errorf("got %d bytes", len(d.Body))
				}
				if err := c[i].Ack(d.DeliveryTag); err != nil {
					t.Error(err)
				}
			}
		}
		wantNoMoreLosses(t, s)
	})
}

// RabbitMQ sends a header frame that is larger than any it accepts, once x-death has come on top.
func TestAHeaderFrameAboveFrameMax(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, s, c := besideEachOther(t)
		large := strings.Repeat("x", 200_000)
		if err := server.PublishMessage("q", brokertest.Message{Body: []byte("1"), Headers: map[string]any{"a": large}}); err != nil {
			t.Fatal(err)
		}
		publishTo(t, server, "beside", "2")
		if d := take(t, c[0]); string(d.Body) != "1" || d.Headers["a"] != large {
			t.Errorf("got %q with %d headers", d.Body, len(d.Headers))
		}
		wantBodies(t, c[1], "2")
		wantNoMoreLosses(t, s)
	})
}

// A message that is too large is marked, and the next one is read.
func TestMaxMessageSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, topology)
		plan.MaxMessageSize = 10_000
		s := begin(t, plan)
		c := prepare(t, s, Intake{Prefetch: 2})
		publishTo(t, server, "q", strings.Repeat("x", 300_000), "small")
		if d := take(t, c); d.Unreadable == nil || d.Body != nil || d.DeliveryTag != 1 {
			t.Errorf("got %d bytes, unreadable: %v", len(d.Body), d.Unreadable)
		}
		wantBodies(t, c, "small")
		wantNoMoreLosses(t, s)
	})
}

// What is no frame ends the connection, and says so.
func TestGarbage(t *testing.T) {
	for name, raw := range map[string]string{
		"no frame":      "HTTP/1.1 400 Bad Request\r\n\r\n",
		"a wrong end":   "\x01\x00\x02\x00\x00\x00\x04\x00\x3c\x00\x3cX",
		"a cut deliver": string(wire.AppendFrame(nil, wire.Frame{Type: wire.FrameMethod, Channel: 2, Payload: []byte("\x00\x3c\x00\x3c\x03ta")})),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, s, c := besideEachOther(t)
				server.Inject(brokertest.Now(), brokertest.Send([]byte(raw)))
				wantError(t, (<-s.Losses()).Err, Protocol, ScopeConnection)
				for i := range c {
					wantNothing(t, c[i])
				}
			})
		})
	}
}

// A body that never ends is as silent as anything else that does not come: what the broker answers is behind it.
func TestABodyThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, s, c := besideEachOther(t)
		server.Inject(brokertest.Now(), brokertest.StopInBody())
		body := strings.Repeat("x", 100_000)
		publishTo(t, server, "q", body)
		publishTo(t, server, "beside", "behind")
		time.Sleep(DefaultDrainTimeout)
		before := server.Count("basic.qos-ok")
		wantError(t, s.Probe(t.Context()), Heartbeat, ScopeConnection)
		if server.Count("basic.qos-ok") == before {
			t.Error("the broker was not asked, or did not answer")
		}
		if silence := s.Silence(); silence != patience {
			t.Errorf("found out after %v, want %v", silence, patience)
		}
		server.Inject(brokertest.Now(), brokertest.Thaw())
		wantBodies(t, c[0], body)
		wantBodies(t, c[1], "behind")
		wantNoMoreLosses(t, s)
	})
}

// A body of which a byte comes now and then is slow, and its broker is not dead.
func TestABodyThatTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, s, c := besideEachOther(t)
		server.Inject(brokertest.OnMethod("basic.deliver", 1), brokertest.Drip(DefaultProbeTimeout-time.Millisecond))
		body := strings.Repeat("x", 100)
		publishTo(t, server, "q", body)
		for range 50 {
			if err := s.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		server.Inject(brokertest.Now(), brokertest.Delay(0))
		wantBodies(t, c[0], body)
		wantNoMoreLosses(t, s)
	})
}

// A frame that is shorter than it says takes what comes next for its own, which are signs of life, and then has no
// end: that is no frame.
func TestAFrameShorterThanItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, s, c := besideEachOther(t)
		frames := wire.AppendContent(nil, number(s, c[0]), &wire.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 1}, wire.Header{}, make([]byte, 100), 0)
		server.Inject(brokertest.Now(), brokertest.Send(frames[:len(frames)-90]))
		for {
			if err := s.Probe(t.Context()); err != nil {
				break
			}
			synctest.Wait()
			if s.Lost() {
				break
			}
		}
		wantError(t, (<-s.Losses()).Err, Protocol, ScopeConnection)
		if n := server.Count("basic.qos-ok"); n > 20 {
			t.Errorf("%d answers went into a frame that lacked 90 bytes", n)
		}
		wantNothing(t, c[0])
	})
}

// A frame that says it is larger than any message would take all that comes for its own: the connection is lost at once.
func TestAFrameLargerThanAnyMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, s, c := besideEachOther(t)
		frames := method(nil, number(s, c[0]), &wire.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 1})
		frames = append(frames, wire.FrameHeader, 0, byte(number(s, c[0])), 0xff, 0xff, 0xff, 0xff)
		server.Inject(brokertest.Now(), brokertest.Send(frames))
		began := time.Now()
		loss := (<-s.Losses()).Err
		wantError(t, loss, Protocol, ScopeConnection)
		if took := time.Since(began); took != 0 || !strings.Contains(loss.Error(), "frame size") {
			t.Errorf("after %v: %v", took, loss)
		}
		wantNothing(t, c[0])
	})
}
