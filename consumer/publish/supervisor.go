package publish

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/internal/revival"
	"github.com/everhop/everhop/consumer/internal/standstill"
	"github.com/everhop/everhop/fsm"
)

// supervisor is the one goroutine that decides. Everything else (attempts, watchers, writers) posts what it has seen, and
// the supervisor answers each in the same order: decide, commit the event, act.
type supervisor struct {
	*Publisher
	background sync.WaitGroup

	session        *broker.Session // nil: to be opened
	dropped        chan struct{}   // closed when the session is not in use any more
	epoch          uint64          // of the ledger
	lane           *lane           // nil: to be opened
	generation     uint64
	first          int // the endpoint that is tried first
	opening        context.CancelFunc
	schedule       revival.Schedule
	clock          *standstill.Clock
	since          time.Time // the session is there
	began          time.Time // the state
	published      bool      // it has worked in this run
	address        string    // of the session
	blockedReason  string    // the broker does not read from it
	trouble, class string    // how it was lost, or an attempt failed

	failing time.Time // since when it fails by what waiting does not heal as a rule

	stopping bool
	deadline <-chan time.Time // of the soft stop
	vetoed   bool             // the journal refused
	result   error
}

// errDone ends the supervisor's loop.
var errDone = errors.New("done")

func newSupervisor(p *Publisher) *supervisor {
	return &supervisor{
		Publisher: p, began: time.Now(), clock: standstill.NewClock(p.reading),
		schedule: revival.Schedule{Backoff: revival.Backoff(p.config.ReviveBackoff)},
	}
}

func (s *supervisor) run() error {
	err := s.fire(Connect, Evidence{})
	for !errors.Is(err, errDone) {
		if err != nil && !s.vetoed { // the journal refused: stop, with its error
			s.vetoed = true
			s.result = errors.Join(s.result, err)
			break
		}
		s.proceed()
		s.show()
		err = s.next()
	}
	s.end()
	s.session = nil
	s.show()
	return s.result
}

// proceed begins the next attempt when it is due, and sets the clock to when that is. What was done until now is no
// standstill by that: the journal may have a slow disk.
func (s *supervisor) proceed() {
	wake := standstill.LookEvery
	if s.lane == nil && s.opening == nil {
		if s.schedule.Due() {
			s.begin()
		} else {
			wake = s.schedule.Remaining()
		}
	}
	s.clock.WakeIn(wake)
}

// next waits for one thing to happen, and answers it.
func (s *supervisor) next() error {
	soft := s.soft
	if s.stopping {
		soft = nil
	}
	done := func() error { return errDone }
	var act func() error
	select {
	case act = <-s.inbox:
	case <-s.clock.C():
		act = func() error { return nil }
	case <-soft:
		act = func() error { s.stopSoftly(); return nil }
	case <-s.hard:
		act = done
	case <-s.deadline:
		act = done
	}
	s.lookAtClock() // before what may come of it
	return act()
}

// lookAtClock records that time has passed in which nothing could be done.
func (s *supervisor) lookAtClock() {
	for _, n := range s.clock.Look().Notes() {
		name := NoteStalled
		if n.Stalled == 0 {
			name = NoteClockSetBack
		}
		s.note(name, Evidence{StalledMS: n.Stalled.Milliseconds(), Note: n.Text})
	}
}

// post hands over what was seen. It returns false once the supervisor is gone.
func (s *supervisor) post(act func() error) bool {
	select {
	case s.inbox <- act:
		return true
	case <-s.gone:
		return false
	}
}

// fire commits a transition.
func (s *supervisor) fire(t fsm.Trigger, e Evidence) error {
	s.complete(&e)
	s.began = time.Now()
	s.show() // whoever sees the new state is to see what has led to it
	event, err := s.machine.Fire(t, e.Event())
	s.entered.Store(s.entered.Load().follow(&event))
	return err
}

func (s *supervisor) note(name string, e Evidence) {
	s.complete(&e)
	if _, err := s.machine.Record(fsm.KindNote, name, e.Event()); err != nil {
		s.config.Logger.Warn().Err(err).Str(fsm.FieldName, name).Msg("the journal refused an event")
	}
}

func (s *supervisor) complete(e *Evidence) {
	e.Generation = or(e.Generation, s.generation)
	if s.session != nil {
		e.Endpoint = or(e.Endpoint, s.session.Endpoint().String())
	}
}

// begin opens what is missing, in the background.
func (s *supervisor) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	s.opening = cancel
	session, plan, first := s.session, s.plan, s.first
	if session == nil {
		s.generation++
		plan.ConnectTimeout = s.schedule.ConnectTimeout(s.config.ConnectTimeout)
	}
	generation := s.generation
	s.background.Go(func() {
		var err error
		fresh := session == nil
		if fresh {
			session, err = broker.Open(ctx, plan, generation, first)
		}
		var opened *lane
		if err == nil {
			opened, err = s.openLane(ctx, session)
		}
		if !s.post(func() error { return s.opened(session, fresh, opened, err) }) && session != nil {
			session.Abort()
		}
	})
}

func (s *supervisor) openLane(ctx context.Context, on *broker.Session) (*lane, error) {
	l := newLane(s.ledger.credit)
	var err error
	l.channel, err = on.OpenPublishChannel(ctx, broker.Receipts{
		Settled:  func(n uint64, multiple, taken bool) { s.ledger.confirmed(l, n, multiple, taken) },
		Returned: func(r broker.Returned) { s.ledger.cameBack(l, r) },
	})
	return l, err
}

// opened takes over what an attempt has opened: a lane, on a fresh session or on that which there is.
func (s *supervisor) opened(session *broker.Session, fresh bool, opened *lane, err error) error {
	s.opening()
	s.opening = nil
	switch {
	case !fresh && s.session != session: // it was lost meanwhile, and is dropped
		return nil
	case err != nil:
		if !fresh {
			s.drop(err)
		} else if session != nil {
			s.background.Go(session.Abort)
		}
		s.first++
		return s.failed(asBrokerError(err))
	case fresh:
		s.take(session)
	}
	s.lane = opened
	s.published, s.failing = true, time.Time{}
	trigger, e := Revived, Evidence{Attempt: s.schedule.Attempt, Note: "revived within " + roughly(time.Since(s.began))}
	if s.machine.State() == Connecting {
		trigger, e = Connected, Evidence{}
	}
	if err := s.fire(trigger, e); err != nil {
		return err
	}
	s.watchLane(opened)
	if session.Blocked() {
		return s.blocked(session, true, s.blockedReason) // which may have been told before
	}
	return nil
}

// take puts a session into its place, and has the supervisor hear of what happens to it.
func (s *supervisor) take(session *broker.Session) {
	s.session, s.since, s.dropped = session, time.Now(), make(chan struct{})
	s.address, s.blockedReason = session.Endpoint().String(), ""
	s.first = slices.Index(s.plan.Endpoints, session.Endpoint())
	s.epoch = s.ledger.connected()
	s.current.set(session, nil)
	session.Watch()
	dropped, epoch := s.dropped, s.epoch
	s.background.Go(func() {
		for heard := true; heard; {
			select {
			case l := <-session.Losses():
				heard = s.post(func() error { return s.lost(session, l.Err) })
			case b := <-session.BlockedChanges():
				heard = s.post(func() error { return s.blocked(session, b.Active, b.Reason) })
			case <-dropped:
				return
			case <-s.gone:
				return
			}
		}
	})
	s.background.Go(func() { s.sendDoubtful(session, epoch, dropped) })
}
