package consumer

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/consumer/internal/inside"
	"github.com/everhop/everhop/fsm"
)

// plainSource delivers what it is given, and takes every outcome. To a receiver without a stop it is as if it
// had been cancelled: nothing more comes.
type plainSource struct {
	deliveries chan *Delivery
	lost       chan struct{}
	nacked     func() // called when a delivery goes back
	acked      func()
	rejected   func(tag uint64)
}

func newPlainSource() *plainSource {
	return &plainSource{deliveries: make(chan *Delivery, 100), lost: make(chan struct{}), nacked: func() {}, acked: func() {}, rejected: func(uint64) {}}
}

func (s *plainSource) Receive(stop <-chan struct{}) (*Delivery, bool) {
	select {
	case <-s.lost:
		return nil, false
	default:
	}
	if stop == nil && len(s.deliveries) == 0 {
		return nil, false
	}
	select {
	case d := <-s.deliveries:
		if d.ReceivedAt.IsZero() {
			d.ReceivedAt = time.Now()
		}
		return d, true
	case <-stop:
	case <-s.lost:
	}
	return nil, false
}

func (s *plainSource) Waiting() (int, uint64, time.Time) { return 0, 0, time.Time{} }

func (s *plainSource) Lost() <-chan struct{} { return s.lost }

func (s *plainSource) Ack(uint64) error {
	s.acked()
	return nil
}

func (s *plainSource) AckUpTo(uint64) error { return nil }

func (s *plainSource) Reject(tag uint64, _ bool) error {
	s.rejected(tag)
	return nil
}

func (s *plainSource) Nack(uint64) error {
	s.nacked()
	return nil
}

// dispatching runs a dispatcher in a bubble, on a source that is attached and not paused.
func dispatching(t *testing.T, s Subscription, test func(*testing.T, *dispatcher, *plainSource)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		config := Config{Subscriptions: []Subscription{s}}.withDefaults()
		d := newDispatcher(config.Subscriptions[0], environment{
			counts: &counts{}, logger: zerolog.Nop(), inside: &inside.Marks{}, work: t.Context(),
			keepFor: time.Hour, tell: func(fsm.Kind, string, Evidence) {}, tripped: func() {},
		})
		d.rescues.expect(DefaultDeliveryLimit)
		d.start()
		source := newPlainSource()
		d.attach(source, d.spec.Prefetch)
		d.resume()
		test(t, d, source)
		d.stop()
		d.wait()
	})
}

// A message that goes back because of a pause, when its id was asked for already, is one message all the same:
// it is not taken for two of one id, of which one has failed.
func TestPauseBetweenIDAndHandler(t *testing.T) {
	var d *dispatcher
	pauses, calls := true, 0
	dispatching(t, Subscription{
		Dedup: Dedup{Window: 10, ID: func(delivery *Delivery) string {
			if pauses {
				d.pause()
			}
			return delivery.MessageID
		}},
		Handler: func(context.Context, *Delivery) error { calls++; return nil },
	}, func(t *testing.T, it *dispatcher, s *plainSource) {
		d = it
		s.deliveries <- &Delivery{DeliveryTag: 1, MessageID: "m"}
		synctest.Wait()
		d.giveBack(s)
		synctest.Wait()
		if n := d.env.counts.returnedUnstarted.Load(); n != 1 || calls != 0 {
			t.Fatalf("%d went back, %d were handled; want one and none", n, calls)
		}
		pauses = false
		d.resume()
		s.deliveries <- &Delivery{DeliveryTag: 2, MessageID: "m", Redelivered: true}
		s.deliveries <- &Delivery{DeliveryTag: 3, MessageID: "m", Redelivered: true} // the acknowledgement was lost
		synctest.Wait()
		if n := d.env.counts.deduplicated.Load(); n != 1 || calls != 1 {
			t.Errorf("it was handled %d times, and deduplicated %d times; want once each", calls, n)
		}
	})
}

// What has gone back may be handled before whoever gave it back gets on: that it was not handled before that
// is no later news.
func TestGivenBackAndHandledAtOnce(t *testing.T) {
	handled := make(chan struct{})
	calls := 0
	dispatching(t, Subscription{
		Dedup: Dedup{Window: 10}, Concurrency: 2,
		Handler: func(context.Context, *Delivery) error {
			if calls++; calls == 1 {
				close(handled)
			}
			return nil
		},
	}, func(t *testing.T, d *dispatcher, s *plainSource) {
		s.nacked = func() {
			s.deliveries <- &Delivery{DeliveryTag: 2, MessageID: "m", Redelivered: true}
			d.resume()
			<-handled
		}
		d.pause()
		s.deliveries <- &Delivery{DeliveryTag: 1, MessageID: "m"}
		go d.giveBack(s)
		synctest.Wait()
		s.deliveries <- &Delivery{DeliveryTag: 3, MessageID: "m", Redelivered: true} // the acknowledgement was lost
		synctest.Wait()
		if n := d.env.counts.deduplicated.Load(); n != 1 || calls != 1 {
			t.Errorf("it was handled %d times, and deduplicated %d times; want once each", calls, n)
		}
	})
}

// Whoever gives back is not ended by an ID that ends its goroutine: all that waits goes back.
func TestIDThatEndsItsGoroutine(t *testing.T) {
	dispatching(t, Subscription{
		Dedup: Dedup{Window: 10, ID: func(d *Delivery) string {
			if d.DeliveryTag == 1 {
				runtime.Goexit()
			}
			return d.MessageID
		}},
		Handler: func(context.Context, *Delivery) error { return nil },
	}, func(t *testing.T, d *dispatcher, s *plainSource) {
		d.pause()
		synctest.Wait()
		for tag := range uint64(3) {
			s.deliveries <- &Delivery{DeliveryTag: tag + 1, MessageID: fmt.Sprint(tag)}
		}
		d.giveBack(s)
		if n := d.env.counts.returnedUnstarted.Load(); n != 3 {
			t.Errorf("%d went back, want 3", n)
		}
	})
}

// What waits for its key is forgotten with its channel: a slow handler keeps nothing of those that were lost
// meanwhile.
func TestLostDeliveriesAreForgotten(t *testing.T) {
	const waiting = 20
	var let chan struct{}
	var calls []string
	dispatching(t, Subscription{
		Concurrency: 2,
		OrderingKey: func(*Delivery) string { return "same" },
		Handler: func(_ context.Context, d *Delivery) error {
			calls = append(calls, d.MessageID)
			<-let
			return nil
		},
	}, func(t *testing.T, d *dispatcher, s *plainSource) {
		let = make(chan struct{}) // of the bubble
		check := func(want int) {
			t.Helper()
			synctest.Wait()
			if keys, kept := d.lanes.Size(); keys != 1 || kept != want {
				t.Errorf("%d keys are taken, %d deliveries are kept, want %d", keys, kept, want)
			}
		}
		for generation := range 5 {
			for i := range waiting {
				s.deliveries <- &Delivery{DeliveryTag: uint64(i + 1), MessageID: fmt.Sprint(generation, " ", i+1)}
			}
			if generation == 0 {
				check(waiting - 1)
			} else {
				check(waiting)
			}
			close(s.lost)
			if generation%2 == 0 { // else nobody says so before there is another one
				d.detach()
				check(0)
			}
			s = newPlainSource()
			d.attach(s, d.spec.Prefetch)
			check(0)
			d.resume()
		}
		s.deliveries <- &Delivery{DeliveryTag: 1, MessageID: "last"}
		check(1)
		close(let)
		synctest.Wait()
		if want := "[0 1 last]"; fmt.Sprint(calls) != want {
			t.Errorf("handled were %v, want %s", calls, want)
		}
	})
}

// A connection is given up before all of its channels know. What still comes out of such a channel must not pass what was
// forgotten of it, which comes again.
func TestNothingPassesWhatWasForgotten(t *testing.T) {
	var let chan struct{}
	var calls []string
	dispatching(t, Subscription{
		Concurrency: 2,
		OrderingKey: func(*Delivery) string { return "same" },
		Handler: func(_ context.Context, d *Delivery) error {
			calls = append(calls, d.MessageID)
			<-let
			return nil
		},
	}, func(t *testing.T, d *dispatcher, s *plainSource) {
		let = make(chan struct{}) // of the bubble
		come := func(tags ...uint64) {
			for _, tag := range tags {
				s.deliveries <- &Delivery{DeliveryTag: tag, MessageID: fmt.Sprint(tag)}
			}
			synctest.Wait()
		}
		come(1, 2)
		d.detach()
		come(3)
		close(let)
		synctest.Wait()
		close(s.lost)
		s = newPlainSource()
		d.attach(s, d.spec.Prefetch)
		d.resume()
		come(2, 3)
		if want := "[1 2 3]"; fmt.Sprint(calls) != want {
			t.Errorf("handled were %v, want %s", calls, want)
		}
	})
}

// Any function of the caller's may end the goroutine that calls it, as t.FailNow does: that costs neither a worker,
// nor the message, nor anybody's turn.
func TestGoexit(t *testing.T) {
	for name, set := range map[string]func(s *Subscription, exit func()){
		"OrderingKey": func(s *Subscription, exit func()) { s.OrderingKey = func(*Delivery) string { exit(); return "" } },
		"Dedup.ID": func(s *Subscription, exit func()) {
			s.Dedup = Dedup{Window: 10, ID: func(d *Delivery) string { exit(); return d.MessageID }}
		},
		"Handler": func(s *Subscription, exit func()) {
			s.Handler = func(context.Context, *Delivery) error { exit(); return nil }
		},
		"Handler, with a key and an id": func(s *Subscription, exit func()) {
			s.OrderingKey = func(*Delivery) string { return "same" }
			s.Dedup = Dedup{Window: 10}
			s.Handler = func(context.Context, *Delivery) error { exit(); return nil }
		},
		"Commit": func(s *Subscription, exit func()) { s.Commit = func(context.Context) error { exit(); return nil } },
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			const exits = 3
			s := Subscription{Concurrency: 2, Handler: func(context.Context, *Delivery) error { return nil }}
			set(&s, func() {
				if calls.Add(1) <= exits {
					runtime.Goexit()
				}
			})
			dispatching(t, s, func(t *testing.T, d *dispatcher, s *plainSource) {
				s.rejected = func(tag uint64) { // it comes again
					s.deliveries <- &Delivery{DeliveryTag: tag + 100, MessageID: fmt.Sprint(tag % 100), Redelivered: true}
				}
				const messages = 5
				for i := range messages {
					s.deliveries <- &Delivery{DeliveryTag: uint64(i + 1), MessageID: fmt.Sprint(i + 1)}
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if n := d.env.counts.acknowledged.Load(); n != messages || calls.Load() < exits {
					t.Errorf("%d are acknowledged, want %d; it was called %d times", n, messages, calls.Load())
				}
				if keys, waiting := d.lanes.Size(); keys+waiting+d.channel().look().all() > 0 {
					t.Errorf("%d keys are taken, %d deliveries wait, %d are outstanding", keys, waiting, d.channel().look().all())
				}
			})
		})
	}
}

// A worker waits in a pause with a delivery that nobody has begun with; its connection is given up, another takes its place.
func TestNothingForgottenIsBegun(t *testing.T) {
	var calls []string
	dispatching(t, Subscription{
		Concurrency: 2,
		OrderingKey: func(*Delivery) string { return "same" },
		Handler: func(_ context.Context, d *Delivery) error {
			calls = append(calls, fmt.Sprint(d.MessageID, "/", d.Generation))
			return nil
		},
	}, func(t *testing.T, d *dispatcher, s *plainSource) {
		// received, not begun: the pause comes between
		block := make(chan struct{})
		d.spec.OrderingKey = func(*Delivery) string { <-block; return "same" }
		s.deliveries <- &Delivery{DeliveryTag: 1, MessageID: "1", Generation: 1}
		synctest.Wait()
		d.pause()
		close(block)
		synctest.Wait()
		d.detach()
		n := newPlainSource()
		d.attach(n, d.spec.Prefetch)
		d.resume()
		synctest.Wait()
		close(s.lost)
		n.deliveries <- &Delivery{DeliveryTag: 1, MessageID: "1", Generation: 2}
		synctest.Wait()
		if fmt.Sprint(calls) != "[1/2]" {
			t.Errorf("handled were %v: what no handler had begun with was begun after it was forgotten", calls)
		}
	})
}

// What is given back of a channel concerns no other one.
func TestGiveBackOfAnother(t *testing.T) {
	dispatching(t, Subscription{Concurrency: 1, Handler: func(_ context.Context, d *Delivery) error { return nil }},
		func(t *testing.T, d *dispatcher, s *plainSource) {
			d.pause()
			d.detach()
			d.attach(newPlainSource(), d.spec.Prefetch)
			d.giveBack(s)
			if d.crew.view().returning {
				t.Error("the new channel's view says returning")
			}
		})
}
