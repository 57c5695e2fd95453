package consumer

import (
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/consumer/internal/measure"
)

// Status never blocks, and costs little: what the supervisor has shown is read, and nobody is asked. It tells of the state
// and of a stop at once, and of all else once the supervisor has answered what has happened.
func (c *Consumer) Status() Status {
	b := c.board
	entered := b.entered.Load() // before the state, which it is not to be ahead of
	last := c.machine.Last()
	entered = entered.follow(&last)
	now, is := time.Now(), b.shown.Load()
	s := Status{
		Name: c.config.Name, Time: now, State: last.To, Since: entered.since,
		NotReady:      b.notReady(last.To, entered, is),
		NotAlive:      b.notAlive(now, c.config.GracePeriod),
		Connections:   make([]ConnectionStatus, len(is.connections)),
		subscriptions: b.subscriptions,
	}
	for i := range is.connections {
		s.Connections[i] = is.connections[i].status()
	}
	if stalls := b.stalls.Load(); stalls != nil {
		s.Stalls = *stalls
	}
	return s
}

func (f *connectionFacts) status() ConnectionStatus {
	s := ConnectionStatus{
		Home: f.home, Endpoint: f.endpoint, Generation: f.generation, Open: f.session != nil, Since: f.since,
		BlockedSince: f.blockedSince, BlockedReason: f.blockedReason,
		Attempt: f.attempt, NextAttempt: f.next, Error: f.trouble.text, Class: f.trouble.class,
		Subscriptions: f.subscriptions,
	}
	if f.session != nil {
		s.Silence = f.session.Silence()
	}
	return s
}

// timeOf is when a stamp was made, by the clock of now.
func (b *board) timeOf(stamp int64) time.Time {
	now := time.Now()
	return now.Add(time.Duration(stamp) - now.Sub(b.epoch))
}

// subscriptionStatus is what there is to read of one subscription.
type subscriptionStatus struct {
	board    *board
	spec     *Subscription
	counts   *counts
	shown    atomic.Pointer[shownSubscription] // nil before Run
	dispatch atomic.Pointer[dispatcher]        // nil before Run
}

func (s *subscriptionStatus) now() SubscriptionStatus {
	status := SubscriptionStatus{
		Queue: s.spec.Queue, Type: s.spec.declaredType(), MaxPrefetch: s.spec.Prefetch, Concurrency: s.spec.Concurrency,
		Stats: s.counts.stats(),
	}
	if f := s.shown.Load(); f != nil {
		status.Doing, status.Since, status.Until = f.doing, f.since, f.until
		status.Why, status.Apart, status.Class = f.why, f.apart, f.class
		status.Named, status.Generation = f.named, f.generation
		status.Prefetch, status.MaxPrefetch = f.prefetch, f.maxPrefetch
	}
	s.override(&status)
	if d := s.dispatch.Load(); d != nil {
		status.Type, status.Concurrency = d.kind.name(), d.crew.size()
		status.Handling = HandlingTime(d.crew.measures.Summary())
		d.tell(&status)
	} else {
		status.Handling = HandlingTime(new(measure.Calls).Summary())
	}
	return status
}

// override is for what comes before Run, and in the end.
func (s *subscriptionStatus) override(status *SubscriptionStatus) {
	b, r := s.board, s.board.result.Load()
	is := func(doing Doing, since time.Time) {
		status.Doing, status.Since, status.Prefetch = doing, since, 0
		status.Until = time.Time{}
	}
	switch {
	case r != nil:
		is(DoingNothing, r.at)
	case !b.started.Load():
		is(DoingNothing, b.epoch)
	case b.isStopping():
		is(DoingStop, b.timeOf(b.stopping.stamp.Load()))
	case status.Doing == "": // the supervisor is about to begin
		is(DoingRevive, b.epoch)
	}
}

// tell adds what workers have in hand, and what waits for them.
func (d *dispatcher) tell(s *SubscriptionStatus) {
	now, is := time.Now(), d.crew.look()
	timeOf := func(stamp int64) time.Time {
		if stamp == 0 {
			return time.Time{}
		}
		return now.Add(-d.crew.measures.Since(stamp))
	}
	s.OldestInFlight, s.LastDelivery, s.LastSettled = timeOf(is.oldest), timeOf(is.began), timeOf(is.ended)
	kept, behind := d.kept.putAside()
	s.InFlight = is.withHandlers
	s.Aside = is.waitForRetry + kept + behind + int(d.elsewhere.Load())
	s.Waiting = is.waitForTurn + max(0, d.unstarted()-behind)
}
