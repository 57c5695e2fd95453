package brokertest

import (
	"errors"
	"io"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

// What the broker sends to a frozen client is held, and arrives in order after the thaw.
func TestFreezeToClient(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		p := join(t, s)
		p.send(1, &wire.BasicConsume{Queue: "q"})
		want[*wire.BasicConsumeOK](p)
		s.Inject(Now(), Freeze(ToClient))
		ok(t, s.Publish("q", "0", "1", "2"))
		for range 3 { // the other way is open
			p.send(1, &wire.BasicQos{})
		}
		await(t, s, "the calls are handled", func() bool { return s.Count("basic.qos-ok") == 3 })
		if sent := sentTo(s); sent != sentTo(s) || inFlight(s) == 0 {
			t.Error("nothing is held back")
		}
		s.Inject(Now(), Thaw())
		for n := range 3 {
			want[*wire.BasicDeliver](p)
			if got := p.body(); got != strconv.Itoa(n) {
				t.Errorf("got %s, want %d", got, n)
			}
		}
		for range 3 {
			want[*wire.BasicQosOK](p)
		}
	})
}

func sentTo(s *Server) (n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.connections {
		n += c.socket.sent.Load()
	}
	return n
}

func inFlight(s *Server) (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.connections {
		n += c.out.size.Load()
	}
	return n
}

// What a frozen client sends is not handled, not even what is on its way already, and all of it is after
// the thaw; meanwhile it gets what the broker sends.
func TestFreezeFromClient(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		p := join(t, s)
		p.send(1, &wire.BasicConsume{Queue: "q"})
		want[*wire.BasicConsumeOK](p)
		s.Inject(OnMethod("basic.publish", 2), Freeze(FromClient))
		for n := range 5 {
			p.publish(1, "q", strconv.Itoa(n))
		}
		for _, body := range []string{"0", "outside"} {
			want[*wire.BasicDeliver](p)
			if got := p.body(); got != body {
				t.Errorf("got %s, want %s", got, body)
			}
			if body == "0" {
				ok(t, s.Publish("q", "outside"))
			}
		}
		await(t, s, "the second to be handled", func() bool { return s.Count("basic.publish") == 2 })
		s.Inject(Now(), Thaw())
		for n := 1; n < 5; n++ {
			want[*wire.BasicDeliver](p)
			if got := p.body(); got != strconv.Itoa(n) {
				t.Errorf("got %s, want %d", got, n)
			}
		}
	})
}

// After Inject has returned, nothing of a frozen client is handled.
func TestFreezeNowIsAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		p := join(t, s)
		go func() {
			for {
				if _, err := p.Write(content(1, &wire.BasicPublish{RoutingKey: "q"}, "1")); err != nil {
					return
				}
			}
		}()
		for range 50 {
			await(t, s, "publishes", func() bool { return stateOf(t, s, "q").Ready >= 100 })
			s.Inject(Now(), Freeze(FromClient))
			before := stateOf(t, s, "q").Ready
			for range 100 {
				if got := stateOf(t, s, "q").Ready; got != before {
					t.Fatalf("%d messages came in after the freeze", got-before)
				}
			}
			s.mu.Lock()
			s.host("").queues["q"].ready.Init()
			s.mu.Unlock()
			s.Inject(Now(), Thaw())
		}
		p.Close()
	})
}

// The end of the connection is held back like everything else, after what was sent before it.
func TestFreezeHoldsTheEnd(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		end  Fault
		sees func(*peer)
	}{
		{"hang up", HangUp(), func(p *peer) { want[*wire.BasicQosOK](p); want[*wire.BasicQosOK](p); p.wantEnd(io.EOF) }},
		{"reset", Reset(), func(p *peer) { p.wantEnd(syscall.ECONNRESET) }},
		{"close", CloseConnection(320, "bye"), func(p *peer) {
			want[*wire.BasicQosOK](p)
			want[*wire.BasicQosOK](p)
			want[*wire.ConnectionClose](p)
			p.wantEnd(io.EOF)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, s *Server) {
				p := join(t, s)
				s.Inject(Now(), Freeze(ToClient))
				p.send(1, &wire.BasicQos{})
				p.send(1, &wire.BasicQos{})
				await(t, s, "the calls are handled", func() bool { return s.Count("basic.qos-ok") == 2 })
				s.Inject(Now(), test.end)
				await(t, s, "the broker is done with it", func() bool { return len(s.Connections()) == 0 })
				ok(t, p.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
				if _, err := p.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
					t.Fatalf("the client saw %v while it was frozen", err)
				}
				ok(t, p.SetReadDeadline(time.Now().Add(s.limit())))
				s.Inject(Now(), Thaw())
				test.sees(p)
			})
		})
	}
}

// The broker does not notice the end of a frozen client either, before the thaw.
func TestFreezeHoldsTheClientsEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		p := join(t, s)
		p.send(1, &wire.BasicConsume{Queue: "q"})
		want[*wire.BasicConsumeOK](p)
		s.Inject(Now(), Freeze(FromClient))
		p.Close()
		ok(t, s.Publish("q", "1"))
		await(t, s, "it is delivered to nobody", func() bool { return stateOf(t, s, "q").Unacknowledged == 1 })
		if len(s.Connections()) != 1 {
			t.Error("the broker knows")
		}
		s.Inject(Now(), Thaw())
		await(t, s, "the message is back", func() bool { return stateOf(t, s, "q").Ready == 1 })
	})
}

// A frozen client is silent to the broker, which drops it after three heartbeat intervals: its messages come
// back. The client sees the end with the thaw.
func TestFrozenClientIsDropped(t *testing.T) {
	for _, direction := range []Direction{FromClient, Both} {
		t.Run(Freeze(direction).String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewInMemoryServer(t)
				ok(t, s.DeclareQueue("q", nil))
				ok(t, s.Publish("q", "1"))
				p := greet(t, s, 10*time.Second, able)
				p.channel(1)
				p.send(1, &wire.BasicConsume{Queue: "q"})
				want[*wire.BasicConsumeOK](p)
				want[*wire.BasicDeliver](p)
				p.body()
				var heartbeats sync.WaitGroup
				heartbeats.Go(func() {
					for ; ; time.Sleep(5 * time.Second) {
						if _, err := p.Write(wire.AppendFrame(nil, wire.Frame{Type: wire.FrameHeartbeat})); err != nil {
							return
						}
					}
				})
				time.Sleep(time.Minute)
				if len(s.Connections()) != 1 {
					t.Fatal("dropped while it was alive")
				}
				began := time.Now()
				s.Inject(Now(), Freeze(direction))
				if direction == FromClient {
					p.wantEnd(syscall.ECONNRESET)
				}
				await(t, s, "the message is back", func() bool { return stateOf(t, s, "q").Ready == 1 })
				if took := time.Since(began); took < 20*time.Second || took > 30*time.Second {
					t.Errorf("dropped after %v", took)
				}
				s.Inject(Now(), Thaw())
				if direction == Both {
					p.wantEnd(syscall.ECONNRESET)
				}
				p.Close()
				heartbeats.Wait()
			})
		})
	}
}

// A client that writes to a broker that does not listen does not block for its first 64 KiB, and does after
// that.
func TestReceiveBuffer(t *testing.T) {
	for _, fault := range []Fault{Freeze(Both), Freeze(FromClient), Block("low on memory")} {
		t.Run(fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewInMemoryServer(t)
				ok(t, s.DeclareQueue("q", nil))
				p := join(t, s)
				go func() { _, _ = io.Copy(io.Discard, p.Conn) }() // a pipe has no room for connection.blocked
				s.Inject(Now(), fault)
				written := 0
				for _, frame := 0, content(1, &wire.BasicPublish{RoutingKey: "q"}, string(make([]byte, 1000))); ; {
					ok(t, p.SetWriteDeadline(time.Now().Add(time.Hour)))
					n, err := p.Write(frame)
					written += n
					if err != nil {
						break
					}
				}
				if written < receiveBuffer/2 || written > 3*receiveBuffer {
					t.Errorf("%d bytes were taken in, want about %d", written, receiveBuffer)
				}
				if q := stateOf(t, s, "q"); q.Ready > 0 {
					t.Errorf("%d messages were handled", q.Ready)
				}
			})
		})
	}
}

// A client that is gone while it could not see the end leaves nothing behind.
func TestFrozenAndGone(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		s.Inject(Now(), Freeze(Both))
		s.Inject(Now(), HangUp())
		p.Close()
		await(t, s, "nothing is left", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.connections) == 0
		})
	})
}

// The end of a frozen connection is not held for ever.
func TestFrozenForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewInMemoryServer(t)
		p := join(t, s)
		s.Inject(Now(), Freeze(ToClient))
		p.send(1, &wire.BasicQos{})
		await(t, s, "an answer is held", func() bool { return s.Count("basic.qos-ok") == 1 })
		began := time.Now()
		s.Inject(Now(), HangUp())
		p.wantEnd(syscall.ECONNRESET)
		if took := time.Since(began); took != freezeTimeout {
			t.Errorf("after %v", took)
		}
	})
}
