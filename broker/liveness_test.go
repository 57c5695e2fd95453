package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

// patience is how long a dead peer may go unnoticed.
const patience = DefaultDrainTimeout + DefaultProbeTimeout

func TestProbe(t *testing.T) {
	tests := []struct {
		name  string
		fault brokertest.Fault // where the broker is asked
		took  time.Duration
		dead  bool
	}{
		{"the answer", brokertest.Delay(0), 0, false},
		{"a late answer", brokertest.Delay(1999 * time.Millisecond), 1999 * time.Millisecond, false},
		{"a byte of the answer", brokertest.Drip(time.Second), time.Second, false},
		{"a heartbeat, and no answer", brokertest.Drop(), 1900 * time.Millisecond, false},
		{"an answer that is too late", brokertest.Delay(2001 * time.Millisecond), DefaultProbeTimeout, true},
		{"no byte", brokertest.Freeze(brokertest.ToClient), DefaultProbeTimeout, true},
		{"not asked, since nothing arrives", brokertest.Freeze(brokertest.Both), DefaultProbeTimeout, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t)
				plan.Heartbeat = 4 * time.Second // the broker sends one after as long without a byte
				s := begin(t, plan)
				time.Sleep(2100 * time.Millisecond)
				server.Inject(brokertest.OnMethod("basic.qos", 1), test.fault)
				var err error
				if d := took(func() { err = s.Probe(t.Context()) }); d != test.took {
					t.Errorf("answered after %v, want %v", d, test.took)
				}
				if test.dead {
					wantError(t, err, Heartbeat, ScopeConnection)
				} else if err != nil {
					t.Error(err)
				}
				if s.Lost() {
					t.Error("the probe ended the session")
				}
			})
		})
	}
}

func TestProbeAsksOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		s := begin(t, plan)
		server.Inject(brokertest.OnMethod("basic.qos", 1), brokertest.Drop())
		for range 3 {
			wantError(t, s.Probe(t.Context()), Heartbeat, ScopeConnection)
		}
		if asked := server.Count("basic.qos"); asked != 1 {
			t.Errorf("%d round trips under way at once", asked)
		}
	})
}

func TestProbeReturnsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		s := begin(t, plan)
		server.Inject(brokertest.OnMethod("basic.qos", 1), brokertest.Drop())
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if d := took(func() {
			if err := s.Probe(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		}); d != time.Second {
			t.Errorf("cancelled after 1s, returned after %v", d)
		}
		time.AfterFunc(time.Second, s.Abort)
		if d := took(func() {
			if s.Probe(t.Context()) == nil {
				t.Error("an aborted session was found alive")
			}
		}); d != time.Second {
			t.Errorf("aborted after 1s, returned after %v", d)
		}
	})
}

// suspended is a context whose user stands still for a while when it first looks whether it ended, as a
// process does that gets SIGSTOP.
type suspended struct {
	context.Context
	time time.Duration
}

func (s *suspended) Done() <-chan struct{} {
	time.Sleep(s.time)
	s.time = 0
	return s.Context.Done()
}

// What the broker sent while this process did not run is in the socket, and its reader needs a moment:
// time that nobody could have spent reading does not make the broker dead.
func TestProbeOfASuspendedProcess(t *testing.T) {
	const asleep = 20 * time.Second
	tests := []struct {
		name          string
		answer, after time.Duration
		dead          bool
	}{
		{"read soon after", 300 * time.Millisecond, 300 * time.Millisecond, false},
		{"nothing there to read", 5 * time.Second, DefaultProbeTimeout * 3 / 4, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t)
				plan.Heartbeat = time.Minute // none comes meanwhile, and none is missed
				s := begin(t, plan)
				server.Inject(brokertest.OnMethod("basic.qos", 1), brokertest.Delay(asleep+test.answer))
				var err error
				d := took(func() { err = s.Probe(&suspended{t.Context(), asleep}) })
				if d != asleep+test.after || (err != nil) != test.dead {
					t.Errorf("%v after %v, want dead %t after %v", err, d, test.dead, asleep+test.after)
				}
			})
		})
	}
}

func TestSilenceIsSinceTheLastByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, plan := serve(t)
		plan.Heartbeat = 4 * time.Second
		s := begin(t, plan)
		time.Sleep(3 * time.Second)
		if s.Silence() != 3*time.Second {
			t.Errorf("silence %v", s.Silence())
		}
		time.Sleep(2 * time.Second) // the heartbeat came at 4s
		if s.Silence() != time.Second {
			t.Errorf("silence %v, 1s after a heartbeat", s.Silence())
		}
		if err := s.Probe(t.Context()); err != nil || s.Silence() != 0 {
			t.Errorf("silence %v after an answer, %v", s.Silence(), err)
		}
	})
}

// A broker under an alarm answers nothing, and its heartbeats are too rare to go by.
func TestBlockedSuspendsTheGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		s := begin(t, plan)
		server.Inject(brokertest.Now(), brokertest.StopHeartbeats())
		server.Inject(brokertest.Now(), brokertest.Block("why"))
		if b := <-s.BlockedChanges(); b != (Blocked{Generation: 7, Active: true, Reason: "why"}) || !s.Blocked() {
			t.Errorf("got %+v, Blocked() %t", b, s.Blocked())
		}
		const alarm = 12 * time.Second // more than patience, less than the heartbeats that may be missed
		time.AfterFunc(alarm, func() { server.Inject(brokertest.Now(), brokertest.Unblock()) })
		if d := took(func() {
			if err := s.Close(t.Context()); err != nil {
				t.Errorf("a blocked broker was given up: %v", err)
			}
		}); d != alarm {
			t.Errorf("closed after %v, blocked for %v", d, alarm)
		}
	})
}

func TestBlockedChangesKeepsTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		s := begin(t, plan)
		server.Inject(brokertest.Now(), brokertest.Block("why"))
		server.Inject(brokertest.Now(), brokertest.Unblock())
		synctest.Wait()
		if b := <-s.BlockedChanges(); b.Active || s.Blocked() {
			t.Errorf("got %+v, Blocked() %t", b, s.Blocked())
		}
	})
}
