package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// patience is how long a dead peer may go unnoticed.
const patience = DefaultDrainTimeout + DefaultProbeTimeout

func wantError(t *testing.T, err error, class Class, scope Scope) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Class != class || e.Scope != scope {
		t.Errorf("got %v (%+v), want class %s, scope %s", err, e, class, scope)
	}
}

func TestOpenNoticesAPeerThatFreezesAfterTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{on: map[method]func(*peer){connectionOpen: openThenFreeze}}
		var err error
		if d := took(func() { _, err = Open(t.Context(), f.plan(), 1, 0) }); d > patience {
			t.Errorf("noticed after %v", d)
		}
		wantError(t, err, Heartbeat, ScopeConnection)
	})
}

func TestOpenWaitsForASlowPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{on: map[method]func(*peer){channelOpen: func(p *peer) {
			go beats(p)
			after(20*time.Second, answers[channelOpen])(p)
		}}}
		if d := took(func() { f.open(t) }); d != 20*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func TestOpenBoundsAnAnswerThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{on: map[method]func(*peer){channelOpen: beats}}
		var err error
		if d := took(func() { _, err = Open(t.Context(), f.plan(), 1, 0) }); d != DefaultCallTimeout {
			t.Errorf("gave up after %v", d)
		}
		wantError(t, err, Heartbeat, ScopeConnection)
		if !errors.Is(err, errCallTimeout) {
			t.Errorf("got %v", err)
		}
	})
}

func TestOpenEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{on: map[method]func(*peer){channelOpen: ignore}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var err error
		if d := took(func() { _, err = Open(ctx, f.plan(), 1, 0) }); d != time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended after %v with %v", d, err)
		}
	})
}

func TestOpenChecksThePlan(t *testing.T) {
	if _, err := Open(t.Context(), Plan{}, 1, 0); err == nil {
		t.Error("opened an empty plan")
	}
}

func TestProbe(t *testing.T) {
	tests := []struct {
		name string
		qos  func(*peer)
		took time.Duration
		dead bool
	}{
		{"the answer", answers[qos], 0, false},
		{"a heartbeat, and no answer", after(1900*time.Millisecond, (*peer).beat), 1900 * time.Millisecond, false},
		{"no byte", ignore, DefaultProbeTimeout, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := (&fake{on: map[method]func(*peer){qos: test.qos}}).open(t)
				time.Sleep(time.Second)
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
		s, p := (&fake{on: map[method]func(*peer){qos: ignore}}).open(t)
		for range 3 {
			wantError(t, s.Probe(t.Context()), Heartbeat, ScopeConnection)
		}
		if asked := p.saw(qos); asked != 1 {
			t.Errorf("%d round trips under way at once", asked)
		}
	})
}

func TestProbeReturnsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := (&fake{on: map[method]func(*peer){qos: ignore}}).open(t)
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

func TestSilenceIsSinceTheLastByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := new(fake).open(t)
		time.Sleep(3 * time.Second)
		if s.Silence() != 3*time.Second {
			t.Errorf("silence %v", s.Silence())
		}
		p.beat()
		synctest.Wait()
		if s.Silence() != 0 {
			t.Errorf("silence %v after a heartbeat", s.Silence())
		}
	})
}

func TestBlockedSuspendsTheGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := (&fake{on: map[method]func(*peer){qos: ignore,
			// more than patience, less than the heartbeats that may be missed
			closing: after(12*time.Second, answers[closing]),
		}}).open(t)
		p.send(blocked, 0, []byte("\x03why"))
		if b := <-s.BlockedChanges(); b != (Blocked{Generation: 7, Active: true, Reason: "why"}) || !s.Blocked() {
			t.Errorf("got %+v, Blocked() %t", b, s.Blocked())
		}
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("a blocked broker was given up: %v", err)
		}
	})
}

func TestBlockedChangesKeepsTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := new(fake).open(t)
		p.send(blocked, 0, []byte("\x03why"))
		p.send(unblocked, 0, nil)
		synctest.Wait()
		if b := <-s.BlockedChanges(); b.Active || s.Blocked() {
			t.Errorf("got %+v, Blocked() %t", b, s.Blocked())
		}
	})
}

func TestLoss(t *testing.T) {
	tests := []struct {
		name string
		act  func(*peer)
		want Class
	}{
		{"the broker hangs up", hangUp, Network},
		{"the broker shuts down", refuse(320, "CONNECTION_FORCED"), BrokerShutdown},
		{"the broker shuts down in a hurry", func(p *peer) { refuse(320, "CONNECTION_FORCED")(p); p.Close() }, BrokerShutdown},
		{"the broker goes silent", freeze, Heartbeat}, // three heartbeats missed
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, p := new(fake).open(t)
				p.beat() // amqp091-go starts its own deadline with the first frame
				test.act(p)
				l := <-s.Losses()
				if l.Generation != 7 || l.Consumer != nil || !s.Lost() {
					t.Errorf("got %+v, Lost() %t", l, s.Lost())
				}
				wantError(t, l.Err, test.want, ScopeConnection)
				synctest.Wait()
				select {
				case l := <-s.Losses():
					t.Errorf("a second loss: %v", l.Err)
				default:
				}
			})
		})
	}
}

func TestAbortNeedsNobodyToReceiveLosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := new(fake).open(t)
		hangUp(p)
		synctest.Wait() // the loss waits for a receiver
		s.Abort()
	})
}

func TestSessionEndsOnce(t *testing.T) {
	abort := func(s *Session) error { s.Abort(); return nil }
	closing := func(s *Session) error { return s.Close(context.Background()) }
	for name, steps := range map[string][]func(*Session) error{
		"Abort, Abort": {abort, abort},
		"Close, Abort": {closing, abort},
		"Close, Close": {closing, closing},
		"Abort, Close": {abort, closing},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := new(fake).open(t)
				for i, step := range steps {
					if err := step(s); err != nil {
						t.Errorf("step %d: %v", i+1, err)
					}
				}
				if !s.Lost() {
					t.Error("it does not know that it ended")
				}
				select {
				case l := <-s.Losses():
					t.Errorf("what was asked for was reported as a loss: %v", l.Err)
				default:
				}
			})
		})
	}
}

// A session that was quiet for longer than the drain timeout is closed like any other: the broker is
// told, and what was written before, acknowledgements above all, is not thrown away.
func TestCloseOfAQuietSessionIsGraceful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := after(100*time.Millisecond, answers[closing])
		s, p := (&fake{on: map[method]func(*peer){closing: slow}}).open(t)
		time.Sleep(DefaultDrainTimeout + time.Second)
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if p.saw(closing) != 1 {
			t.Error("the broker was not told")
		}
	})
}

func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := (&fake{on: map[method]func(*peer){closing: ignore}}).open(t)
		var err error
		if d := took(func() { err = s.Close(t.Context()) }); d > patience {
			t.Errorf("a silent peer held Close for %v", d)
		}
		wantError(t, err, Heartbeat, ScopeConnection)
	})
	synctest.Test(t, func(t *testing.T) {
		s, _ := (&fake{on: map[method]func(*peer){closing: ignore}}).open(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if d := took(func() { s.Close(ctx) }); d != time.Second {
			t.Errorf("Close took %v, its context had 1s", d)
		}
	})
}
