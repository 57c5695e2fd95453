package consumer_test

import (
	"bytes"
	"context"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// What waits for a slow handler takes about PrefetchBytes of memory, and not as much as there is. It runs alone, or
// the memory would be somebody else's.
func TestPrefetchBytesBoundsMemory(t *testing.T) { //nolint:paralleltest // see above
	rabbittest.NeedsControl(t)
	const (
		messages, size = 40, 8 << 20
		atMost         = 64 << 20 // waits, and the collector lets as much garbage gather
		most           = 3 * atMost
	)
	r := newRig(t)
	s := &r.config.Subscriptions[0]
	s.PrefetchBytes = atMost
	var handled atomic.Int64
	let := make(chan struct{})
	s.Handler = func(context.Context, *consumer.Delivery) error {
		<-let
		handled.Add(1)
		return nil
	}
	body := bytes.Repeat([]byte("x"), size)
	r.withPublisher(func(p *broker.Publisher) {
		for range messages {
			confirm, err := p.Publish(r.Context(), broker.Message{RoutingKey: r.queue, Body: body})
			r.must(err)
			r.must(confirm.Wait(r.Context()))
		}
	})
	runtime.GC()
	before := heap()
	r.start()
	r.awaitNote(0, consumer.NotePrefetchHeld)
	r.awaitDepth(r.queue, messages-(1+2+4), 1+2+4)
	peak := heap() - before
	close(let)
	r.await("all to be handled", func() bool {
		peak = max(peak, heap()-before)
		return handled.Load() == messages
	})
	r.stop()
	t.Logf("%d messages of %d MiB took up to %d MiB", messages, size>>20, peak>>20)
	if peak > most {
		t.Errorf("%d MiB, want %d at most", peak>>20, most>>20)
	}
}

// heap is what objects take, dead ones among them.
func heap() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// The prefetch goes up and down with the sizes, and the broker knows.
func TestPrefetchBytesAtTheBroker(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 100, 1, 20)
	s := &r.config.Subscriptions[0]
	s.PrefetchBytes = 1 << 20
	r.start()
	r.awaitNote(0, consumer.NotePrefetchHeld) // until some are handled, since the Prefetch is 20
	r.awaitDepth(r.queue, 85, 1+2+4+8)
	for range 60 {
		d.let <- struct{}{}
	}
	r.awaitPrefetch(20)
	r.withPublisher(func(p *broker.Publisher) {
		confirm, err := p.Publish(r.Context(), broker.Message{RoutingKey: r.queue, Body: make([]byte, 300_000)})
		r.must(err)
		r.must(confirm.Wait(r.Context()))
	})
	close(d.let)
	r.awaitPrefetch(3)
	r.awaitDepth(r.queue, 0, 0)
	r.stop()
}

// A stream that was not said to be one is consumed with the whole Prefetch as soon as that is known, and nothing is
// passed over.
func TestPrefetchBytesOfAStream(t *testing.T) {
	t.Parallel()
	const messages = 300
	r, o := stream(t, messages, 1)
	s := &r.config.Subscriptions[0]
	s.Stream, s.PrefetchBytes = nil, 1<<20
	r.start()
	r.awaitState(consumer.Consuming)
	r.load(messages) // it begins with what is published from now on
	r.await("every offset", func() bool { return o.distinct() == messages })
	if n := consumer.EvidenceOf(r.awaitNote(0, consumer.NotePrefetchRaised)).Prefetch; n != 20 { // which list_consumers does not show
		t.Errorf("prefetch %d, want 20", n)
	}
	r.stop()
}
