package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// arm sets the timer to what is to be looked at next: the silence of the broker while there is a
// session, the schedule while there is something to revive.
func (s *supervisor) arm() {
	wake := time.Duration(-1)
	sooner := func(d time.Duration) {
		if wake < 0 || d < wake {
			wake = max(d, 0)
		}
	}
	if s.watching() {
		sooner(s.config.DrainTimeout - s.silence())
	}
	if s.waiting() {
		sooner(time.Until(s.schedule.at))
	}
	if wake < 0 {
		s.timer.Stop()
		return
	}
	s.timer.Reset(wake)
}

// watching tells whether the broker's silence is the supervisor's business: an attempt watches over its
// own connection.
func (s *supervisor) watching() bool {
	return s.session != nil && !s.probing && s.cancelAttempt == nil
}

// silence is how long the broker has been silent without a reason. While it is blocked it would not
// answer a probe; only amqp091-go's heartbeat tells then that it lives.
func (s *supervisor) silence() time.Duration {
	if s.session.Blocked() {
		return 0
	}
	return s.session.Silence()
}

// waiting tells whether an attempt is to begin.
func (s *supervisor) waiting() bool {
	return s.machine.State() == Reviving && s.cancelAttempt == nil && !s.draining
}

func (s *supervisor) tick() error {
	defer s.arm()
	if s.waiting() && s.schedule.due() {
		s.begin()
		return nil
	}
	if !s.watching() || s.silence() < s.config.DrainTimeout {
		return nil
	}
	if s.machine.State() == Consuming {
		if err := s.fire(DrainTimeout, fsm.Evidence{}); err != nil {
			return err
		}
	}
	// While Reviving, other subscriptions may be consuming on a healthy connection: it is probed all
	// the same, but a good answer changes no state.
	s.probing = true
	session := s.session
	s.background.Go(func() {
		err := session.Probe(context.Background())
		s.post(probed{session, err, time.Now()})
	})
	return nil
}

// probed is the outcome of a probe.
type probed struct {
	session *broker.Session
	err     error
	at      time.Time
}

func (p probed) apply(s *supervisor) error {
	if p.session != s.session {
		s.record(fsm.KindStale, fsm.Evidence{
			Generation: p.session.Generation(), Endpoint: p.session.Endpoint().String(),
			Note: "probe of a connection that is not in use any more",
		})
		return nil
	}
	s.probing = false
	defer s.arm()
	checking := s.machine.State() == HeartbeatCheck
	alive := p.err == nil || s.session.Silence() < time.Since(p.at) // bytes came in after the verdict
	switch {
	case alive && checking:
		return s.fire(HeartbeatOK, fsm.Evidence{})
	case alive:
		return nil
	}
	e := evidence(asBrokerError(p.err))
	e.Generation = p.session.Generation()
	if checking {
		return s.broken(HeartbeatFailed, nil, e)
	}
	return s.broken(ConnectionError, nil, e)
}

// warnOverdue tells when a handler has taken so long that the broker is about to close its channel
// (https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout).
func (s *supervisor) warnOverdue() {
	for _, sub := range s.subscriptions {
		if sub.live == nil {
			continue
		}
		oldest, ok := sub.dispatch.oldest()
		if !ok || oldest.Tag == sub.warned {
			continue
		}
		if age := time.Since(oldest.ReceivedAt); age >= s.config.ConsumerTimeout/5*4 {
			sub.warned = oldest.Tag
			s.record(fsm.KindNote, fsm.Evidence{
				Queue: oldest.Queue, Scope: string(broker.ScopeSubscription), Class: string(broker.Precondition),
				Note: fmt.Sprintf("delivery tag %d has been unacknowledged for %v; at %v RabbitMQ closes its channel (consumer_timeout)",
					oldest.Tag, roughly(age), s.config.ConsumerTimeout),
			})
		}
	}
}
