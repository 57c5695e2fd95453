package consumer_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// breaking is a rig whose breaker opens with the third failure, which is the second message's first.
func breaking(t *testing.T, pause time.Duration, fails func(n int) bool) *rig {
	r := newRig(t)
	rabbittest.NeedsControl(t)
	s := &r.config.Subscriptions[0]
	s.Retry = consumer.Retry{Attempts: 2, Backoff: consumer.Backoff{Initial: time.Millisecond, Max: time.Millisecond}}
	s.Breaker = consumer.Breaker{Failures: 3, Pause: pause}
	s.Handler = func(ctx context.Context, d *consumer.Delivery) error {
		if fails(numberOf(d)) {
			return errFails
		}
		return nil
	}
	r.publish(5)
	r.start()
	r.awaitNote(0, consumer.NoteBreakerOpen)
	return r
}

// What the handler depends on is down: the messages wait.
func TestBreakerKeepsMessages(t *testing.T) {
	t.Parallel()
	var up atomic.Bool
	r := breaking(t, 15*time.Second, func(int) bool { return !up.Load() }) // time to look at the queue
	r.await("no consumer, and the other messages there", func() bool {
		ready, unacked, err := r.node.Depth(t.Context(), r.queue)
		if err != nil || ready+unacked != 4 || r.consumers() != 0 {
			return false
		}
		up.Store(true)
		return true
	})
	r.await("the rest to be handled", func() bool { return r.c.Stats().Acknowledged == 4 })
	r.stop()
	r.awaitDepth(r.queue, 0, 0)
	r.deleteQueue(r.queue + ".parked")
}

// Bad messages in front of the queue do not stop it for good: each pause costs one of them its last attempt.
func TestBreakerDoesNotStall(t *testing.T) {
	t.Parallel()
	r := breaking(t, 100*time.Millisecond, func(n int) bool { return n <= 3 })
	r.await("the good ones to be handled, and the others parked", func() bool {
		s := r.c.Stats()
		return s.Acknowledged == 2 && s.Parked == 3
	})
	r.stop()
	r.awaitDepth(r.queue, 0, 0)
	r.deleteQueue(r.queue + ".parked")
}
