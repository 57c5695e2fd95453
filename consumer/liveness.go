package consumer

import (
	"context"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// arm sets the timer to what is to be looked at next: the silence of the broker while there is a
// session, the end of the back-off while there is something to revive.
func (s *supervisor) arm() {
	var wake time.Duration = -1
	sooner := func(d time.Duration) {
		if wake < 0 || d < wake {
			wake = max(d, 0)
		}
	}
	if s.session != nil && !s.probing && s.attempting == nil { // an attempt watches over itself
		wait := s.config.DrainTimeout - s.session.Silence()
		if s.session.Blocked() { // it would not answer
			wait = s.config.DrainTimeout
		}
		sooner(wait)
	}
	if s.machine.State() == Reviving && s.attempting == nil && !s.draining {
		sooner(time.Until(s.retryAt))
	}
	if wake < 0 {
		s.timer.Stop()
		return
	}
	s.timer.Reset(wake)
}

func (s *supervisor) tick() error {
	defer s.arm()
	if s.machine.State() == Reviving && s.attempting == nil && !s.draining && !time.Now().Before(s.retryAt) {
		s.begin()
		return nil
	}
	silent := s.session != nil && !s.session.Blocked() && s.session.Silence() >= s.config.DrainTimeout
	if !silent || s.probing || s.attempting != nil {
		return nil
	}
	if s.machine.State() == Consuming {
		if err := s.fire(DrainTimeout, fsm.Evidence{}); err != nil {
			return err
		}
	}
	// While Reviving, other subscriptions may be consuming on a healthy connection: it is probed all
	// the same, but its answer changes no state.
	s.probing = true
	session := s.session
	s.background.Go(func() {
		s.post(probed{session, session.Probe(context.Background())})
	})
	return nil
}

// probed is the outcome of a probe.
type probed struct {
	session *broker.Session
	err     error
}

func (p probed) apply(s *supervisor) error {
	if p.session != s.session {
		return s.record(fsm.KindStale, fsm.Evidence{
			Generation: p.session.Generation(), Endpoint: p.session.Endpoint().String(),
			Note: "probe of a connection that is not in use any more",
		})
	}
	s.probing = false
	defer s.arm()
	checking := s.machine.State() == HeartbeatCheck
	if p.err == nil {
		if !checking {
			return nil
		}
		return s.fire(HeartbeatOK, fsm.Evidence{})
	}
	e := evidence(failure(p.err))
	var err error
	if checking {
		err = s.startReviving(HeartbeatFailed, e)
	} else {
		e.Generation, e.Note = p.session.Generation(), "also lost meanwhile"
		err = s.record(fsm.KindNote, e)
	}
	if err == nil {
		s.dropSession()
	}
	return err
}
