package consumer_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

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
	*d = consumer.Delivery{}           // it is the handler's
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

// inOrder checks that all were handled, and none was handled again but the one at work when the stream was
// asked for again.
func (o *offsets) inOrder(t *testing.T, messages int) {
	t.Helper()
	for i, offset := range o.order {
		if i == 0 && offset != 0 || i > 0 && offset != o.order[i-1]+1 && offset != o.order[i-1] {
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
	s.Stream = &consumer.Stream{Offset: "first"}
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

// A stream that nobody called one is recognised by its deliveries: it is read on behind what was handled, too,
// and what is put back is handled again.
func TestStreamIsRecognised(t *testing.T) {
	t.Parallel()
	const messages = 200
	r, o := stream(t, messages, 1)
	s := &r.config.Subscriptions[0]
	s.Stream, s.Declare = nil, nil
	s.RequeuePause = time.Millisecond
	var requeued atomic.Bool
	s.Handler = func(ctx context.Context, d *consumer.Delivery) error {
		if requeued.CompareAndSwap(false, true) {
			return consumer.Requeue
		}
		return o.handle(ctx, d)
	}
	r.start()
	r.awaitState(consumer.Consuming)
	r.load(messages) // it begins with what is published from now on
	for i := range 3 {
		r.await("the handler to get on", func() bool { return o.distinct() >= (i+1)*messages/5 })
		n := r.events()
		r.cut(i)
		r.awaitEvent(n, consumer.Revived)
	}
	r.await("every offset", func() bool { return o.distinct() == messages })
	r.stop()
	if stats := r.c.Stats(); stats.Requeued != 0 {
		t.Errorf("%+v: nothing can be put back into a stream", stats)
	}
}

// A stream that is read from "next" is read on from the first message that came, if none was handled yet:
// also if that is the very first of the stream.
func TestStreamFromNext(t *testing.T) {
	t.Parallel()
	const messages = 10
	for _, test := range []struct {
		name   string
		before int   // messages in the stream
		cuts   int   // while the first messages are at work; 0: it gets another channel meanwhile
		err    error // their handlers' in the end
	}{
		{"next-behind-another", 1, 1, nil},
		{"next-behind-another-fails", 1, 1, errFails},
		{"next-of-an-empty-one", 0, 1, nil},
		{"next-of-an-empty-one-fails", 0, 1, errFails},
		{"next-of-an-empty-one-cut-twice", 0, 2, errFails},
		{"next-of-an-empty-one-steered", 0, 0, errFails},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r, o := stream(t, test.before, 2)
			let := make(chan struct{})
			s := &r.config.Subscriptions[0]
			s.Stream = &consumer.Stream{Offset: "next"}
			var began atomic.Int64
			s.Handler = func(ctx context.Context, d *consumer.Delivery) error {
				if began.Add(1) <= 2 {
					<-let
					if test.err != nil {
						return test.err
					}
				}
				return o.handle(ctx, d)
			}
			r.start()
			r.awaitState(consumer.Consuming)
			r.load(messages)
			r.await("two handlers at work", func() bool { return began.Load() == 2 })
			for i := range test.cuts {
				n := r.events()
				r.cut(i)
				r.awaitEvent(n, consumer.Revived)
			}
			if test.cuts == 0 {
				n := r.events()
				r.must(r.c.Subscription(r.queue).SetPrefetch(30))
				r.awaitNote(n, consumer.NotePrefetchSet)
			}
			close(let)
			r.await("all that came to be handled", func() bool { return o.distinct() == messages })
			r.stop()
		})
	}
}

// A handler that returns while the consumer reconnects has handled its message for good.
func TestStreamHandledWhileReconnecting(t *testing.T) {
	t.Parallel()
	const messages = 10
	r, o := stream(t, messages, 1)
	begun, let := make(chan struct{}), make(chan struct{})
	var calls atomic.Int64
	r.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
		if calls.Add(1) == 5 {
			close(begun)
			<-let
		}
		return o.handle(ctx, d)
	}
	r.start()
	<-begun
	r.await("what was handled to be acknowledged", func() bool { return r.c.Stats().Acknowledged == 4 })
	n := r.events()
	r.proxy.Freeze(rabbittest.Both)
	r.proxy.Reset()
	r.awaitEvent(n, consumer.ConnectionError)
	r.await("a new connection", func() bool { return r.proxy.Connections() > 0 })
	close(let)
	r.await("the handler to have returned", func() bool { return o.distinct() == 5 && r.c.Stats().Stale == 1 })
	r.proxy.Thaw()
	r.awaitEvent(n, consumer.Revived)
	r.await("every offset", func() bool { return o.distinct() == messages })
	r.stop()
	if n := calls.Load(); n != messages {
		t.Errorf("%d calls for %d messages: %v", n, messages, o.order)
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
		r.must(r.c.Subscription(r.queue).Pause())
		r.awaitNote(n, consumer.NotePaused)
		r.await("no consumer", func() bool { return r.consumers() == 0 })
		if i == 1 {
			n = r.events()
			r.proxy.Reset()
			r.awaitEvent(n, consumer.Revived)
		}
		r.must(r.c.Subscription(r.queue).Resume())
		r.awaitNote(n, consumer.NoteResumed)
		n = r.events()
		r.must(r.c.Subscription(r.queue).SetPrefetch(30 + i))
		r.awaitNote(n, consumer.NotePrefetchSet)
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
			calls: "11123", seen: "012", stats: consumer.Stats{Acknowledged: 3, Failed: 2},
		},
		{
			name: "poison", answers: times(2, errFails), set: poison(consumer.DeadLetter, 2),
			calls: "1123", seen: "01", stats: consumer.Stats{Acknowledged: 2, Failed: 2, Parked: 1},
			left: map[string]int{".parked": 1},
		},
		{
			name: "poison-put-back", answers: times(2, errFails), set: poison(consumer.PutBack, 1),
			calls: "11123", seen: "012", stats: consumer.Stats{Acknowledged: 3, Failed: 2},
		},
		{
			name: "reject", answers: times(1, consumer.Reject),
			calls: "123", seen: "0", stats: consumer.Stats{Acknowledged: 2, Rejected: 1},
		},
		{
			name: "requeue", answers: times(2, consumer.Requeue),
			calls: "11123", seen: "012", stats: consumer.Stats{Acknowledged: 3},
		},
		{
			name: "retry-after-long", answers: times(1, consumer.RetryAfter(delayed)),
			calls: "1123", seen: "01", stats: consumer.Stats{Acknowledged: 3},
			check: apart(delayed),
		},
	} {
		t.Run("stream-"+e.name, func(t *testing.T) {
			t.Parallel()
			play(t, "stream", e)
		})
	}
}
