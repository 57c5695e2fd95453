package publish

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// stopSoftly waits for what was accepted.
func (s *supervisor) stopSoftly() {
	s.stopping = true
	s.deadline = time.After(s.config.GracePeriod)
	waiting := s.ledger.unsettled()
	s.background.Go(func() {
		for _, c := range waiting {
			select {
			case <-c.done:
			case <-s.gone:
				return
			}
		}
		s.post(func() error { return errDone })
	})
}

// end leaves nothing behind.
func (s *supervisor) end() {
	close(s.gone)
	if s.opening != nil {
		s.opening()
	}
	over := ErrStopped
	if s.result != nil {
		over = s.result
	}
	s.current.set(nil, over)
	left := s.ledger.fail(over)
	if s.session != nil {
		s.farewell()
	}
	s.background.Wait()
	s.clock.Stop()
	if s.result == nil && left > 0 {
		s.result = fmt.Errorf("%w: %d messages are not confirmed", ErrStopped, left)
	}
	if s.machine.State() != Disconnected && !s.vetoed {
		if err := s.fire(Stop, Evidence{}); err != nil {
			s.result = errors.Join(s.result, err)
		}
	}
}

// farewell closes the connection gracefully, if the broker listens.
func (s *supervisor) farewell() {
	const most = time.Second
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	s.session.Hurry()
	_ = s.session.Close(ctx) // it is gone in any case
	close(s.dropped)
}
