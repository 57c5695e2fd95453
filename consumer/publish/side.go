package publish

import (
	"context"
	"time"

	"github.com/everhop/everhop/broker"
)

// sidePause is how long it takes until a side lane is opened again that could not be.
const sidePause = time.Second

// sendDoubtful sends what may be refused, one by one: each is followed by a question that the broker answers only if it has
// accepted the message.
func (s *supervisor) sendDoubtful(session *broker.Session, epoch uint64, dropped <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.background.Go(func() {
		select {
		case <-dropped:
		case <-s.gone:
		case <-ctx.Done():
		}
		cancel()
	})
	for s.ledger.awaitDoubtful(epoch) {
		side, err := s.openLane(ctx, session)
		if err == nil {
			err = s.sendOneByOne(ctx, side, epoch)
		}
		if err == nil || session.Lost() {
			continue
		}
		select {
		case <-time.After(sidePause):
		case <-ctx.Done():
			return
		}
	}
}

// sendOneByOne goes on until the lane ends. The error says that the lane is not to blame on a message.
func (s *supervisor) sendOneByOne(ctx context.Context, side *lane, epoch uint64) error {
	for {
		c := s.ledger.nextDoubtful(epoch, side)
		if c == nil {
			if !s.ledger.awaitDoubtful(epoch) {
				return nil
			}
			if side.channel.Err() != nil { // it ended by itself
				s.ledger.refused(side, side.channel.Err())
				return nil
			}
			continue
		}
		err := side.channel.Publish(&c.message)
		if err == nil {
			err = side.channel.Accepted(ctx)
		}
		if err == nil {
			s.ledger.accepted(side)
			continue
		}
		why := asBrokerError(err)
		if why.Scope == broker.ScopeConnection || why.Class == broker.Overdue {
			s.ledger.sideLost(side, why)
			return why
		}
		if first := s.ledger.refused(side, why); first != nil {
			s.post(func() error {
				e := evidenceOf(why)
				e.exchange, e.routingKey = first.message.Exchange, first.message.RoutingKey
				s.note(NoteRefused, e)
				return nil
			})
		}
		return nil
	}
}
