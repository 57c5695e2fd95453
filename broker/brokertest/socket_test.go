package brokertest

import (
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/everhop/everhop/broker/internal/wire"
)

// A fault after n bytes received is played when the broker has read exactly these: what they complete was
// handled, the rest was not.
func TestAfterReceived(t *testing.T) {
	qos := len(methodFrame(1, &wire.BasicQos{}))
	for _, test := range []struct {
		name    string
		bytes   int
		handled int
	}{
		{"before", 1, 0},
		{"mid-frame", qos + 3, 1},
		{"one byte short", 2*qos - 1, 1},
		{"a frame's last byte", 2 * qos, 2},
		{"the next one's first", 2*qos + 1, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				p := join(t, s)
				before := int(only(s).socket.received.Load())
				played := s.Inject(AfterReceived(before+test.bytes), HangUp()).Played
				var all []byte
				for range 4 {
					all = append(all, methodFrame(1, &wire.BasicQos{})...)
				}
				c := only(s)
				p.write(all) // in one piece
				happens(t, s, "the fault", played)
				for range test.handled {
					if f, err := p.frame(); err != nil {
						break // lost with the connection
					} else if f.Type != wire.FrameMethod {
						t.Errorf("got %+v", f)
					}
				}
				p.wantEnd(io.EOF)
				if got := s.Count("basic.qos"); got != test.handled {
					t.Errorf("%d frames were handled, want %d", got, test.handled)
				}
				if got := int(c.socket.received.Load()) - before; got != test.bytes {
					t.Errorf("%d bytes were read, want %d", got, test.bytes)
				}
			})
		})
	}
}

// only is the connection that there is.
func only(s *Server) *connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.connections {
		return c
	}
	return nil
}

// A fault after n bytes sent is played after exactly these: the client gets them, and nothing else.
func TestAfterSent(t *testing.T) {
	answer := len(methodFrame(1, &wire.BasicQosOK{}))
	for _, test := range []struct {
		name  string
		bytes []int
	}{
		{"mid-frame", []int{3}},
		{"a frame's last byte", []int{answer}},
		{"mid-second", []int{answer + 5}},
		{"two wait, the later one first", []int{answer + 5, 4}},
		{"two at one byte", []int{7, 7}},
	} {
		t.Run(test.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				p := join(t, s)
				await(t, s, "all is sent", func() bool { return inFlight(s) == 0 })
				before := int(only(s).socket.sent.Load())
				frozen := make(map[int]<-chan struct{})
				for _, n := range test.bytes {
					frozen[n] = s.Inject(AfterSent(before+n), Freeze(ToClient)).Played
				}
				slices.Sort(test.bytes)
				p.write(slices.Concat(methodFrame(1, &wire.BasicQos{}), methodFrame(1, &wire.BasicQos{})))
				got := 0
				for n, want := range test.bytes {
					for got < want {
						read, err := p.Read(make([]byte, 100))
						ok(t, err)
						got += read
					}
					if got != want {
						t.Fatalf("got %d bytes, want %d", got, want)
					}
					happens(t, s, "the fault", frozen[want])
					if n+1 < len(test.bytes) && test.bytes[n+1] > want {
						s.Inject(Now(), Thaw())
					}
				}
				await(t, s, "both were handled", func() bool { return s.Count("basic.qos") == 2 })
				if sent := int(only(s).socket.sent.Load()) - before; sent != got {
					t.Errorf("%d bytes were sent, want %d", sent, got)
				}
				s.Inject(Now(), Thaw())
				rest := make([]byte, 2*answer-got)
				_, err := io.ReadFull(p.Conn, rest)
				ok(t, err)
			})
		})
	}
}

// A byte that has passed already is no reason to wait for another one.
func TestAfterBytesThatPassed(t *testing.T) {
	for name, moment := range map[string]Moment{
		"received": AfterReceived(10), "sent": AfterSent(10), "of": AfterReceived(10).Of("able"),
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				p, q := join(t, s), join(t, s)
				if played := s.Inject(moment, HangUp()).Played; pending(played) {
					t.Error("not played")
				}
				p.wantEnd(io.EOF)
				q.sync(1) // once
			})
		})
	}
}

func TestAfterBytesOf(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		played := s.Inject(AfterReceived(1).Of("able"), HangUp()).Played
		other := greet(t, s, 0, nil)
		other.channel(1)
		if !pending(played) {
			t.Error("played on another connection")
		}
		p := meet(t, s)
		p.write([]byte("AMQP\x00\x00\x09\x01"))
		want[*wire.ConnectionStart](p)
		p.send(0, &wire.ConnectionStartOK{ClientProperties: able, Mechanism: "PLAIN", Response: []byte("\x00guest\x00guest")})
		happens(t, s, "the fault", played)
		other.sync(1)
	})
}

// A large message arrives whole, however the way is narrowed.
func TestFaultsOfBytesLoseNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		p := join(t, s)
		c := only(s)
		for n := range 50 {
			s.Inject(AfterReceived(int(c.socket.received.Load())+n*4001), Thaw())
			s.Inject(AfterSent(int(c.socket.sent.Load())+n*3001), Thaw())
		}
		body := fmt.Sprintf("%0300000d", 7)
		p.publish(1, "q", body)
		p.send(1, &wire.BasicGet{Queue: "q"})
		want[*wire.BasicGetOK](p)
		if p.body() != body {
			t.Error("something was lost")
		}
		await(t, s, "all were played", func() bool { return s.injections.inBytes.Load() <= 12 })
	})
}

// What is closed is closed: neither a thaw nor another end changes that, nor does the order of ends.
func TestSocketClosedTwice(t *testing.T) {
	for name, end := range map[string]func(*socket){
		"close, reset": func(s *socket) { s.Close(); s.reset() },
		"reset, close": func(s *socket) { s.reset(); s.Close(); s.leave() },
		"cut, leave":   func(s *socket) { s.cut(); s.leave(); s.cut() },
		"frozen":       func(s *socket) { s.freeze(Both); s.Close(); s.cut(); s.leave(); s.thaw() },
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			s := newSocket(&memoryConn{Conn: far, broken: new(atomic.Bool)})
			s.onReceive, s.onSend = func(uint64) uint64 { return 0 }, func(uint64) uint64 { return 0 }
			end(s)
			if _, err := s.Write([]byte("x")); err == nil {
				t.Error("wrote")
			}
			if _, err := s.Read(make([]byte, 1)); err == nil {
				t.Error("read")
			}
			if _, err := near.Read(make([]byte, 1)); err == nil {
				t.Error("the other side read")
			}
		})
	}
}
