package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

// Stop comes while the consumer is being replaced: the new one is cancelled, too.
func TestStopWhileSteered(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 50, 1, 10)
	r.start()
	r.awaitBusy(d, 1)
	r.awaitDepth(r.queue, 40, 10)
	r.must(r.c.Subscription(r.queue).SetPrefetch(20))
	stopped := make(chan error)
	go func() { stopped <- r.c.Stop(context.Background()) }()
	r.awaitDepth(r.queue, 49, 1)
	r.await("no consumer", func() bool { return r.consumers() == 0 })
	close(d.let)
	if err := errors.Join(<-stopped, r.end()); err != nil {
		t.Error(err)
	}
}

// Delivery tags begin anew on each connection: a warning about the last one's says nothing about this one's.
func TestConsumerTimeoutWarningAgain(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 1, 2, 1)
	r.config.ConsumerTimeout = 500 * time.Millisecond
	r.start()
	r.awaitNote(0, consumer.NoteOverdue)
	n := r.events()
	r.proxy.Reset()
	n = r.awaitEvent(n, consumer.Revived)
	r.awaitNote(n, consumer.NoteOverdue)
	close(d.let)
	r.stop()
}

// Resume ends the breaker's pause, and not the next one's.
func TestBreakerPausesAnew(t *testing.T) {
	t.Parallel()
	const pause = 6 * time.Second
	r := newRig(t)
	at := make(chan time.Time, 10)
	s := &r.config.Subscriptions[0]
	s.Retry = consumer.Retry{Attempts: 1, Poison: consumer.PutBack}
	s.RequeuePause = time.Millisecond
	s.Breaker = consumer.Breaker{Failures: 2, Pause: pause}
	s.Handler = func(context.Context, *consumer.Delivery) error {
		at <- time.Now()
		return errFails
	}
	r.publish(1)
	r.start()
	r.awaitNote(0, consumer.NotePaused)
	<-time.After(pause / 6)
	n := r.events()
	r.must(r.c.Subscription(r.queue).Resume())
	r.awaitNote(n, consumer.NotePaused)
	began := time.Now() // the breaker is open for a little longer
	for len(at) > 0 {   // all before that
		<-at
	}
	if took := (<-at).Sub(began); took < pause/2 {
		t.Errorf("it was paused for %v, want %v", took, pause)
	}
	r.stop()
}

// What waits for its predecessor of the same key waits through a pause, and keeps its order.
func TestPauseKeepsWhatWaitsForItsKey(t *testing.T) {
	t.Parallel()
	r, d := desks(t, 20, 4, 10)
	r.config.Subscriptions[0].OrderingKey = func(*consumer.Delivery) string { return "same" }
	r.start()
	r.awaitBusy(d, 1)
	r.awaitDepth(r.queue, 10, 10)
	r.must(r.c.Subscription(r.queue).Pause())
	r.awaitNote(0, consumer.NotePaused)
	close(d.let)
	r.awaitDepth(r.queue, 10, 9)
	r.must(r.c.Subscription(r.queue).Resume())
	r.awaitDepth(r.queue, 0, 0)
	r.stop()
	r.wantStats(consumer.Stats{Acknowledged: 20})
}

// A stream does not deliver again what the parking queue refused for a while: it is tried until it is parked.
func TestStreamParksInTheEnd(t *testing.T) {
	t.Parallel()
	r, o := stream(t, 3, 1)
	r.session(broker.Subscription{Queue: r.queue + ".parked", Prefetch: 1, Declare: &broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-max-length": 0, "x-overflow": "reject-publish"}}})
	r.config.Subscriptions[0].Retry.Attempts = 1
	r.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
		if numberOf(d) == 1 {
			return errFails
		}
		return o.handle(ctx, d)
	}
	r.start()
	r.await("it to be refused", func() bool { return strings.Contains(r.log.String(), "could not be parked") })
	r.deleteQueue(r.queue + ".parked")
	r.await("it to be parked", func() bool { return r.c.Stats().Parked == 1 })
	r.stop()
	r.deleteQueue(r.queue + ".parked")
}
