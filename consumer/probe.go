package consumer

import (
	"context"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// probe asks a silent broker whether it is there.
func (s *supervisor) probe(c *connection) error {
	if s.doing(c) == Consuming {
		if err := s.fire(DrainTimeout, Evidence{}); err != nil {
			return err
		}
	}
	// While Reviving, other subscriptions may be consuming on a healthy connection, and something may be apart: it is
	// probed all the same, but a good answer changes no state.
	c.probing = true
	session := c.session
	s.background.Go(func() {
		err := session.Probe(context.Background())
		s.post(probed{c, session, err, time.Now()})
	})
	return nil
}

// probed is the outcome of a probe.
type probed struct {
	on      *connection
	session *broker.Session
	err     error
	at      time.Time
}

func (p probed) apply(s *supervisor) error {
	c := p.on
	if p.session != c.session {
		s.record(fsm.KindStale, StaleProbe, Evidence{
			Generation: p.session.Generation(), Endpoint: p.session.Endpoint().String(),
			Note: "probe of a connection that is not in use any more",
		})
		return nil
	}
	c.probing = false
	defer s.setClock()
	checking := s.doing(c) == HeartbeatCheck
	alive := p.err == nil || p.session.Silence() < time.Since(p.at) // bytes came in after the verdict
	switch {
	case alive && checking:
		return s.fire(HeartbeatOK, Evidence{})
	case alive:
		return nil
	}
	e := evidence(asBrokerError(p.err))
	e.Generation = p.session.Generation()
	if checking {
		e.SilenceMS = p.session.Silence().Milliseconds()
		return s.broken(HeartbeatFailed, c, nil, e)
	}
	return s.broken(ConnectionError, c, nil, e)
}
