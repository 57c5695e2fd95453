package publish

import (
	"fmt"
	"slices"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// lost answers the end of a connection.
func (s *supervisor) lost(session *broker.Session, why *broker.Error) error {
	if s.session != session {
		return nil
	}
	worked, up := time.Since(s.since), s.lane != nil
	e := evidence(why)
	s.trouble, s.class = e.Error, e.Class
	e.Resent = s.drop(why)
	s.first++
	away := why.Class == broker.BrokerShutdown
	if !up { // a channel was lost before
		s.schedule.Extend(worked, away)
		return nil
	}
	e.BackoffMS = s.schedule.Start(worked, away).Milliseconds()
	e.Note = "after publishing for " + roughly(time.Since(s.began))
	if why.Class == broker.Heartbeat {
		e.SilenceMS = session.Silence().Milliseconds()
		return s.fire(HeartbeatFailed, e)
	}
	return s.fire(ConnectionError, e)
}

// laneLost answers the end of the channel. With that of the connection it is nothing of its own.
func (s *supervisor) laneLost(session *broker.Session, l *lane) error {
	if s.session != session || s.lane != l || session.Lost() {
		return nil
	}
	s.lane = nil
	why := l.channel.Err()
	e := evidence(why)
	s.trouble, s.class = e.Error, e.Class
	e.Resent = s.ledger.castDoubt(l, why)
	e.BackoffMS = s.schedule.Start(time.Since(s.since), false).Milliseconds()
	e.Note = "because of one of the messages that are not confirmed: they are sent again one by one"
	return s.fire(ChannelError, e)
}

// blocked answers connection.blocked and unblocked.
func (s *supervisor) blocked(session *broker.Session, active bool, reason string) error {
	if s.session != session {
		return nil
	}
	if s.blockedReason = ""; active {
		s.blockedReason = reason
	}
	s.ledger.block(active)
	s.current.block(active)
	state := s.machine.State()
	switch {
	case active && state == Publishing:
		return s.fire(ConnectionBlocked, Evidence{Note: reason})
	case !active && state == Blocked:
		return s.fire(ConnectionUnblocked, Evidence{Note: "after " + roughly(time.Since(s.began))})
	}
	return nil
}

// drop gives up the session. It returns how many messages are sent again.
func (s *supervisor) drop(why error) (resent int) {
	session := s.session
	s.session, s.lane = nil, nil
	close(s.dropped)
	s.current.set(nil, nil)
	if asBrokerError(why).EndedByBroker() {
		resent = s.ledger.killed(why)
	} else {
		resent = s.ledger.disconnected(why)
	}
	s.background.Go(session.Abort)
	return resent
}

// failed commits that an attempt failed, and schedules the next one or gives up.
func (s *supervisor) failed(f *broker.Error) error {
	s.trouble, s.class = f.Op+": "+f.Reason(), string(f.Class)
	if !s.heals(f) {
		return s.giveUp(FatalError, f, f)
	}
	e := evidence(f)
	e.BackoffMS = s.schedule.Failed().Milliseconds()
	if s.machine.State() == Connecting {
		s.schedule.Attempt = 1
		e.Note = broker.Hint(f)
		return s.fire(ConnectionError, e)
	}
	e.Attempt = s.schedule.Attempt
	spent := s.config.MaxReviveAttempts > 0 && s.schedule.Attempt >= s.config.MaxReviveAttempts
	if spent {
		e.BackoffMS = 0
	}
	began := s.began
	if err := s.fire(ReviveFailed, e); err != nil {
		return err
	}
	s.began = began // of the outage
	if spent {
		return s.giveUp(RetriesExhausted, f, fmt.Errorf("%w: %w", ErrRetriesExhausted, f))
	}
	s.schedule.Attempt++
	return nil
}

// heals tells whether to go on after such a failure.
func (s *supervisor) heals(f *broker.Error) bool {
	switch {
	case s.config.GiveUpOn != nil:
		if !slices.Contains(s.config.GiveUpOn, f.Class) {
			return true
		}
	case f.Class.Retryable(), f.Class == broker.Auth && s.config.Credentials != nil:
		return true
	}
	if !s.published || s.config.HealWithin < 0 {
		return false
	}
	if s.failing.IsZero() {
		s.failing = time.Now()
	}
	return time.Since(s.failing) < s.config.HealWithin
}

func (s *supervisor) giveUp(t fsm.Trigger, f *broker.Error, why error) error {
	gaveUp := &Error{State: s.machine.State(), Class: f.Class, Endpoint: f.Endpoint, Err: why}
	s.result = gaveUp
	if err := s.fire(t, evidence(f)); err != nil {
		return err
	}
	return errDone
}

// roughly is a duration for people.
func roughly(d time.Duration) string {
	if d < time.Minute {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
