package consumer

import (
	"context"
	"sync"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// cutGrace is how long handlers may take to return once their context was cancelled.
const cutGrace = time.Second

// drain begins to stop: no more deliveries are taken, the broker is asked to send no more, handlers
// may finish. Observations are answered as before, but nothing is revived any more.
func (s *supervisor) drain() error {
	s.draining = true
	close(s.intake)
	if s.attempting != nil {
		s.attempting()
	}
	var live []*broker.Consumer
	for _, d := range s.dispatchers {
		if d.live != nil {
			live = append(live, d.live)
		}
	}
	s.deadline = time.After(s.config.GracePeriod)
	go func() { // nobody's, because a handler that never returns must not keep Run
		var group sync.WaitGroup
		for _, c := range live { // so that others get what comes now
			group.Go(func() { _ = c.Cancel(context.Background()) })
		}
		group.Wait()
		s.waitWorkers()
		s.post(drained{})
	}()
	return nil
}

// drained: every handler has returned.
type drained struct{}

func (drained) apply(s *supervisor) error { return s.finish() }

// cutShort is called when the grace period is over or the caller's patience is: first the handlers'
// context is cancelled, and if they do not return on that either, they are left behind.
func (s *supervisor) cutShort() error {
	if s.cut {
		if s.result == nil {
			s.result = ErrUndrained
		}
		return s.finish()
	}
	s.cut = true
	s.cancelWork()
	s.deadline = time.After(cutGrace)
	if !s.draining {
		deadline := s.deadline
		if err := s.drain(); err != nil {
			return err
		}
		s.deadline = deadline
	}
	return nil
}

// finish closes the connection and commits the end.
func (s *supervisor) finish() error {
	if session := s.session; session != nil {
		if s.cut {
			session.Abort()
		} else {
			ctx, cancel := context.WithTimeout(context.Background(), s.config.DrainTimeout+s.config.ProbeTimeout)
			_ = session.Close(ctx)
			cancel()
		}
	}
	if s.machine.State() != Disconnected {
		if err := s.fire(Stop, fsm.Evidence{}); err != nil {
			return err
		}
	}
	return errDone
}

// end leaves nothing behind but handlers that do not return.
func (s *supervisor) end() {
	close(s.gone)
	s.timer.Stop()
	s.cancelWork()
	if !s.draining { // the journal vetoed
		close(s.intake)
	}
	if s.attempting != nil {
		s.attempting()
	}
	if s.session != nil {
		s.session.Abort()
	}
	s.background.Wait()
	idle := make(chan struct{})
	go func() {
		s.waitWorkers()
		close(idle)
	}()
	select {
	case <-idle:
	case <-time.After(cutGrace):
	}
}

func (s *supervisor) waitWorkers() {
	for _, d := range s.dispatchers {
		d.workers.Wait()
	}
}
