package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/fsm"
)

var errAway = errors.New("the disk is not mounted")

// lacking is a consumer whose handlers cannot try messages as long as something is away.
type lacking struct {
	*testing.T
	server *brokertest.Server
	c      *Consumer
	events *fsm.Ring
	begun  time.Time
	away   atomic.Bool
	stop   func()
	ended  chan error

	mu    sync.Mutex
	calls []string // when, and for which message
	log   strings.Builder
}

// lack runs in a bubble. handler is called for what is not away.
func lack(t *testing.T, s Subscription, handler Handler, bodies ...string) *lacking {
	l := &lacking{T: t, server: brokertest.NewInMemoryServer(t), events: fsm.NewRing(1000), ended: make(chan error, 1)}
	l.away.Store(true)
	s.Queue = "work"
	declareIn(t, l.server, s.Queue, nil)
	if err := l.server.Publish("work", bodies...); err != nil {
		t.Fatal(err)
	}
	s.Handler = func(ctx context.Context, d *Delivery) error {
		l.mu.Lock()
		l.calls = append(l.calls, fmt.Sprintf("%v %s", time.Since(l.begun).Round(time.Second), d.Body))
		l.mu.Unlock()
		if l.away.Load() {
			return fmt.Errorf("mail: %w", Unavailable(errAway))
		}
		return handler(ctx, d)
	}
	var err error
	l.c, err = New(Config{
		URLs: []string{l.server.URL()}, Dial: l.server.Dial, Name: "lacking", Journal: l.events, Subscriptions: []Subscription{s},
		Logger: zerolog.New(zerolog.SyncWriter(&l.log)).Level(zerolog.ErrorLevel),
	})
	if err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, l.stop = context.WithCancel(t.Context())
	l.begun = time.Now()
	go func() { l.ended <- l.c.Run(ctx) }()
	return l
}

func (l *lacking) called() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	calls := slices.Clone(l.calls)
	l.calls = nil
	return calls
}

func (l *lacking) end() {
	l.Helper()
	l.stop()
	if err := <-l.ended; err != nil {
		l.Error(err)
	}
}

// What handlers need is away for longer than any message's attempts: nothing counts as a failure, pauses grow, one
// message at a time is tried, and then all are handled.
func TestUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lack(t, Subscription{Concurrency: 2, Prefetch: 6, Breaker: Breaker{Pause: 8 * time.Second}}, func(_ context.Context, d *Delivery) error {
			if n := Attempts(d); n > 0 {
				t.Errorf("%s has %d attempts", d.Body, n)
			}
			return nil
		}, "a", "b", "c", "d", "e", "f", "g", "h")
		time.Sleep(500 * time.Millisecond)
		if calls := l.called(); len(calls) == 0 || len(calls) > 6 { // those that were begun before the pause
			t.Errorf("calls at first: %q", calls)
		}
		time.Sleep(32 * time.Second)
		at := l.called()
		for i := range at {
			at[i], _, _ = strings.Cut(at[i], " ")
		}
		if diff := cmp.Diff([]string{"1s", "3s", "7s", "15s", "23s", "31s"}, at); diff != "" {
			t.Error(diff)
		}
		l.away.Store(false)
		time.Sleep(8 * time.Second)
		if s := l.c.Stats(); s.Acknowledged != 8 || s.Failed != 0 || s.Parked != 0 || s.Requeued != 0 {
			t.Errorf("%+v; want all acknowledged, and none failed", s)
		}

		l.away.Store(true) // again: from the beginning
		if err := l.server.Publish("work", "i"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		l.away.Store(false)
		time.Sleep(1500 * time.Millisecond)
		if s := l.c.Stats(); s.Acknowledged != 9 {
			t.Errorf("%+v; want the last one acknowledged after a second", s)
		}
		l.end()
		var told []string
		for _, e := range l.events.Events() {
			if e.Name == NoteBreakerOpen {
				told = append(told, e.Note)
				if e.Error != "mail: the disk is not mounted" {
					t.Errorf("the error is %q", e.Error)
				}
			}
		}
		if lines := strings.Count(l.log.String(), `"level":"error"`); len(told) != 8 || lines != 8 {
			t.Errorf("%d pauses, %d errors in the log, want 8:\n%s", len(told), lines, &l.log)
		}
		if want := "what handlers need is not available (3 times in a row); no attempt is counted: to be paused for 4s, then one message is tried"; told[2] != want {
			t.Errorf("told %q", told[2])
		}
	})
}

// The first message that is tried takes its time: the others do not wait for its end.
func TestUnavailableLongTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lack(t, Subscription{Concurrency: 3}, func(context.Context, *Delivery) error {
			time.Sleep(time.Minute)
			return nil
		}, "a", "b", "c")
		time.Sleep(500 * time.Millisecond)
		l.away.Store(false)
		l.called()
		time.Sleep(30 * time.Second)
		at := l.called()
		for i := range at {
			at[i], _, _ = strings.Cut(at[i], " ")
		}
		if diff := cmp.Diff([]string{"1s", "6s", "6s"}, at); diff != "" {
			t.Error(diff)
		}
		time.Sleep(time.Minute)
		if n := l.c.Stats().Acknowledged; n != 3 {
			t.Errorf("%d acknowledged", n)
		}
		l.end()
	})
}

// Whatever ends a trial: the others have their turn.
func TestUnavailableTrialEnds(t *testing.T) {
	for name, handler := range map[string]Handler{
		"fails":    func(context.Context, *Delivery) error { return Permanent(errAway) },
		"panics":   func(context.Context, *Delivery) error { panic("odd") },
		"requeues": func(context.Context, *Delivery) error { return Requeue },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := lack(t, Subscription{Concurrency: 2, Retry: Retry{Poison: DeadLetter}}, func(ctx context.Context, d *Delivery) error {
					if string(d.Body) == "odd" {
						return handler(ctx, d)
					}
					return nil
				}, "odd", "b", "c")
				time.Sleep(500 * time.Millisecond)
				l.away.Store(false)
				time.Sleep(4 * time.Second)
				if n := l.c.Stats().Acknowledged; n != 2 {
					t.Errorf("%d acknowledged, want the 2 others", n)
				}
				l.end()
			})
		})
	}
}

// A stream's message, which nothing can put aside, is tried in place: with the attempts that it had.
func TestUnavailableOfAStream(t *testing.T) {
	var attempts []int
	dispatching(t, Subscription{
		Stream: &Stream{Offset: "first"},
		Handler: func(_ context.Context, d *Delivery) error {
			attempts = append(attempts, Attempts(d))
			switch n := len(attempts); {
			case n == 2:
				return errAway
			case n < 8:
				return Unavailable(errAway)
			}
			return nil
		},
	}, func(t *testing.T, d *dispatcher, s *plainSource) {
		s.deliveries <- &Delivery{DeliveryTag: 1, ReceivedAt: time.Now()}
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]int{0, 0, 1, 1, 1, 1, 1, 1}, attempts); diff != "" {
			t.Error(diff)
		}
	})
}

// The end, and the loss of the connection, do not wait for a trial.
func TestUnavailableWhileOthersWait(t *testing.T) {
	for _, lost := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := lack(t, Subscription{Concurrency: 3}, func(context.Context, *Delivery) error {
				time.Sleep(3 * time.Second)
				return nil
			}, "a", "b", "c")
			time.Sleep(500 * time.Millisecond)
			l.away.Store(false)
			time.Sleep(1500 * time.Millisecond) // one is tried, two wait
			if lost {
				l.server.StopApp()
				if err := l.server.StartApp(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if s := l.c.Stats(); s.Acknowledged != 3 {
					t.Errorf("%+v; want all acknowledged", s)
				}
			}
			l.end()
			if q, _ := l.server.Queue("work"); !lost && (q.Ready != 2 || q.Acknowledged != 1) {
				t.Errorf("%+v; want one acknowledged, and two that went back", q)
			}
		})
	}
}

func TestUnavailableIsAnError(t *testing.T) {
	if Unavailable(nil) != nil {
		t.Error("nil is one")
	}
	if err := Unavailable(errAway); !errors.Is(err, errAway) || err.Error() != errAway.Error() {
		t.Errorf("%v", err)
	}
}
