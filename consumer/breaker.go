package consumer

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Breaker pauses a subscription after a run of failures over all its messages: what the handler depends
// on is probably down, and the messages wait instead of being tried in vain. After Pause it consumes again,
// and counts anew. The messages that fail while it opens are handled again then, whatever their
// attempts; those that failed too often before that are poison, as ever. See [Unavailable] for what is known not to
// be the message's fault.
type Breaker struct {
	// Failures is how many calls of the handler in a row must fail to pause it. It must be more than
	// Retry.Attempts times Concurrency: so each time some messages come to the end of their
	// attempts, and a few bad ones in front of the queue cannot stop it for good. Defaults to 0:
	// never.
	Failures int
	// Pause defaults to 30 s. After [Unavailable] it is the longest one.
	Pause time.Duration
}

// breakerProblem says why a Breaker would not do with so many handlers at once.
func (s Subscription) breakerProblem(concurrency int) string {
	least := s.Retry.Attempts * concurrency
	if s.Breaker.Failures == 0 || s.Breaker.Failures > least {
		return ""
	}
	return fmt.Sprintf("Breaker.Failures: %d is not more than Retry.Attempts times Concurrency, %d: a few bad messages could stop it for good",
		s.Breaker.Failures, least)
}

// breaker counts failures in a row.
type breaker struct {
	limit int64 // 0: never open
	row   atomic.Int64
}

// failed tells whether it is open now.
func (b *breaker) failed() bool {
	return b.limit > 0 && b.row.Add(1) >= b.limit
}

func (b *breaker) succeeded() {
	if b.row.Load() != 0 { // a store is what other processors would have to be told of
		b.row.Store(0)
	}
}

// tripped says that a subscription's breaker is open.
type tripped struct{ sub *subscription }

func (t tripped) apply(s *supervisor) error {
	sub := t.sub
	missing := sub.dispatch.absence.take()
	if !sub.tripped && !s.stopping {
		sub.tripped = true
		sub.trips++
		trip, pause := sub.trips, sub.spec.Breaker.Pause
		e := Evidence{Note: fmt.Sprintf("%d failures in a row: to be paused for %v", sub.spec.Breaker.Failures, pause)}
		if missing != nil {
			e, pause = sub.dispatch.absence.restFor(*missing, pause)
		}
		sub.rests, sub.tripWhy = time.Now().Add(pause), joined(e.Error, e.Note)
		s.noteOf(sub, NoteBreakerOpen, e)
		s.steer(sub)
		time.AfterFunc(pause, func() { s.post(rested{sub, trip}) })
	}
	return nil
}

// rested says that an open breaker's pause is over.
type rested struct {
	sub  *subscription
	trip int
}

func (r rested) apply(s *supervisor) error {
	if r.sub.tripped && r.sub.trips == r.trip { // else Resume was called meanwhile
		r.sub.untrip()
		s.noteOf(r.sub, NoteBreakerClosed, Evidence{Note: "the breaker's pause is over: to be resumed"})
		s.steer(r.sub)
	}
	return nil
}

// untrip closes the breaker: it counts anew.
func (sub *subscription) untrip() {
	sub.tripped = false
	sub.dispatch.heal()
}
