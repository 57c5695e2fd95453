package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// Pause ends a subscription's consumer at the broker: nothing new is begun, handlers at work finish, and
// what they have not begun with goes back to the queue. The index is the place in
// Config.Subscriptions. The consumer's state stays what it is; events tell of the pause.
//
// A queue that is declared AutoDelete goes with its last consumer, and its messages with it: do not pause
// it, change its prefetch, or give it a Breaker.
//
// Pause, Resume, SetPrefetch and SetConcurrency return before the broker has answered. The change holds
// over revivals, and an event note says when it is done. They return ErrNotRunning before Run and when
// the consumer is stopping; an index that is not in Config.Subscriptions, and a number out of range, are
// errors.
func (c *Consumer) Pause(index int) error {
	return c.adjust(index, func(sub *subscription) string {
		sub.paused = true
		return "to be paused"
	})
}

// Resume consumes again after Pause, and at once if it was the Breaker that paused.
func (c *Consumer) Resume(index int) error {
	return c.adjust(index, func(sub *subscription) string {
		sub.paused = false
		sub.untrip()
		return "to be resumed"
	})
}

// SetPrefetch changes how many deliveries may be unacknowledged at once, 1 to 65535. The broker wants a
// new consumer for that: until what came before is settled, it may be as many more.
func (c *Consumer) SetPrefetch(index, prefetch int) error {
	if prefetch < 1 || prefetch > 65535 {
		return fmt.Errorf("consumer: SetPrefetch: %d is not between 1 and 65535", prefetch)
	}
	return c.adjust(index, func(sub *subscription) string {
		sub.prefetch = prefetch
		return fmt.Sprintf("prefetch to be %d", prefetch)
	})
}

// SetConcurrency changes how many deliveries are handled at once. When it shrinks, handlers at work
// finish first. It does not change the prefetch.
func (c *Consumer) SetConcurrency(index, concurrency int) error {
	if concurrency < 1 || concurrency > maxConcurrency {
		return fmt.Errorf("consumer: SetConcurrency: %d is not between 1 and %d", concurrency, maxConcurrency)
	}
	return c.adjust(index, func(sub *subscription) string {
		sub.change(func(v *view) { v.concurrency = concurrency })
		return fmt.Sprintf("concurrency %d", concurrency)
	})
}

// adjustment is a change of a subscription while the consumer runs.
type adjustment struct {
	sub   int
	edit  func(*subscription) (note string)
	reply chan<- error
}

func (c *Consumer) adjust(i int, edit func(*subscription) string) error {
	if i < 0 || i >= len(c.config.Subscriptions) {
		return fmt.Errorf("consumer: there is no subscription %d, but %d of them", i, len(c.config.Subscriptions))
	}
	if !c.started.Load() {
		return ErrNotRunning
	}
	reply := make(chan error, 1)
	select {
	case c.inbox <- adjustment{i, edit, reply}:
		return <-reply
	case <-c.done:
		return ErrNotRunning
	}
}

func (a adjustment) apply(s *supervisor) error {
	if s.draining {
		a.reply <- ErrNotRunning
		return nil
	}
	sub := s.subscriptions[a.sub]
	s.noteOf(sub, a.edit(sub))
	s.steer(sub)
	a.reply <- nil
	return nil
}

// tripped says that a subscription's breaker is open.
type tripped struct{ sub *subscription }

func (t tripped) apply(s *supervisor) error {
	if sub := t.sub; !sub.tripped && !s.draining {
		sub.tripped = true
		sub.trips++
		trip, pause := sub.trips, sub.spec.Breaker.Pause
		s.noteOf(sub, fmt.Sprintf("%d failures in a row: to be paused for %v", sub.spec.Breaker.Failures, pause))
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
		s.steer(r.sub)
	}
	return nil
}

// untrip closes the breaker: it counts anew.
func (sub *subscription) untrip() {
	sub.tripped = false
	sub.breaker.row.Store(0)
}

// intake is how the subscription is to be consumed now.
func (sub *subscription) intake() broker.Intake {
	return broker.Intake{Prefetch: sub.prefetch, Paused: sub.paused || sub.tripped, StreamOffset: sub.offset()}
}

// steer makes a consumer what its subscription wants to be. One that is being revived, or is steered
// already, is looked at again when that is done.
func (s *supervisor) steer(sub *subscription) {
	want, is := sub.intake(), sub.applied
	settled := want.Paused == is.Paused && (want.Paused || want.Prefetch == is.Prefetch)
	if sub.live == nil || sub.steered || settled || s.draining {
		return
	}
	sub.steered = true
	session, live, acks, isStream := s.session, sub.live, sub.view.Load().acks, sub.stream
	if want.Paused || isStream {
		sub.change(func(v *view) { v.paused = true })
	}
	s.background.Go(func() {
		o := steered{sub: sub, live: live, is: live, intake: want}
		if o.err = live.Cancel(context.Background()); o.err == nil {
			switch {
			case !want.Paused && isStream: // a new channel begins with what was not handled
				_ = live.Close(context.Background())
				if last := acks.handledUpTo(); last != nil { // by now
					want.StreamOffset = last.StreamOffset + 1
				}
				o.intake = want
				o.is, o.err = session.Consume(context.Background(), live.Index(), want)
			case !want.Paused:
				o.err = live.Resume(context.Background(), want)
			case !isStream: // its rest goes with the channel: it can only be acknowledged
				o.returned = sub.giveBackRest(acks)
			}
		}
		s.post(o)
	})
}

// steered is how steering ended.
type steered struct {
	sub      *subscription
	live, is *broker.Consumer // before and after
	intake   broker.Intake
	returned int
	err      error
}

func (o steered) apply(s *supervisor) error {
	sub := o.sub
	sub.steered = false
	if o.is != nil && o.is != o.live && (sub.live != o.live || s.draining) { // it comes too late
		s.background.Go(func() { _ = o.is.Close(context.Background()) })
	}
	if s.draining {
		if sub.live == o.live && o.is == o.live { // drain came before it was consumed again
			s.withdraw(sub)
		}
		return nil
	}
	if sub.live != o.live { // lost meanwhile, and perhaps revived as what it was to be then
		s.steer(sub)
		return nil
	}
	if o.err != nil {
		if o.is == nil { // a new channel was to take its place: nobody else reports that there is none
			return s.broken(ChannelError, sub, evidence(asBrokerError(o.err)))
		}
		return nil // its loss is reported
	}
	if o.is != o.live {
		sub.adopt(o.is, o.intake)
		if isLost(o.is) { // its Loss may have come before, when it had no place to arrive at
			return s.broken(ChannelError, sub, evidence(asBrokerError(errLostAgain)))
		}
	}
	sub.applied = o.intake
	sub.view.Load().acks.fit(o.intake.Prefetch)
	note := "paused"
	if !o.intake.Paused {
		note = fmt.Sprintf("consuming, prefetch %d", o.intake.Prefetch)
		sub.change(func(v *view) { v.paused = false }) // and look for deliveries again
	}
	if o.returned > 0 {
		note += fmt.Sprintf("; %d deliveries not begun went back to the queue", o.returned)
	}
	s.noteOf(sub, note)
	s.steer(sub)
	return nil
}

// noteOf commits a note about one subscription.
func (s *supervisor) noteOf(sub *subscription, note string) {
	s.record(fsm.KindNote, fsm.Evidence{
		Generation: s.generation, Queue: sub.spec.Queue, Scope: string(broker.ScopeSubscription), Note: note,
	})
}
