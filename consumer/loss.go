package consumer

import (
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// lost answers a Loss of the current session.
func (s *supervisor) lost(l broker.Loss) error {
	e := evidence(l.Err)
	e.Generation = l.Generation
	if l.Consumer == nil {
		return s.broken(ConnectionError, nil, e)
	}
	sub := s.subscriptions[l.Consumer.Index()]
	if sub.live != l.Consumer {
		e.Note = "loss of a consumer that is not in use any more"
		s.record(fsm.KindStale, StaleLoss, e)
		return nil
	}
	s.explain(sub, &e)
	return s.broken(ChannelError, sub, e)
}

// broken is the one way in which something that worked is given up: one subscription, or with nil the
// whole connection. It leads into Reviving, or extends the revival that is under way.
func (s *supervisor) broken(t fsm.Trigger, sub *subscription, e Evidence) error {
	worked := time.Since(s.since)
	if sub != nil {
		worked = time.Since(sub.since)
	}
	away := sub == nil && e.Class == string(broker.BrokerShutdown)
	switch s.machine.State() {
	case Consuming, HeartbeatCheck:
		e.BackoffMS = s.schedule.start(worked, away).Milliseconds()
		e.Note = joined("after consuming for "+roughly(time.Since(s.entered)), e.Note)
		s.entered = time.Now()
		if err := s.fire(t, e); err != nil {
			return err
		}
	default: // Reviving already, or Disconnected and stopping
		s.schedule.extend(worked, away)
		e.Note = joined("lost too, while reviving", e.Note)
		s.record(fsm.KindNote, NoteLossWhileReviving, e)
	}
	if sub != nil {
		s.slowDown(sub, worked)
		sub.retired = sub.lose()
	} else {
		for _, sub := range s.subscriptions {
			s.slowDown(sub, worked)
		}
		s.dropSession()
	}
	s.setClock()
	return nil
}

func joined(note, more string) string {
	if note == "" || more == "" {
		return note + more
	}
	return note + "; " + more
}

// dropSession gives up the connection; whoever works on it finds it closed.
func (s *supervisor) dropSession() {
	session := s.session
	s.session = nil
	s.probing = false
	s.first++ // another endpoint than the one that failed
	for _, sub := range s.subscriptions {
		sub.lose()
		sub.retired = nil
	}
	s.background.Go(session.Abort)
}

// noteBlocked records that the broker has stopped reading, or reads again.
func (s *supervisor) noteBlocked(b broker.Blocked) {
	name, note := NoteUnblocked, "the broker reads again (connection.unblocked)"
	if b.Active {
		name, note = NoteBlocked, "the broker stopped reading (connection.blocked: "+b.Reason+"); only heartbeats tell that it lives"
	}
	s.record(fsm.KindNote, name, Evidence{
		Generation: b.Generation, Endpoint: s.session.Endpoint().String(), Note: note,
	})
}
