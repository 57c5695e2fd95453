package consumer

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/fsm"
)

// What fails while a long pause gives back is not kept: nobody would look at it again before the broker does.
func TestNothingIsKeptWhileAPauseGivesBack(t *testing.T) {
	var let chan struct{}
	nacks := 0
	dispatching(t, Subscription{
		Handler: func(context.Context, *Delivery) error { <-let; return Requeue },
	}, func(t *testing.T, d *dispatcher, s *plainSource) {
		let = make(chan struct{}) // of the bubble
		s.nacked = func() { nacks++ }
		s.deliveries <- &Delivery{DeliveryTag: 1, ReceivedAt: time.Now()}
		synctest.Wait()
		d.pause()
		d.giveBack(s)
		close(let)
		synctest.Wait()
		if n := d.env.counts.requeued.Load(); n != 1 || nacks != 1 {
			t.Errorf("%d went back, %d are counted, want 1", nacks, n)
		}
	})
}

// A key whose delivery was kept is free when that goes back, and so is what came in for it meanwhile.
func TestKeysOfWhatGoesBackAreFree(t *testing.T) {
	dispatching(t, Subscription{
		Handler: func(context.Context, *Delivery) error { return nil },
	}, func(t *testing.T, d *dispatcher, s *plainSource) {
		c := d.channel()
		first := job{delivery: &Delivery{DeliveryTag: 1}, channel: c, key: "k"}
		second := job{delivery: &Delivery{DeliveryTag: 2}, channel: c, key: "k"}
		d.pause()
		d.lanes.Begin("k", first)
		if !d.kept.keep(keptJob{job: first, due: time.Now().Add(time.Hour), inLane: true}) {
			t.Fatal("it is not kept")
		}
		d.crew.change(func(v *view) { v.returning = true })
		d.lanes.Begin("k", second) // by a worker that had received it before the pause
		if jobs := d.kept.remove(func(job) bool { return true }); len(jobs) != 2 {
			t.Errorf("%d go back, want 2", len(jobs))
		}
		if keys, _ := d.lanes.Size(); keys != 0 {
			t.Errorf("%d keys are taken", keys)
		}
	})
}

// A worker may be late with what is of a channel that another one has replaced: it would wait for ever.
func TestNothingIsKeptOfAReplacedChannel(t *testing.T) {
	dispatching(t, Subscription{
		Handler: func(context.Context, *Delivery) error { return nil },
	}, func(t *testing.T, d *dispatcher, s *plainSource) {
		old := d.channel()
		d.attach(newPlainSource(), d.spec.Prefetch)
		if d.kept.keep(keptJob{job: job{delivery: &Delivery{DeliveryTag: 1}, channel: old}}) {
			t.Error("it is kept")
		}
	})
}

// A message that does not come again is found out, whatever else happens meanwhile.
func TestOrphanOfABusySubscription(t *testing.T) {
	dispatching(t, Subscription{
		Handler: func(context.Context, *Delivery) error { return nil },
	}, func(t *testing.T, d *dispatcher, _ *plainSource) {
		lost := newPlainSource()
		close(lost.lost)
		r := d.rescues.begin(lost, &Delivery{Body: []byte("worn")})
		is := make(chan bool, 1)
		go func() { is <- r.isOrphan() }()
		for range 10 {
			time.Sleep(orphanPause / 4)
			d.crew.rouse() // as when something that was kept is due
		}
		synctest.Wait()
		select {
		case orphan := <-is:
			if !orphan {
				t.Error("it is taken to have come again")
			}
		default:
			t.Error("it is waited for still")
		}
	})
}

// A consumer that waits for room goes on when what is held back, beside the workers, has gone back.
func TestRoomAfterWhatWasHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		declareIn(t, server, "work", nil)
		for range 4 {
			if err := server.Publish("work", strings.Repeat("x", 2000)); err != nil {
				t.Fatal(err)
			}
		}
		events := fsm.NewRing(1000)
		c, err := New(Config{
			URLs: []string{server.URL()}, Dial: server.Dial, Name: "held", Journal: events, MaxMessageSize: 1000,
			Subscriptions: []Subscription{{
				Queue: "work", Prefetch: 4, Handler: func(context.Context, *Delivery) error { return nil },
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		stop, ended := running(t, c)
		time.Sleep(time.Second)
		if err := c.Subscription("work").SetPrefetch(1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(defaultConsumerTimeout)
		notes := map[string]int{}
		for _, e := range events.Events() {
			notes[e.Name]++
		}
		if notes[NotePrefetchHeld] != 1 || notes[NotePrefetchSet] != 1 {
			t.Errorf("notes: %v; want one %s, and then one %s", notes, NotePrefetchHeld, NotePrefetchSet)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Messages that are put back for ever, by a handler that takes longer than they wait, leave others their turn.
func TestKeptLeaveOthersTheirTurn(t *testing.T) {
	for _, concurrency := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			server := brokertest.NewInMemoryServer(t)
			declareIn(t, server, "work", nil)
			if err := server.Publish("work", "again", "again", "again", "other", "other", "other"); err != nil {
				t.Fatal(err)
			}
			var others atomic.Int64
			c, err := New(Config{
				URLs: []string{server.URL()}, Dial: server.Dial, Name: "kept",
				Subscriptions: []Subscription{{
					Queue: "work", Concurrency: concurrency, Handler: func(_ context.Context, d *Delivery) error {
						time.Sleep(2 * defaultRequeuePause)
						if string(d.Body) == "again" {
							return Requeue
						}
						others.Add(1)
						return nil
					},
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			stop, ended := running(t, c)
			time.Sleep(time.Minute)
			if n := others.Load(); n != 3 {
				t.Errorf("concurrency %d: %d of 3 others were handled", concurrency, n)
			}
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// Events tell of everything that goes back since it was kept for too long, by whomever it is given back: in a pause, what
// workers have in hand, too.
func TestReleasedIsTold(t *testing.T) {
	for _, test := range []struct {
		name             string
		pauses           bool
		handle           func(calls *atomic.Int64) error
		unstarted, begun uint64
	}{
		{"in a pause", true, func(calls *atomic.Int64) error {
			if calls.Add(1) > 4 {
				time.Sleep(time.Second) // it is paused before
			}
			return RetryAfter(5 * time.Second)
		}, 4, 4},
		{"without one", false, func(calls *atomic.Int64) error {
			if calls.Add(1) > 4 {
				return nil
			}
			time.Sleep(defaultConsumerTimeout)
			return Requeue
		}, 0, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				declareIn(t, server, "work", nil)
				if err := server.Publish("work", "1", "2", "3", "4", "5", "6", "7", "8"); err != nil {
					t.Fatal(err)
				}
				events, calls := fsm.NewRing(1000), &atomic.Int64{}
				c, err := New(Config{
					URLs: []string{server.URL()}, Dial: server.Dial, Name: "kept", Journal: events,
					Subscriptions: []Subscription{{
						Queue: "work", Concurrency: 4, Prefetch: 8,
						Handler: func(context.Context, *Delivery) error { return test.handle(calls) },
					}},
				})
				if err != nil {
					t.Fatal(err)
				}
				stop, ended := running(t, c)
				time.Sleep(time.Second)
				if test.pauses {
					if err := c.Subscription("work").Pause(); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(2 * defaultConsumerTimeout)
				var unstarted, begun uint64
				for _, e := range events.Events() {
					if e.Name == NoteReleased {
						unstarted += EvidenceOf(e).ReturnedUnstarted
						begun += EvidenceOf(e).Unfinished
					}
				}
				if unstarted != test.unstarted || begun != test.begun {
					t.Errorf("events tell of %d not begun, and %d begun; want %d and %d; %+v", unstarted, begun, test.unstarted, test.begun, c.Stats())
				}
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// To take what is due takes no longer the more waits behind it.
func TestMuchIsKept(t *testing.T) {
	dispatching(t, Subscription{
		Prefetch: maxPrefetch, Handler: func(context.Context, *Delivery) error { return nil },
	}, func(t *testing.T, d *dispatcher, s *plainSource) {
		d.pause()
		synctest.Wait()
		c := d.channel()
		for tag := range uint64(maxPrefetch) {
			if !d.kept.keep(keptJob{job: job{delivery: &Delivery{DeliveryTag: tag + 1}, channel: c}}) {
				t.Fatal("it is not kept")
			}
		}
		first := &d.kept.jobs[1]
		for tag := range uint64(maxPrefetch) {
			j, ok := d.kept.takeDue(c)
			if !ok || j.delivery.DeliveryTag != tag+1 {
				t.Fatalf("the one taken is %+v, want %d", j, tag+1)
			}
			if tag == 0 && first != &d.kept.jobs[0] {
				t.Error("those behind it have moved")
			}
		}
	})
}

// What was kept, and finds no worker that is free, goes back before the broker loses patience with all.
func TestKeptBehindSlowHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		declareIn(t, server, "work", nil)
		if err := server.Publish("work", "again"); err != nil {
			t.Fatal(err)
		}
		var let, busy atomic.Bool
		c, err := New(Config{
			URLs: []string{server.URL()}, Dial: server.Dial, Name: "kept",
			Subscriptions: []Subscription{{
				Queue: "work", Handler: func(_ context.Context, d *Delivery) error {
					switch {
					case string(d.Body) == "slow":
						busy.Store(true)
						time.Sleep(defaultConsumerTimeout / 2)
						return nil
					case let.Load():
						return nil
					}
					return Requeue
				},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		stop, ended := running(t, c)
		time.Sleep(defaultConsumerTimeout / 2)
		if err := server.Publish("work", "slow"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(defaultConsumerTimeout/2 - 2*time.Minute)
		if s := c.Stats(); !busy.Load() || s.Requeued != 1 {
			t.Errorf("busy: %v; %+v; want one that was put back into the queue", busy.Load(), s)
		}
		let.Store(true)
		stop()
		if err := <-ended; err != nil && !errors.Is(err, ErrUnfinished) {
			t.Error(err)
		}
		time.Sleep(defaultConsumerTimeout) // the handler returns
	})
}
