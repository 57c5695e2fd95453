package consumer_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// What makes a quorum queue drop messages, as it drops what came back more often than its delivery limit: nothing of
// it may lose one. Where the queue has no limit of its own, the argument gives it RabbitMQ 4's.
func TestNoLifeIsTheLast(t *testing.T) {
	t.Parallel()
	const messages = 60
	for _, limit := range []int{consumer.DefaultDeliveryLimit, 3} {
		for _, test := range []struct {
			name  string
			first answer // of the handler
			spend func(*spender)
			setUp func(*consumer.Subscription)
		}{
			{"put back on purpose", putBack, (*spender).call, nil},
			{"put back as poison", fall, (*spender).call, nil},
			{"a breaker", fall, (*spender).trip, func(s *consumer.Subscription) {
				s.Breaker = consumer.Breaker{Failures: 5, Pause: 20 * time.Millisecond}
			}},
			{"pauses", linger, (*spender).pause, nil},
			{"connections", linger, (*spender).cut, nil},
			{"stops", linger, (*spender).restart, nil},
		} {
			t.Run(fmt.Sprintf("%s, limit %d", test.name, limit), func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				arguments := map[string]any{"x-delivery-limit": limit}
				if limit == consumer.DefaultDeliveryLimit && r.node.Has(rabbittest.DefaultLimit) {
					arguments = nil
				}
				r.remake("quorum", arguments)
				s := &spender{rig: r, answer: test.first, release: make(chan struct{})}
				sub := &r.config.Subscriptions[0]
				sub.Handler, sub.Concurrency = s.handle, 4
				sub.RequeuePause = 20 * time.Millisecond
				sub.Retry = consumer.Retry{Attempts: 1, Poison: consumer.PutBack}
				if arguments != nil { // of a queue that is not declared here
					sub.DeliveryLimit = limit
				}
				if test.setUp != nil {
					test.setUp(sub)
				}
				r.config.ReviveBackoff = consumer.Backoff{Initial: time.Millisecond, Max: 10 * time.Millisecond}
				r.load(messages)
				r.start()
				r.awaitState(consumer.Consuming)
				test.spend(s)
				s.let(succeed)
				r.awaitHandled()
				r.awaitDepth(r.queue, 0, 0)
				r.stop()
				t.Logf("%d calls; %+v", s.calls.Load(), r.c.Stats())
			})
		}
	}
}

// spender has messages come back.
type spender struct {
	*rig
	calls   atomic.Int64
	release chan struct{} // closed: slow handlers are to go on

	mu     sync.Mutex
	answer answer
}

// answer is what a handler does.
type answer int

const (
	succeed answer = iota
	putBack
	fall
	linger // until it is released, or its context ends
)

// let has handlers answer so from now on.
func (s *spender) let(a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer == linger {
		close(s.release)
		s.release = make(chan struct{})
	}
	s.answer = a
}

func (s *spender) handle(ctx context.Context, d *consumer.Delivery) error {
	s.calls.Add(1)
	s.mu.Lock()
	answer, release := s.answer, s.release
	s.mu.Unlock()
	switch answer {
	case putBack:
		return consumer.Requeue
	case fall:
		return errFails
	case linger:
		select {
		case <-release:
		case <-ctx.Done():
			return consumer.Requeue
		}
	}
	return s.rig.handle(ctx, d)
}

func (s *spender) awaitCalls(n int64) {
	s.Helper()
	s.await(fmt.Sprintf("%d calls", n), func() bool { return s.calls.Load() >= n })
}

func (s *spender) call() {
	s.awaitCalls(50 * 60)
}

func (s *spender) trip() {
	s.await("60 trips", func() bool { return s.notes(consumer.NoteBreakerOpen) >= 60 })
}

func (s *spender) notes(name string) (n int) {
	for _, e := range s.journal.Events() {
		if e.Name == name {
			n++
		}
	}
	return n
}

func (s *spender) pause() {
	for i := range 50 {
		s.must(s.c.Subscription(s.queue).Pause())
		s.await("a pause", func() bool { return s.notes(consumer.NotePaused) > i })
		s.must(s.c.Subscription(s.queue).Resume())
		s.await("its end", func() bool { return s.notes(consumer.NoteResumed) > i })
	}
}

func (s *spender) cut() {
	for range 100 {
		n := s.events()
		s.proxy.Reset()
		s.awaitEvent(n, consumer.Revived)
		<-time.After(20 * time.Millisecond) // for deliveries
	}
}

func (s *spender) restart() {
	s.config.GracePeriod = 200 * time.Millisecond
	for range 30 {
		s.stop()
		s.start()
		s.awaitState(consumer.Consuming)
		<-time.After(20 * time.Millisecond)
	}
}
