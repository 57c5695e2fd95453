package brokertest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewInMemoryServer(t)
		p := join(t, s)
		for _, delay := range []time.Duration{time.Second, 3 * time.Second, 0} {
			s.Inject(Now(), Delay(delay))
			began := time.Now()
			p.sync(1)
			if took := time.Since(began); took != delay {
				t.Errorf("Delay(%v): answered after %v", delay, took)
			}
		}
	})
}

func TestDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewInMemoryServer(t)
		p := join(t, s)
		s.Inject(Now(), Drip(time.Second))
		began, answer := time.Now(), len(methodFrame(1, &wire.BasicQosOK{}))
		p.send(1, &wire.BasicQos{})
		one := make([]byte, 100)
		for n := range answer {
			read, err := p.Read(one)
			ok(t, err)
			if took := time.Since(began); read != 1 || took != time.Duration(n+1)*time.Second {
				t.Errorf("%d bytes came after %v, want byte %d", read, took, n+1)
			}
		}
		s.Inject(Now(), Delay(0))
		began = time.Now()
		p.sync(1)
		if took := time.Since(began); took != 0 {
			t.Errorf("answered after %v when it was over", took)
		}
	})
}

// Each way takes its time for what goes there, and the other one does not.
func TestLimit(t *testing.T) {
	const rate, size = 1000, 5000
	for _, test := range []struct {
		direction Direction
		up, down  time.Duration
	}{
		{FromClient, 5 * time.Second, 0},
		{ToClient, 0, 5 * time.Second},
		{Both, 5 * time.Second, 5 * time.Second},
	} {
		t.Run(test.direction.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewInMemoryServer(t)
				ok(t, s.DeclareQueue("q", nil))
				p := join(t, s)
				s.Inject(Now(), Limit(test.direction, rate))
				began := time.Now()
				took := func(want time.Duration, way string) {
					t.Helper()
					if got := time.Since(began); got < want || got > want+time.Second {
						t.Errorf("%s took %v, want %v", way, got, want)
					}
					began = time.Now()
				}
				p.publish(1, "q", strings.Repeat("x", size))
				await(t, s, "the message", func() bool { return stateOf(t, s, "q").Ready == 1 })
				took(test.up, "the way to the broker")
				p.send(1, &wire.BasicGet{Queue: "q"})
				want[*wire.BasicGetOK](p)
				p.body()
				took(test.down, "the way to the client")
				s.Inject(Now(), Delay(0))
				p.publish(1, "q", strings.Repeat("x", size))
				await(t, s, "the message", func() bool { return stateOf(t, s, "q").Ready == 1 })
				took(0, "the way to the broker, afterwards,")
			})
		})
	}
}

// What comes behind something large waits for it, and a client that has gone waits for nothing.
func TestLimitHoldsWhatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewInMemoryServer(t)
		p := join(t, s)
		s.Inject(Now(), Limit(Both, 1000))
		began := time.Now()
		go func() {
			p.publish(1, "nowhere", strings.Repeat("x", 3000))
			p.send(1, &wire.BasicQos{})
		}()
		want[*wire.BasicQosOK](p)
		if took := time.Since(began); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("answered after %v", took)
		}
		s.Inject(Now(), Limit(Both, 1))
		p.send(1, &wire.BasicQos{})
		began = time.Now()
		p.Close()
		s.Close()
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it took %v to end", took)
		}
	})
}

// A client that is hung up on need not wait for what was to come late.
func TestEndWhileSlow(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		s.Inject(Now(), Delay(time.Hour))
		p.send(1, &wire.BasicQos{})
		await(t, s, "qos-ok is on its way", func() bool { return s.Count("basic.qos-ok") == 1 })
		began := time.Now()
		s.Inject(Now(), HangUp())
		if _, err := p.frame(); err == nil {
			t.Error("read something")
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

// The broker sends a heartbeat each half interval in which it sent nothing else, as it did in the first.
func TestHeartbeats(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault Fault
		want  int
	}{{"sent", Thaw(), 5}, {"stopped", StopHeartbeats(), 0}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewInMemoryServer(t)
				p := greet(t, s, 10*time.Second, able)
				p.channel(1)
				s.Inject(Now(), test.fault)
				got := 0
				ended := time.Now().Add(31 * time.Second)
				for ok(t, p.SetReadDeadline(ended)); ; got++ {
					p.write(wire.AppendFrame(nil, wire.Frame{Type: wire.FrameHeartbeat}))
					if f, err := p.frames.Next(); err != nil {
						break
					} else if f.Type != wire.FrameHeartbeat {
						t.Fatalf("got %+v", f)
					}
				}
				if got != test.want {
					t.Errorf("%d heartbeats, want %d", got, test.want)
				}
			})
		})
	}
}

// Everything but heartbeats goes on after StopHeartbeats.
func TestStopHeartbeatsOnly(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		s.Inject(Now(), StopHeartbeats())
		p.sync(1)
	})
}
