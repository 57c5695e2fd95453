package brokertest

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

// Each byte of a frame is once the last of its first part.
func TestSplitFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewInMemoryServer(t)
		p := join(t, s)
		s.Inject(Now(), SplitFrames())
		began, answer := time.Now(), len(methodFrame(1, &wire.BasicQosOK{}))
		read := func() int {
			n, err := p.Read(make([]byte, 100))
			ok(t, err)
			return n
		}
		for n := range 2 * (answer - 1) {
			p.send(1, &wire.BasicQos{})
			want := n%(answer-1) + 1
			if first, second := read(), read(); first != want || second != answer-want {
				t.Errorf("frame %d came in parts of %d and %d bytes, want %d first", n, first, second, want)
			}
		}
		s.Inject(Now(), Delay(0))
		p.send(1, &wire.BasicQos{})
		if n := read(); n != answer {
			t.Errorf("%d bytes came when it was over", n)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// What is behind a cut goes out with the beginning of the next frame, and nothing is lost.
func TestSplitFramesTogether(t *testing.T) {
	frames := content(1, &wire.BasicDeliver{ConsumerTag: "c"}, strings.Repeat("x", 100))
	s := newSocket(nil)
	s.slow(0, pace{}, pace{}, true)
	var sent []byte
	parts := 0
	for part := range s.parts(frames) {
		sent = append(sent, part...)
		parts++
	}
	if string(sent) != string(frames) || parts != 4 {
		t.Errorf("%d bytes in %d parts, want %d in 4", len(sent), parts, len(frames))
	}
	for part := range s.parts([]byte(garbage)) { // what is no frame
		sent = append(sent, part...)
	}
	if string(sent) != string(frames)+garbage {
		t.Errorf("%d bytes in the end", len(sent))
	}
}

func TestSplitFramesForAClient(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		s.Inject(OnConnect(1), SplitFrames())
		deliveries := consume(t, openChannel(t, dial(t, s, "c")), "q")
		for n := range 200 {
			ok(t, s.Publish("q", strings.Repeat("x", n)))
			if got := happens(t, s, "a delivery", deliveries); len(got.Body) != n {
				t.Fatalf("got %d bytes, want %d", len(got.Body), n)
			}
		}
	})
}

// One delivery has a header frame that is larger than any that the client may send; the message stays as it is.
func TestLargeHeader(t *testing.T) {
	for name, when := range map[string]Moment{"its moment": OnMethod("basic.deliver", 2), "the next": Now()} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				ok(t, s.DeclareQueue("q", nil))
				p := join(t, s)
				p.frames.SetLimit(4 * maxFrame)
				p.send(1, &wire.BasicConsume{Queue: "q"})
				want[*wire.BasicConsumeOK](p)
				large := 1
				if when == Now() {
					large = 0
				}
				s.Inject(when, LargeHeader())
				ok(t, s.Publish("q", "0", "1", "2"))
				for n := range 3 {
					want[*wire.BasicDeliver](p)
					f, err := p.frame()
					ok(t, err)
					h, err := wire.ParseHeader(f.Payload)
					ok(t, err)
					if (len(f.Payload) > maxFrame) != (n == large) || len(h.Properties.Headers) > 1 {
						t.Errorf("the header of delivery %d has %d bytes", n, len(f.Payload))
					}
					if f, err = p.frame(); err != nil || len(f.Payload) != 1 {
						t.Errorf("its body: %q, %v", f.Payload, err)
					}
				}
				p.send(1, &wire.BasicNack{Multiple: true, Requeue: true})
				for range 3 {
					want[*wire.BasicDeliver](p)
					f, err := p.frame()
					ok(t, err)
					if h, err := wire.ParseHeader(f.Payload); err != nil || len(h.Properties.Headers) > 0 {
						t.Errorf("it has kept its header: %d bytes, %v", len(f.Payload), err)
					}
					_, err = p.frame()
					ok(t, err)
				}
			})
		})
	}
}

// reads reads exactly what is wanted.
func (p *peer) reads(want string) {
	p.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(p, got); string(got) != want {
		p.Fatalf("read %q and %v, want %q", got[:n], err, want)
	}
}

func TestGarbage(t *testing.T) {
	const tag = "c"
	qosOK := string(methodFrame(1, &wire.BasicQosOK{}))
	deliver := &wire.BasicDeliver{ConsumerTag: tag, DeliveryTag: 1, RoutingKey: "q"}
	method := string(methodFrame(1, deliver))
	whole := string(wire.AppendContent(nil, 1, deliver, wire.Header{Properties: wire.Properties{DeliveryMode: persistent}}, []byte("body"), maxFrame))
	for _, test := range []struct {
		name   string
		when   Moment
		faults []Fault
		want   string
	}{
		{"behind a method that is sent", OnMethod("basic.deliver", 1), []Fault{Garbage()}, method + garbage + whole[len(method):] + qosOK},
		{"before the answer to one that came in", OnMethod("basic.qos", 1), []Fault{Garbage()}, whole + garbage + qosOK},
		{"behind the answer", OnMethod("basic.qos-ok", 1), []Fault{Garbage()}, whole + qosOK + garbage},
		{"instead of it", OnMethod("basic.qos-ok", 1), []Fault{Drop(), Garbage()}, whole + garbage},
		{"instead of a delivery", OnMethod("basic.deliver", 1), []Fault{Garbage(), Drop()}, garbage + qosOK},
		{"at once", Now(), []Fault{Garbage()}, garbage + whole + qosOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				ok(t, s.DeclareQueue("q", nil))
				p := join(t, s)
				p.send(1, &wire.BasicConsume{Queue: "q", ConsumerTag: tag})
				want[*wire.BasicConsumeOK](p)
				for _, fault := range test.faults {
					s.Inject(test.when, fault)
				}
				ok(t, s.Publish("q", "body"))
				p.send(1, &wire.BasicQos{})
				p.reads(test.want)
				p.send(1, &wire.BasicQos{}) // the broker goes on
				p.reads(qosOK)
			})
		})
	}
}

// A body stops in the middle of a frame, and with it all that is behind; the client is still heard.
func TestStopInBody(t *testing.T) {
	for name, when := range map[string]Moment{"its moment": OnMethod("basic.deliver", 2), "the next with a body": Now()} {
		for _, size := range []int{1, 1000, 3 * maxFrame} {
			t.Run(name, func(t *testing.T) {
				onBoth(t, func(t *testing.T, s *Server) {
					ok(t, s.DeclareQueue("q", nil))
					p, other := join(t, s), join(t, s)
					p.send(1, &wire.BasicConsume{Queue: "q"})
					want[*wire.BasicConsumeOK](p)
					s.Inject(when, StopInBody())
					body := strings.Repeat("x", size)
					ok(t, s.Publish("q", "", body))
					want[*wire.BasicDeliver](p)
					if got := p.body(); got != "" {
						t.Fatalf("got %q", got)
					}
					want[*wire.BasicDeliver](p)
					f, err := p.frame()
					ok(t, err)
					if f.Type != wire.FrameHeader {
						t.Fatalf("got a frame of type %d", f.Type)
					}
					p.send(1, &wire.BasicQos{})
					await(t, s, "the call is handled", func() bool { return s.Count("basic.qos-ok") == 1 })
					other.sync(1) // another connection goes on
					ok(t, p.SetReadDeadline(time.Now().Add(silence(s))))
					if _, err := p.frames.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatalf("the frame ends: %v", err)
					}
					if inFlight(s) == 0 {
						t.Error("nothing is held back")
					}
				})
			})
		}
	}
}

// silence is how long a test listens for what is not to come.
func silence(s *Server) time.Duration {
	if s.inMemory {
		return time.Hour
	}
	return 50 * time.Millisecond
}

// Thaw brings the other half, and what waited behind it.
func TestStopInBodyThaws(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		p := join(t, s)
		p.send(1, &wire.BasicConsume{Queue: "q"})
		want[*wire.BasicConsumeOK](p)
		s.Inject(OnMethod("basic.deliver", 1), StopInBody())
		ok(t, s.Publish("q", "body", "behind"))
		p.send(1, &wire.BasicQos{})
		await(t, s, "the call is handled", func() bool { return s.Count("basic.qos-ok") == 1 })
		c, thawed := only(s), make(chan struct{})
		go func() {
			defer close(thawed)
			for !c.socket.isFrozen(ToClient) && !c.socket.isClosed() { // it is, once half of the frame was read
				time.Sleep(time.Millisecond)
			}
			s.Inject(Now(), Thaw())
		}()
		for _, body := range []string{"body", "behind"} {
			want[*wire.BasicDeliver](p)
			if got := p.body(); got != body {
				t.Errorf("got %q, want %q", got, body)
			}
		}
		want[*wire.BasicQosOK](p)
		<-thawed
	})
}
