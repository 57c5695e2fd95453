package publish

import (
	"context"
	"time"

	"github.com/everhop/everhop/broker"
)

// sidePause is how long it takes until a side lane is opened again that could not be.
const sidePause = time.Second

// sendDoubtful sends what goes over side lanes. What may be refused is followed by a question that the broker answers only if
// it has accepted the message.
func (s *supervisor) sendDoubtful(session *broker.Session, epoch uint64, dropped <-chan struct{}) {
	ctx, cancel := s.until(dropped)
	defer cancel()
	for {
		var err error
		switch c, on, trial := s.ledger.nextDoubtful(epoch); {
		case c == nil:
			return
		case on == nil:
			err = s.openSide(ctx, session, epoch, dropped)
		case trial:
			err = s.try(ctx, on, c)
		default:
			err = s.pass(ctx, on, c)
		}
		switch {
		case session.Lost(): // and the supervisor is about to learn of it
			<-ctx.Done()
		case err != nil:
			select {
			case <-time.After(sidePause):
			case <-ctx.Done():
			}
		}
	}
}

func (s *supervisor) openSide(ctx context.Context, session *broker.Session, epoch uint64, dropped <-chan struct{}) error {
	side, err := s.openLane(ctx, session)
	if err != nil {
		s.ledger.sideRefused(epoch)
		return err
	}
	s.ledger.addSide(epoch, side)
	s.background.Go(func() { s.attend(session, side, dropped) })
	return nil
}

// pass sends a message. The error says that its connection has ended.
func (s *supervisor) pass(ctx context.Context, side *lane, c *Confirmation) error {
	err := side.channel.Publish(&c.message)
	if err == nil || ctx.Err() != nil {
		return err
	}
	why := asBrokerError(err)
	s.ledger.sideLost(side, why)
	if why.Scope == broker.ScopeConnection {
		return why
	}
	return nil
}

// try sends a message, and waits until the broker has accepted it. The error says that it is not to blame for the end of the lane.
func (s *supervisor) try(ctx context.Context, side *lane, c *Confirmation) error {
	err := side.channel.Publish(&c.message)
	if err == nil {
		err = side.channel.Accepted(ctx)
	}
	if err == nil {
		s.ledger.accepted(side)
		return nil
	}
	if ctx.Err() != nil { // its connection was given up
		return err
	}
	why := asBrokerError(err)
	if why.Scope == broker.ScopeConnection {
		s.ledger.sideLost(side, why)
		return why
	}
	if first := s.ledger.refused(side, why); first != nil {
		s.post(func() error {
			e := evidence(why)
			e.Exchange, e.RoutingKey = first.message.Exchange, first.message.RoutingKey
			s.note(NoteRefused, e)
			return nil
		})
	}
	return nil
}
