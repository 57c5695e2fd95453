package consumer

import (
	"context"
	"slices"
	"time"

	"github.com/everhop/everhop/broker"
)

// untilHome is how long it is still until what is well comes home.
func (s *supervisor) untilHome(sub *subscription) (wait time.Duration, comes bool) {
	if sub.on == s.home || sub.on.overflow || !s.home.up || s.stopping || sub.spec.stays() ||
		sub.live == nil || sub.steered || sub.applied.Paused || sub.window.isHeld() {
		return 0, false
	}
	well := min(wellAfter<<min(sub.exiles, 10), wellAtMost)
	return well - min(time.Since(sub.since), time.Since(s.home.entered)), true
}

// bringHome has a subscription that is well consumed on the shared connection again.
func (s *supervisor) bringHome(sub *subscription) {
	sub.steered, sub.oneByOne = true, false
	sub.exiles++
	home, session := s.home, s.home.session
	o := homecoming{steered{sub: sub, live: sub.live, was: sub.applied, intake: sub.intake()}, home, session}
	s.background.Go(func() {
		o.carryOut(s.calls)
		s.post(o)
	})
}

// homecoming is how it went.
type homecoming struct {
	steered
	home    *connection
	session *broker.Session
}

// carryOut asks for no more where it is, waits for what has come, and consumes at home. If handlers are busy for long it
// goes on where it is: what has come would come twice. It runs beside the supervisor.
func (o *homecoming) carryOut(ctx context.Context) {
	if o.err = o.live.Cancel(ctx); o.err != nil {
		return
	}
	switch o.sub.dispatch.finish(o.live) {
	case finished:
		_ = o.live.Close(ctx)
		o.intake.StreamOffset = o.sub.dispatch.channel().offset()
		o.is, o.err = o.sub.consume(ctx, o.session, &o.intake)
	case unfinished:
		o.is, o.err = o.live, o.live.Resume(ctx, o.intake)
	case ended:
		o.is = o.live
	}
}

func (o homecoming) apply(s *supervisor) error {
	sub, from := o.sub, o.sub.on
	sub.steered = false
	defer s.setClock()
	switch {
	case o.comesTooLate(s):
	case o.is != nil && o.is != o.live && s.home == o.home && s.home.session == o.session && !isLost(o.is):
		return o.arrive(s, from)
	case o.is != o.live: // it was cancelled, and is to be consumed again where it was
		o.closeNew(s)
		f := asBrokerError(o.err)
		if o.err == nil {
			f = asBrokerError(errLostAgain)
		}
		from.overflow = from.overflow || f.IsChannelLimit()
		return s.broken(ChannelError, from, sub, evidence(f))
	case o.err != nil: // its loss is reported
	default:
		sub.applied = o.intake
		sub.window.opened(o.intake)
		sub.dispatch.channel().fit(o.intake.Prefetch)
		s.steer(sub)
	}
	return nil
}

// arrive has it consumed at home.
func (o homecoming) arrive(s *supervisor, from *connection) error {
	sub := o.sub
	sub.live = nil
	s.move(sub, s.home)
	sub.adopt(o.is, o.intake)
	s.noteOf(sub, NoteHome, Evidence{Note: "consumed on the shared connection again"})
	if len(from.subscriptions) == 0 {
		s.forget(from)
	} else if err := s.rise(from); err != nil {
		return err
	}
	if !sub.applied.Paused {
		sub.dispatch.resume()
	}
	s.steer(sub)
	return nil
}

// forget ends a connection on which nothing is consumed any more.
func (s *supervisor) forget(c *connection) {
	s.connections = slices.DeleteFunc(s.connections, func(other *connection) bool { return other == c })
	if c.opening != nil {
		c.opening()
	}
	if c.session != nil {
		session := c.release()
		s.background.Go(func() {
			ctx, cancel := context.WithTimeout(s.calls, farewell)
			defer cancel()
			_ = session.Close(ctx)
		})
	}
}
