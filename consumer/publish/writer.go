package publish

import "github.com/everhop/everhop/broker"

// watchLane has messages go out on a lane, and the supervisor hear of its end.
func (s *supervisor) watchLane(l *lane) {
	session := s.session
	s.ledger.attach(l)
	s.background.Go(func() { s.write(session, l) })
	s.background.Go(func() {
		<-l.channel.Lost()
		s.post(func() error { return s.laneLost(session, l) })
	})
}

// write is the writer of the main lane.
func (s *supervisor) write(session *broker.Session, l *lane) {
	for {
		c, inUse := s.ledger.next(l)
		switch {
		case !inUse:
			return
		case c == nil:
			s.post(func() error { return s.stuck(session, l) })
			continue
		}
		err := l.channel.Publish(&c.message)
		if err == nil {
			continue
		}
		if why := asBrokerError(err); l.channel.Err() == nil && !session.Lost() {
			// It was not written, and nobody else tells of an end: then the numbers do not agree any more.
			if why.Scope != broker.ScopeConnection {
				s.ledger.unwritten(l, c, err)
			}
			s.post(func() error { return s.lost(session, why) })
		}
		return
	}
}
