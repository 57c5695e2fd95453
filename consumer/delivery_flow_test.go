package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

// Pause: what was not begun waits in memory while handlers are at work, and those are acknowledged.
func TestPauseKeeps(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 20, 2, 10)
	r.start()
	r.awaitBusy(d, 2)
	r.awaitDepth(r.queue, 10, 10)
	r.must(r.c.Subscription(r.queue).Pause())
	r.awaitNote(0, consumer.NotePauseRequested)
	r.awaitNote(0, consumer.NotePaused)
	if n := r.consumers(); n != 0 {
		t.Errorf("the broker counts %d consumers", n)
	}
	close(d.let)
	r.awaitDepth(r.queue, 10, 8)
	r.awaitState(consumer.Consuming)
	r.wantStats(consumer.Stats{Acknowledged: 2})
	r.must(r.c.Subscription(r.queue).Resume())
	r.awaitNote(0, consumer.NoteResumed)
	r.awaitDepth(r.queue, 0, 0)
	r.stop()
	r.wantStats(consumer.Stats{Acknowledged: 20})
	r.replays()
}

// A pause that lasts nearly as long as the broker waits for acknowledgements: what was not begun goes back then.
func TestLongPauseGivesBack(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 10, 2, 10)
	r.config.ConsumerTimeout = 4 * time.Second
	r.start()
	r.awaitBusy(d, 2)
	r.awaitDepth(r.queue, 0, 10)
	r.must(r.c.Subscription(r.queue).Pause())
	r.awaitNote(0, consumer.NotePaused)
	r.awaitDepth(r.queue, 8, 2)
	if e := consumer.EvidenceOf(r.awaitNote(0, consumer.NoteReleased)); e.ReturnedUnstarted != 8 {
		t.Errorf("%+v", e)
	}
	r.wantStats(consumer.Stats{ReturnedUnstarted: 8})
	close(d.let)
	r.awaitDepth(r.queue, 8, 0)
	r.must(r.c.Subscription(r.queue).Resume())
	r.awaitDepth(r.queue, 0, 0)
	r.stop()
	r.wantStats(consumer.Stats{Acknowledged: 10, ReturnedUnstarted: 8})
}

// The connection is lost while the subscription is paused, and comes back: that is no reason to consume.
func TestPauseLastsOverCuts(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 10, 2, 10)
	r.start()
	r.awaitBusy(d, 2)
	r.must(r.c.Subscription(r.queue).Pause())
	r.awaitNote(0, consumer.NotePaused)
	for range 2 {
		n := r.events()
		r.proxy.Reset()
		r.awaitEvent(n, consumer.Revived)
	}
	r.awaitState(consumer.Consuming)
	r.awaitDepth(r.queue, 10, 0)
	if n := r.consumers(); n != 0 {
		t.Errorf("the broker counts %d consumers", n)
	}
	close(d.let) // too late for their acknowledgements
	r.await("two outcomes to be dropped", func() bool { return r.c.Stats().Stale == 2 })
	r.must(r.c.Subscription(r.queue).Resume())
	r.awaitDepth(r.queue, 0, 0)
	r.stop()
	if n := r.c.Stats().Acknowledged; n != 10 {
		t.Errorf("%d were handled, want 10", n)
	}
}

// SetPrefetch holds at the broker, and over a revival.
func TestSetPrefetchAtTheBroker(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 20, 1, 5)
	r.start()
	r.awaitDepth(r.queue, 15, 5)
	r.awaitPrefetch(5)
	r.must(r.c.Subscription(r.queue).SetPrefetch(7))
	r.awaitDepth(r.queue, 8, 12) // what came before does not count towards the new one
	r.awaitPrefetch(7)
	n := r.events()
	r.proxy.Reset()
	r.awaitEvent(n, consumer.Revived)
	r.awaitDepth(r.queue, 13, 7)
	r.awaitPrefetch(7)
	r.must(r.c.Subscription(r.queue).SetPrefetch(1))
	close(d.let)
	r.awaitDepth(r.queue, 0, 0)
	r.awaitPrefetch(1)
	r.stop()
}

// awaitPrefetch waits until the broker has one consumer on the queue, with that prefetch.
func (r *rig) awaitPrefetch(want int) {
	r.Helper()
	r.await(fmt.Sprintf("one consumer, with prefetch %d", want), func() bool {
		found := r.erlang(fmt.Sprintf(`
			Of = [C || C <- rabbit_amqqueue:consumers_all(<<"/">>), element(4, proplists:get_value(queue_name, C)) =:= <<"%s">>],
			{length(Of), lists:sum([proplists:get_value(prefetch_count, C) || C <- Of])}.`, r.queue))
		return strings.ReplaceAll(found, " ", "") == fmt.Sprintf("{1,%d}", want)
	})
}

// SetConcurrency: more handlers at once, and fewer when those at work have finished.
func TestSetConcurrencyUpAndDown(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 20, 1, 20)
	r.start()
	r.awaitBusy(d, 1)
	r.must(r.c.Subscription(r.queue).SetConcurrency(6))
	r.awaitBusy(d, 6)
	r.must(r.c.Subscription(r.queue).SetConcurrency(2))
	r.awaitNote(0, consumer.NoteConcurrencyRequested)
	for range 4 { // none takes the place of these
		d.let <- struct{}{}
	}
	r.awaitBusy(d, 2)
	d.forget()
	for range 8 {
		d.let <- struct{}{}
	}
	close(d.let)
	r.awaitDepth(r.queue, 0, 0)
	if _, most := d.atWork(); most > 2 {
		t.Errorf("%d handlers at once, want 2", most)
	}
	r.stop()
	r.wantStats(consumer.Stats{Acknowledged: 20})
}

// A handler that takes too long is told of before the broker closes its channel, on each connection.
func TestConsumerTimeoutWarning(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 1, 1, 1)
	r.config.ConsumerTimeout = 500 * time.Millisecond
	r.start()
	e := r.awaitNote(0, consumer.NoteOverdue)
	if e := consumer.EvidenceOf(e); e.Queue != r.queue || e.Class != string(broker.ConsumerTimeout) {
		t.Errorf("%+v", e)
	}
	close(d.let)
	r.stop()
}

// A subscription is paused, resumed and changed at random while its handlers fail at random and the
// connection is cut: everything is handled, and settled once only.
func TestSteeredOverCuts(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"classic", "quorum"} {
		t.Run("steered-"+kind, func(t *testing.T) {
			t.Parallel()
			const messages = 4000
			l := newLedger(t, false)
			r := newRig(t)
			r.remake(kind, nil)
			r.config.Dial = l.dial
			r.config.Logger = r.config.Logger.Level(zerolog.InfoLevel)
			s := &r.config.Subscriptions[0]
			s.Concurrency, s.Prefetch = 8, 40
			s.Retry.Poison = consumer.PutBack
			s.Retry.Backoff = consumer.Backoff{Initial: time.Millisecond, Max: 10 * time.Millisecond}
			s.Handler = func(_ context.Context, d *consumer.Delivery) error {
				<-time.After(rand.N(20 * time.Millisecond)) // the work
				switch rand.N(20) {
				case 0:
					return consumer.Requeue
				case 1:
					return errFails
				}
				l.finish(d)
				return nil
			}
			r.load(messages)
			r.start()
			r.awaitState(consumer.Consuming)
			for l.handled() < messages*3/4 {
				r.steerAtRandom()
				<-time.After(rand.N(50 * time.Millisecond))
			}
			r.must(r.c.Subscription(r.queue).Resume())
			r.must(r.c.Subscription(r.queue).SetConcurrency(16))
			r.await("every message to be handled", func() bool { return l.handled() == messages })
			r.awaitDepth(r.queue, 0, 0)
			r.awaitState(consumer.Consuming)
			r.stop()
			r.replays()
			l.check(t, messages)
			t.Logf("%v; %+v", l, r.c.Stats())
		})
	}
}

func (r *rig) steerAtRandom() {
	r.Helper()
	switch rand.N(7) {
	case 0:
		r.must(r.c.Subscription(r.queue).Pause())
	case 1, 2:
		r.must(r.c.Subscription(r.queue).Resume())
	case 3:
		r.must(r.c.Subscription(r.queue).SetPrefetch(10 + rand.N(90)))
	case 4:
		r.must(r.c.Subscription(r.queue).SetConcurrency(1 + rand.N(16)))
	case 5: // before the first is done
		r.must(errors.Join(r.c.Subscription(r.queue).Pause(), r.c.Subscription(r.queue).SetPrefetch(10+rand.N(90)), r.c.Subscription(r.queue).Resume()))
	case 6:
		if rand.N(3) == 0 {
			r.proxy.Reset()
		}
	}
}
