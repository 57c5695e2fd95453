package consumer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/everhop/everhop/consumer"
)

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
	r.wantStats(consumer.Stats{Acknowledged: 16, ReturnedUnstarted: 84})
	if e := r.lastEvent(); e.Trigger != consumer.Stop || consumer.EvidenceOf(e).ReturnedUnstarted != 84 || consumer.EvidenceOf(e).Unfinished != 0 {
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
	if err := r.end(); !errors.Is(err, consumer.ErrUnfinished) {
		t.Errorf("Run: %v", err)
	}
	if e := r.lastEvent(); e.Trigger != consumer.Stop || consumer.EvidenceOf(e).Unfinished != 4 {
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
