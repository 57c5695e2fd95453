package consumer

import (
	"fmt"
	"strings"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// loss is what a session has reported.
type loss struct {
	on      *connection
	session *broker.Session
	broker.Loss
}

// apply answers it. That of a session which is not in use any more was answered when that was given up.
func (l loss) apply(s *supervisor) error {
	if l.on.session != l.session {
		return nil
	}
	e := evidence(l.Err)
	e.Generation = l.Generation
	if l.Consumer == nil {
		return s.broken(ConnectionError, l.on, nil, e)
	}
	sub := s.subscriptions[l.Consumer.Index()]
	if sub.live != l.Consumer {
		e.Note = "loss of a consumer that is not in use any more"
		s.record(fsm.KindStale, StaleLoss, e)
		return nil
	}
	s.explain(sub, &e)
	return s.broken(ChannelError, l.on, sub, e)
}

// broken is the one way in which something that worked is given up: one subscription, or with nil the
// whole connection. It is to be revived then, or more is in the revival that is under way.
func (s *supervisor) broken(t fsm.Trigger, c *connection, sub *subscription, e Evidence) error {
	worked := time.Since(c.since)
	c.trouble = troubleOf(e)
	if sub != nil {
		worked = time.Since(sub.since)
		sub.trouble = c.trouble
	}
	if sub == nil {
		c.dies(worked, e)
	}
	if err := s.fall(t, c, sub, worked, e); err != nil {
		return err
	}
	defer s.setClock()
	if sub != nil {
		s.slowDown(sub, worked)
		sub.retired = sub.lose()
		return s.considerSubscription(sub, worked, e)
	}
	for _, sub := range c.subscriptions {
		s.slowDown(sub, worked)
	}
	s.drop(c)
	return s.considerConnection(c, e)
}

// fall commits that something was lost.
func (s *supervisor) fall(t fsm.Trigger, c *connection, sub *subscription, worked time.Duration, e Evidence) error {
	away := sub == nil && e.Class == string(broker.BrokerShutdown) && !hasSpoken(e)
	if !c.up {
		c.schedule.Extend(worked, away)
		if !c.isNew(sub) {
			e.Note = joined("lost too, while "+strings.ToLower(string(s.doing(c))), e.Note)
			if c != s.home {
				s.noteOn(c, NoteLossWhileReviving, e)
			} else {
				s.record(fsm.KindNote, NoteLossWhileReviving, e)
			}
		}
		return nil
	}
	e.BackoffMS = c.schedule.Start(worked, away).Milliseconds()
	e.Note = joined("after consuming for "+roughly(time.Since(c.entered)), e.Note)
	if n := c.schedule.Flaps; n > 1 {
		e.Note = joined(e.Note, fmt.Sprintf("soon after it began, %d times in a row", n))
	}
	c.up, c.entered = false, time.Now()
	if c != s.home {
		e.Note = joined("apart", e.Note)
		s.noteOn(c, NoteApartLost, e)
		return nil
	}
	return s.fire(t, e)
}

// isNew tells whether a loss takes away nothing that had worked: the attempt under way has opened the session, and
// says itself that it failed.
func (c *connection) isNew(sub *subscription) bool {
	if sub != nil || c.attempts == 0 {
		return false
	}
	for _, sub := range c.subscriptions {
		if sub.live != nil || sub.attempt == nil || !sub.attempt.opened {
			return false
		}
	}
	return true
}
func joined(note, more string) string {
	if note == "" || more == "" {
		return note + more
	}
	return note + "; " + more
}
