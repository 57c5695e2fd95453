package consumer

import (
	"context"
	"fmt"

	"github.com/everhop/everhop/broker"
)

// intake is how the subscription is to be consumed now.
func (sub *subscription) intake() broker.Intake {
	in := broker.Intake{
		Prefetch: sub.prefetch, Paused: sub.paused || sub.tripped, StreamOffset: sub.dispatch.channel().offset(),
		Apart: func(c *broker.Consumer, d *Delivery) bool { return sub.dispatch.rescues.take(c, d) },
	}
	if sub.window.watches() {
		in.Arrived = sub.window.arrived
	}
	if !sub.kind.isStream() { // which delivers whole chunks, and must begin anew for each change
		in.Prefetch = sub.window.next()
	}
	if sub.oneByOne {
		in.Prefetch = 1
	}
	return in
}

// asWanted tells whether it is consumed so. What a paused one's prefetch is does not matter.
func (sub *subscription) asWanted(want broker.Intake) bool {
	is := sub.applied
	if sub.window.isHeld() {
		return false
	}
	return want.Paused == is.Paused && (want.Paused || want.Prefetch == is.Prefetch)
}

// steer makes a consumer what its subscription wants to be. One that is being revived, or is steered
// already, is looked at again when that is done.
func (s *supervisor) steer(sub *subscription) {
	want := sub.intake()
	if sub.live == nil || sub.steered || s.stopping {
		return
	}
	crowded := !want.Paused && sub.isCrowded()
	if sub.asWanted(want) && !crowded {
		sub.asked = false
		return
	}
	if sub.window.isHeld() && !want.Paused && !sub.hasRoom() && !crowded { // looked at again when a worker has finished
		return
	}
	sub.steered = true
	if want.Paused || sub.kind.isStream() {
		sub.dispatch.pause()
	}
	session := sub.on.session
	o := steered{sub: sub, live: sub.live, is: sub.live, was: sub.applied, intake: want, crowded: crowded}
	s.background.Go(func() {
		o.carryOut(session)
		s.post(o)
	})
}

// steered is how steering ended.
type steered struct {
	sub      *subscription
	live, is *broker.Consumer // before and after
	was      broker.Intake
	intake   broker.Intake // to be
	held     bool          // cancelled, and to be resumed later
	crowded  bool          // what was put aside has filled the prefetch
	err      error
}

// carryOut asks the broker for the change. It runs beside the supervisor.
func (o *steered) carryOut(session *broker.Session) {
	ctx := context.Background()
	if o.err = o.live.Cancel(ctx); o.err != nil {
		return
	}
	switch {
	case o.intake.Paused:
		o.sub.dispatch.crew.fallSilent(o.live)
	case o.sub.kind.isStream(): // a new channel begins with what was not handled by now
		o.sub.dispatch.noteUnreceived(o.live)
		_ = o.live.Close(ctx)
		o.intake.StreamOffset = o.sub.dispatch.channel().offset()
		o.is, o.err = o.sub.consume(ctx, session, &o.intake)
	case !o.admit():
		o.held = true
	default:
		o.sub.dispatch.channel().begin(o.live)
		o.err = o.live.Resume(ctx, o.intake)
	}
}

func (o steered) apply(s *supervisor) error {
	sub := o.sub
	sub.steered = false
	switch {
	case o.comesTooLate(s):
	case o.err != nil && o.is == nil: // a new channel was to take its place: nobody else reports that there is none
		return s.broken(ChannelError, sub.on, sub, evidence(asBrokerError(o.err)))
	case o.err != nil: // its loss is reported
	default:
		return o.takeOver(s)
	}
	return nil
}

// comesTooLate tells whether the consumer was lost meanwhile, or a stop has begun. What is to be done then is done.
func (o steered) comesTooLate(s *supervisor) bool {
	inUse := o.sub.live == o.live
	if inUse && !s.stopping {
		return false
	}
	o.closeNew(s)
	switch {
	case !s.stopping: // it may have been revived as what it was to be then
		s.steer(o.sub)
	case inUse && o.is == o.live: // the stop came before it was consumed again
		s.withdraw(o.sub, func() {})
	}
	return true
}

// closeNew closes what was to take the consumer's place.
func (o steered) closeNew(s *supervisor) {
	if o.is != nil && o.is != o.live {
		s.background.Go(func() { _ = o.is.Close(context.Background()) })
	}
}

// takeOver has the subscription consumed as it was asked for.
func (o steered) takeOver(s *supervisor) error {
	sub := o.sub
	if o.is != o.live {
		sub.adopt(o.is, o.intake)
		if isLost(o.is) { // its Loss may have come before, when it had no place to arrive at
			return s.broken(ChannelError, sub.on, sub, evidence(asBrokerError(errLostAgain)))
		}
	}
	if o.held {
		if sub.window.hold() {
			s.noteOf(sub, NotePrefetchHeld, Evidence{Note: sub.window.reason() + ": nothing more until some of what has come is handled"})
		}
		if !o.intake.Paused { // what has come is handled meanwhile
			sub.dispatch.resume()
		}
		s.steer(sub) // perhaps it has been meanwhile
		return nil
	}
	sub.applied, sub.released = o.intake, false
	sub.window.opened(o.intake)
	sub.dispatch.channel().fit(o.intake.Prefetch)
	if !o.intake.Paused { // look for deliveries again
		sub.dispatch.resume()
	}
	name, e := o.note()
	sub.asked = false
	s.noteOf(sub, name, e)
	s.steer(sub)
	return nil
}

func (o steered) note() (name string, e Evidence) {
	sub := o.sub
	switch {
	case o.intake.Paused:
		name, e.Note = NotePaused, "paused"
		if n := o.sub.dispatch.channel().look().all(); n > 0 {
			e.Note += fmt.Sprintf("; %d deliveries stay in memory", n)
		}
	case o.was.Paused:
		name = NoteResumed
	case sub.asked:
		name = NotePrefetchSet
	case o.intake.Prefetch < o.was.Prefetch:
		name = NotePrefetchLowered
	default:
		name = NotePrefetchRaised
	}
	if !o.intake.Paused {
		e.Prefetch, e.Note = o.intake.Prefetch, fmt.Sprintf("consuming, prefetch %d", o.intake.Prefetch)
		if o.crowded {
			e.Note = fmt.Sprintf("%d deliveries wait in memory to be handled again: prefetch %d beside them", sub.dispatch.kept.aside(), o.intake.Prefetch)
		} else if o.intake.Prefetch < sub.prefetch {
			e.Note = fmt.Sprintf("%s: prefetch %d of %d", sub.window.reason(), o.intake.Prefetch, sub.prefetch)
		}
	}
	return name, e
}
