package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// desk is where handlers wait until they are let go. The end of their context does not help them.
type desk struct {
	let chan struct{} // each value lets one go; closed, all

	mu         sync.Mutex
	busy, most int // handlers at once
}

func newDesk() *desk { return &desk{let: make(chan struct{})} }

func (d *desk) handle(context.Context, *consumer.Delivery) error {
	d.count(+1)
	defer d.count(-1)
	<-d.let
	return nil
}

func (d *desk) count(by int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy += by
	d.most = max(d.most, d.busy)
}

// forget begins to count anew how many handlers there are at once.
func (d *desk) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.most = d.busy
}

func (d *desk) atWork() (busy, most int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.busy, d.most
}

func (r *rig) awaitBusy(d *desk, n int) {
	r.Helper()
	r.await(fmt.Sprintf("%d handlers at work", n), func() bool {
		busy, _ := d.atWork()
		return busy == n
	})
}

// awaitNote waits until the journal holds a note that begins so after the first n events.
func (r *rig) awaitNote(n int, text string) fsm.Event {
	r.Helper()
	var found fsm.Event
	r.await("the note "+text, func() bool {
		for _, e := range r.journal.Events()[n:] {
			if e.Kind == fsm.KindNote && strings.HasPrefix(e.Note, text) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// desks is a rig whose handlers wait at a desk, and whose queue holds so many messages.
func desks(t *testing.T, messages, concurrency, prefetch int) (*rig, *desk) {
	r, d := newRig(t), newDesk()
	rabbittest.NeedsControl(t)
	s := &r.config.Subscriptions[0]
	s.Handler, s.Concurrency, s.Prefetch = d.handle, concurrency, prefetch
	r.load(messages)
	return r, d
}

func (r *rig) wantStats(want consumer.Stats) {
	r.Helper()
	if got := r.c.Stats(); got != want {
		r.Errorf("%+v, want %+v", got, want)
	}
}

// Pause: what was not begun is ready again while handlers are at work, and those are acknowledged.
func TestPauseGivesBack(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 10, 2, 10)
	r.start()
	r.awaitBusy(d, 2)
	r.awaitDepth(r.queue, 0, 10)
	r.must(r.c.Pause(0))
	r.awaitDepth(r.queue, 8, 2)
	if n := r.consumers(); n != 0 {
		t.Errorf("the broker counts %d consumers", n)
	}
	r.awaitNote(0, "to be paused")
	r.awaitNote(0, "paused; 8 deliveries not begun went back to the queue")
	close(d.let)
	r.awaitDepth(r.queue, 8, 0)
	r.awaitState(consumer.Consuming)
	r.wantStats(consumer.Stats{Handled: 2, Returned: 8})
	r.must(r.c.Resume(0))
	r.awaitNote(0, "consuming, prefetch 10")
	r.awaitDepth(r.queue, 0, 0)
	r.stop()
	r.wantStats(consumer.Stats{Handled: 10, Returned: 8})
	r.replays()
}

// The connection is lost while the subscription is paused, and comes back: that is no reason to consume.
func TestPauseLastsOverCuts(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 10, 2, 10)
	r.start()
	r.awaitBusy(d, 2)
	r.must(r.c.Pause(0))
	r.awaitNote(0, "paused;")
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
	r.must(r.c.Resume(0))
	r.awaitDepth(r.queue, 0, 0)
	r.stop()
	if n := r.c.Stats().Handled; n != 10 {
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
	r.must(r.c.SetPrefetch(0, 7))
	r.awaitDepth(r.queue, 8, 12) // what came before does not count towards the new one
	r.awaitPrefetch(7)
	n := r.events()
	r.proxy.Reset()
	r.awaitEvent(n, consumer.Revived)
	r.awaitDepth(r.queue, 13, 7)
	r.awaitPrefetch(7)
	r.must(r.c.SetPrefetch(0, 1))
	close(d.let)
	r.awaitDepth(r.queue, 0, 0)
	r.awaitPrefetch(1)
	r.stop()
}

// awaitPrefetch waits until the broker has one consumer on the queue, with that prefetch.
func (r *rig) awaitPrefetch(want int) {
	r.Helper()
	r.await(fmt.Sprintf("one consumer, with prefetch %d", want), func() bool {
		text, err := r.node.Ctl(r.Context(), "list_consumers", "--quiet", "queue_name", "prefetch_count")
		r.must(err)
		var found []string
		for line := range strings.Lines(text) {
			if fields := strings.Fields(line); len(fields) == 2 && fields[0] == r.queue {
				found = append(found, fields[1])
			}
		}
		return slices.Equal(found, []string{strconv.Itoa(want)})
	})
}

// SetConcurrency: more handlers at once, and fewer when those at work have finished.
func TestSetConcurrencyUpAndDown(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 20, 1, 20)
	r.start()
	r.awaitBusy(d, 1)
	r.must(r.c.SetConcurrency(0, 6))
	r.awaitBusy(d, 6)
	r.must(r.c.SetConcurrency(0, 2))
	r.awaitNote(0, "concurrency 2")
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
	r.wantStats(consumer.Stats{Handled: 20})
}

// breaking is a rig whose breaker opens with the third failure, which is the second message's first.
func breaking(t *testing.T, fails func(n int) bool) *rig {
	r := newRig(t)
	rabbittest.NeedsControl(t)
	s := &r.config.Subscriptions[0]
	s.Retry = consumer.Retry{Attempts: 2, Backoff: consumer.Backoff{Initial: time.Millisecond, Max: time.Millisecond}}
	s.Breaker = consumer.Breaker{Failures: 3, Pause: 500 * time.Millisecond}
	s.Handler = func(ctx context.Context, d *consumer.Delivery) error {
		if fails(numberOf(d)) {
			return errFails
		}
		return nil
	}
	r.publish(5)
	r.start()
	r.awaitNote(0, "3 failures in a row: to be paused for 500ms")
	return r
}

// What the handler depends on is down: the messages wait in their queue.
func TestBreakerKeepsMessages(t *testing.T) {
	t.Parallel()
	var up atomic.Bool
	r := breaking(t, func(int) bool { return !up.Load() })
	r.await("no consumer, and the other messages ready", func() bool {
		ready, unacked, err := r.node.Depth(t.Context(), r.queue)
		if err != nil || ready != 4 || unacked != 0 || r.consumers() != 0 {
			return false
		}
		up.Store(true)
		return true
	})
	r.await("the rest to be handled", func() bool { return r.c.Stats().Handled == 4 })
	r.stop()
	r.awaitDepth(r.queue, 0, 0)
	r.deleteQueue(r.queue + ".parked")
}

// Bad messages in front of the queue do not stop it for good: each pause costs one of them its last attempt.
func TestBreakerDoesNotStall(t *testing.T) {
	t.Parallel()
	r := breaking(t, func(n int) bool { return n <= 3 })
	r.await("the good ones to be handled", func() bool { return r.c.Stats().Handled == 2 })
	r.stop()
	if s := r.c.Stats(); s.Parked != 3 {
		t.Errorf("%+v, want 3 parked", s)
	}
	r.awaitDepth(r.queue, 0, 0)
	r.deleteQueue(r.queue + ".parked")
}

// A handler that takes too long is told of before the broker closes its channel, on each connection.
func TestConsumerTimeoutWarning(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 1, 1, 1)
	r.config.ConsumerTimeout = 500 * time.Millisecond
	r.start()
	e := r.awaitNote(0, "delivery tag 1 has been with its handler")
	if e.Queue != r.queue || e.Class != string(broker.Precondition) {
		t.Errorf("%+v", e)
	}
	close(d.let)
	r.stop()
}

// Deliveries of one key are never handled at once, and for the first time in the queue's order, whatever
// happens to the connection.
func TestKeyOrderOverCuts(t *testing.T) {
	t.Parallel()
	const keys, messages = 8, 800
	r := newRig(t)
	rabbittest.NeedsControl(t)
	key := func(d *consumer.Delivery) string { return strconv.Itoa(numberOf(d) % keys) }
	var mu sync.Mutex
	busy, last, handled := map[string]bool{}, map[string]int{}, map[int]bool{}
	s := &r.config.Subscriptions[0]
	s.Concurrency, s.Prefetch, s.Key = 16, 100, key
	s.Handler = func(_ context.Context, d *consumer.Delivery) error {
		k, number := key(d), numberOf(d)
		mu.Lock()
		if busy[k] {
			t.Errorf("two of key %s at once", k)
		}
		busy[k] = true
		if !handled[number] && number < last[k] {
			t.Errorf("key %s: %d after %d", k, number, last[k])
		}
		last[k] = max(last[k], number)
		mu.Unlock()
		<-time.After(time.Duration(number%20) * time.Millisecond) // the work
		mu.Lock()
		busy[k], handled[number] = false, true
		mu.Unlock()
		return nil
	}
	progress := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(handled)
	}
	r.load(messages)
	r.start()
	for i := range 4 { // a reset, silence, a reset, an outage
		r.await("the handlers to get on", func() bool { return progress() >= (i+1)*messages/8 })
		n := r.events()
		r.cut(i)
		r.awaitEvent(n, consumer.Revived)
	}
	r.await("every message to be handled", func() bool { return progress() == messages })
	r.awaitDepth(r.queue, 0, 0)
	r.stop()
}

func numberOf(d *consumer.Delivery) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(string(d.Body), "message "))
	return n
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
			r.must(r.c.Resume(0))
			r.must(r.c.SetConcurrency(0, 16))
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
		r.must(r.c.Pause(0))
	case 1, 2:
		r.must(r.c.Resume(0))
	case 3:
		r.must(r.c.SetPrefetch(0, 10+rand.N(90)))
	case 4:
		r.must(r.c.SetConcurrency(0, 1+rand.N(16)))
	case 5: // before the first is done
		r.must(errors.Join(r.c.Pause(0), r.c.SetPrefetch(0, 10+rand.N(90)), r.c.Resume(0)))
	case 6:
		if rand.N(3) == 0 {
			r.proxy.Reset()
		}
	}
}

// offsets are those of a stream, as they were handled.
type offsets struct {
	mu    sync.Mutex
	order []int64
	times map[int64]int
}

func (o *offsets) handle(_ context.Context, d *consumer.Delivery) error {
	offset, ok := d.Headers["x-stream-offset"].(int64)
	if !ok {
		return errors.New("no offset")
	}
	<-time.After(2 * time.Millisecond) // the work
	o.mu.Lock()
	defer o.mu.Unlock()
	o.order = append(o.order, offset)
	o.times[offset]++
	return nil
}

func (o *offsets) distinct() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.times)
}

// inOrder checks that all were handled, and none but the one at work at a cut was handled again.
func (o *offsets) inOrder(t *testing.T, messages int) {
	t.Helper()
	for i, offset := range o.order {
		if i == 0 && offset != 0 || i > 0 && offset != o.order[i-1] && offset != o.order[i-1]+1 {
			t.Fatalf("offset %d at place %d of %v", offset, i, o.order)
		}
	}
	o.complete(t, messages)
}

// complete checks that all were handled, and the consumer never began anew.
func (o *offsets) complete(t *testing.T, messages int) {
	t.Helper()
	if len(o.times) != messages || slices.Max(slices.Collect(maps.Keys(o.times))) != int64(messages-1) {
		t.Errorf("%d offsets were handled, want %d", len(o.times), messages)
	}
	if n := o.times[0]; n != 1 {
		t.Errorf("the first offset was handled %d times", n)
	}
	t.Logf("%d offsets, handled %d times", len(o.times), len(o.order))
}

// stream is a rig that consumes a stream from its beginning.
func stream(t *testing.T, messages, concurrency int) (*rig, *offsets) {
	r, o := newRig(t), &offsets{times: map[int64]int{}}
	r.remake("stream", nil)
	s := &r.config.Subscriptions[0]
	s.Handler, s.Concurrency, s.Prefetch = o.handle, concurrency, 20
	s.Arguments = map[string]any{"x-stream-offset": "first"}
	r.load(messages)
	return r, o
}

// After a cut a stream is read on behind what was handled.
func TestStreamGoesOnAfterCuts(t *testing.T) {
	t.Parallel()
	for name, concurrency := range map[string]int{"stream-one": 1, "stream-many": 8} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const messages = 600
			r, o := stream(t, messages, concurrency)
			r.start()
			for i := range 4 {
				r.await("the handlers to get on", func() bool { return o.distinct() >= (i+1)*messages/8 })
				n := r.events()
				r.cut(i)
				r.awaitEvent(n, consumer.Revived)
			}
			r.await("every offset", func() bool { return o.distinct() == messages })
			r.stop()
			if concurrency == 1 {
				o.inOrder(t, messages)
			} else {
				o.complete(t, messages)
			}
		})
	}
}

// A stream takes nothing back: it is read on behind what was handled.
func TestStreamPausesAndResumes(t *testing.T) {
	t.Parallel()
	const messages = 300
	r, o := stream(t, messages, 1)
	r.start()
	for i := range 3 {
		r.await("the handler to get on", func() bool { return o.distinct() >= (i+1)*messages/5 })
		n := r.events()
		r.must(r.c.Pause(0))
		r.awaitNote(n, "paused")
		if n := r.consumers(); n != 0 {
			t.Errorf("the broker counts %d consumers", n)
		}
		if i == 1 {
			n = r.events()
			r.proxy.Reset()
			r.awaitEvent(n, consumer.Revived)
		}
		r.must(r.c.Resume(0))
		r.awaitNote(n, "consuming, prefetch ")
		n = r.events()
		r.must(r.c.SetPrefetch(0, 30+i))
		r.awaitNote(n, fmt.Sprintf("consuming, prefetch %d", 30+i))
	}
	r.await("every offset", func() bool { return o.distinct() == messages })
	r.stop()
	o.inOrder(t, messages)
}

// The broker takes nothing back into a stream, and dead-letters nothing.
func TestStreamOutcomes(t *testing.T) {
	t.Parallel()
	for _, e := range []ending{
		{
			name: "fails-then-succeeds", answers: times(2, errFails),
			calls: "11123", seen: "012", stats: consumer.Stats{Handled: 3, Failed: 2},
		},
		{
			name: "poison", answers: times(2, errFails), set: poison(consumer.DeadLetter, 2),
			calls: "1123", seen: "01", stats: consumer.Stats{Handled: 2, Failed: 2, Parked: 1},
			left: map[string]int{".parked": 1},
		},
		{
			name: "poison-put-back", answers: times(2, errFails), set: poison(consumer.PutBack, 1),
			calls: "11123", seen: "012", stats: consumer.Stats{Handled: 3, Failed: 2},
		},
		{
			name: "reject", answers: times(1, consumer.Reject),
			calls: "123", seen: "0", stats: consumer.Stats{Handled: 2, Rejected: 1},
		},
		{
			name: "requeue", answers: times(2, consumer.Requeue),
			calls: "11123", seen: "012", stats: consumer.Stats{Handled: 3},
		},
		{
			name: "retry-after-long", answers: times(1, consumer.RetryAfter(300*time.Millisecond)),
			calls: "1123", seen: "01", stats: consumer.Stats{Handled: 3},
			check: apart(300 * time.Millisecond),
		},
	} {
		t.Run("stream-"+e.name, func(t *testing.T) {
			t.Parallel()
			play(t, "stream", e)
		})
	}
}

// A soft stop gives back at once what was not begun, while handlers are still at work.
func TestSoftStopGivesBack(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 150, 16, 100)
	r.start()
	r.awaitBusy(d, 16)
	r.awaitDepth(r.queue, 50, 100)
	stopped := make(chan error)
	go func() { stopped <- r.c.Stop(context.Background()) }()
	r.awaitDepth(r.queue, 134, 16)
	r.await("no consumer", func() bool { return r.consumers() == 0 })
	close(d.let)
	if err := errors.Join(<-stopped, r.end()); err != nil {
		t.Error(err)
	}
	r.awaitDepth(r.queue, 134, 0)
	r.wantStats(consumer.Stats{Handled: 16, Returned: 84})
	if e := r.lastEvent(); e.Trigger != consumer.Stop || !strings.Contains(e.Note, "84 deliveries not begun and 0 not finished") {
		t.Errorf("the last event is %+v", e)
	}
}

// A hard stop leaves handlers behind. It says how many, and their messages are delivered again.
func TestHardStopGivesBack(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 20, 4, 10)
	defer close(d.let)
	r.start()
	r.awaitBusy(d, 4)
	r.awaitDepth(r.queue, 10, 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.c.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: %v", err)
	}
	if err := r.end(); !errors.Is(err, consumer.ErrUndrained) {
		t.Errorf("Run: %v", err)
	}
	if e := r.lastEvent(); e.Trigger != consumer.Stop || !strings.Contains(e.Note, "4 not finished") {
		t.Errorf("the last event is %+v", e)
	}
	r.awaitDepth(r.queue, 20, 0)
	r.config.Subscriptions[0].Handler = r.handle
	r.start()
	r.awaitDepth(r.queue, 0, 0)
	r.stop()
	if len(r.handled) != 20 {
		t.Errorf("%d messages were handled, want 20", len(r.handled))
	}
}

func (r *rig) lastEvent() fsm.Event {
	events := r.journal.Events()
	return events[len(events)-1]
}
