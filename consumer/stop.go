package consumer

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// cutGrace is how long handlers may take to return once their context was cancelled, and how
	// long anything else may take that was told to end.
	cutGrace = time.Second
	// farewell is how long the broker may take to answer when the connection is closed; a silent one
	// is noticed sooner.
	farewell = 5 * time.Second
)

// stopSoftly begins the stop: no more deliveries are taken, the broker is asked to send no more, handlers
// may finish. Observations are answered as before, but nothing is revived any more.
func (s *supervisor) stopSoftly() {
	for _, sub := range s.subscriptions {
		s.noteReleased(sub)
	}
	s.stopping = true
	s.board.stop()
	s.before = sumOf(s.counts)
	// Opening a connection is cancelled. An attempt that works on one over which handlers will acknowledge is left
	// alone.
	for _, c := range s.connections {
		if c.opening != nil {
			c.opening()
		}
	}
	var withdrawals sync.WaitGroup
	for _, sub := range s.subscriptions {
		sub.dispatch.stop()
		withdrawals.Add(1)
		s.withdraw(sub, withdrawals.Done)
	}
	s.deadline = time.After(s.config.GracePeriod)
	go func() { // nobody's, because a handler that never returns must not keep Run
		s.waitWorkers()
		for _, sub := range s.subscriptions {
			sub.dispatch.channel().flush()
		}
		s.post(returned{})
		withdrawn := make(chan struct{})
		go func() {
			withdrawals.Wait()
			close(withdrawn)
		}()
		select {
		case <-withdrawn: // now it can be told how much went back
		case <-time.After(cutGrace):
		}
		s.post(allReturned{})
	}()
}

// withdraw ends a subscription's consumer: others shall get what has come and what comes now. A single active
// consumer's successor gets all of it at once, when the connection is closed.
func (s *supervisor) withdraw(sub *subscription, done func()) {
	c := sub.live
	if c == nil || sub.spec.isSingleActive() {
		done()
		return
	}
	s.background.Go(func() {
		defer done()
		if c.Cancel(context.Background()) == nil {
			sub.dispatch.giveBack(c)
		}
	})
}

// returned says that every handler has returned.
type returned struct{}

func (returned) apply(s *supervisor) error {
	s.returned = true
	return nil
}

// allReturned says that what was not begun has gone back, too.
type allReturned struct{}

func (allReturned) apply(s *supervisor) error { return s.finish() }

// stopHard is called when the grace period is over or the caller's patience is: first the handlers'
// context is cancelled, and if they do not return on that either, they are left behind.
func (s *supervisor) stopHard() error {
	if s.returned || s.cut {
		s.abandoned = true
		if !s.returned && s.result == nil {
			s.result = ErrUnfinished
		}
		return s.finish()
	}
	s.cut = true
	s.cancelWork()
	if !s.stopping {
		s.stopSoftly()
	}
	s.deadline = time.After(cutGrace)
	return nil
}

// finish closes the connection and commits the end.
func (s *supervisor) finish() error {
	s.cancelCalls()
	s.closeAll()
	s.tellOutcomes(s.subscriptions, true)
	if s.machine.State() != Disconnected {
		if err := s.fire(Stop, s.leftovers()); err != nil && s.result == nil {
			s.result = err
		}
	}
	return errDone
}

// closeAll closes the connections: gracefully, or the last acknowledgements might be thrown away.
func (s *supervisor) closeAll() {
	limit := farewell
	if s.cut {
		limit = cutGrace
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if !s.cut {
		s.background.Go(func() { // the caller's patience may end now, too
			select {
			case <-s.hard:
				cancel()
			case <-ctx.Done():
			}
		})
	}
	var all sync.WaitGroup
	for _, c := range s.connections {
		if session := c.session; session != nil {
			all.Go(func() {
				if s.abandoned {
					session.Abort()
				} else {
					_ = session.Close(ctx)
				}
			})
		}
	}
	all.Wait()
}

// leftovers tells what went back to the queues, or does now, since the consumer was told to stop.
func (s *supervisor) leftovers() (e Evidence) {
	now := sumOf(s.counts)
	e.ReturnedUnstarted, e.Unfinished = now.ReturnedUnstarted-s.before.ReturnedUnstarted, now.Requeued-s.before.Requeued
	for _, sub := range s.subscriptions {
		if sub.live != nil {
			unstarted, all := sub.dispatch.unstarted(), sub.dispatch.channel().look().all()
			e.ReturnedUnstarted += uint64(unstarted)
			e.Unfinished += uint64(all - unstarted)
		}
	}
	if e.ReturnedUnstarted+e.Unfinished > 0 {
		e.Note = fmt.Sprintf("%d deliveries not begun and %d not finished went back to their queues", e.ReturnedUnstarted, e.Unfinished)
	}
	return e
}

// end leaves nothing behind but functions of the caller's that do not return.
func (s *supervisor) end() {
	close(s.gone)
	var rest []func()
	for _, sub := range s.subscriptions {
		rest = append(rest, sub.dispatch.calls.end())
	}
	s.clock.Stop()
	s.overdue.Stop()
	s.cancelWork()
	s.cancelCalls()
	over := make(chan struct{})
	go func() {
		s.background.Wait()
		for _, wait := range rest { // for Commit, OnStale and OnSettled
			wait()
		}
		if !s.abandoned {
			s.waitWorkers()
		}
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(cutGrace):
	}
}

func (s *supervisor) waitWorkers() {
	for _, sub := range s.subscriptions {
		sub.dispatch.wait()
	}
}
