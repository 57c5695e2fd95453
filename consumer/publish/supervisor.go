package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/internal/revival"
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
	timer          *time.Timer
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
		Publisher: p, began: time.Now(), timer: time.NewTimer(time.Hour),
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

// proceed begins the next attempt when it is due.
func (s *supervisor) proceed() {
	if s.lane != nil || s.opening != nil {
		return
	}
	if !s.schedule.Due() {
		s.timer.Reset(s.schedule.Remaining())
		return
	}
	s.begin()
}

func (s *supervisor) next() error {
	soft := s.soft
	if s.stopping {
		soft = nil
	}
	select {
	case act := <-s.inbox:
		return act()
	case <-s.timer.C:
		return nil
	case <-soft:
		s.stopSoftly()
		return nil
	case <-s.hard:
		return errDone
	case <-s.deadline:
		return errDone
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
	l := newLane()
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
		c := s.ledger.next(l)
		if c == nil {
			return
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

// lost answers the end of a connection.
func (s *supervisor) lost(session *broker.Session, why *broker.Error) error {
	if s.session != session {
		return nil
	}
	worked, up := time.Since(s.since), s.lane != nil
	e := evidence(why)
	s.trouble, s.class = e.Error, e.Class
	e.Resent = s.drop(why)
	s.first++
	away := why.Class == broker.BrokerShutdown
	if !up { // a channel was lost before
		s.schedule.Extend(worked, away)
		return nil
	}
	e.BackoffMS = s.schedule.Start(worked, away).Milliseconds()
	e.Note = "after publishing for " + roughly(time.Since(s.began))
	if why.Class == broker.Heartbeat {
		e.SilenceMS = session.Silence().Milliseconds()
		return s.fire(HeartbeatFailed, e)
	}
	return s.fire(ConnectionError, e)
}

// laneLost answers the end of the channel. With that of the connection it is nothing of its own.
func (s *supervisor) laneLost(session *broker.Session, l *lane) error {
	if s.session != session || s.lane != l || session.Lost() {
		return nil
	}
	s.lane = nil
	why := l.channel.Err()
	e := evidence(why)
	s.trouble, s.class = e.Error, e.Class
	e.Resent = s.ledger.castDoubt(l, why)
	e.BackoffMS = s.schedule.Start(time.Since(s.since), false).Milliseconds()
	e.Note = "because of one of the messages that are not confirmed: they are sent again one by one"
	return s.fire(ChannelError, e)
}

// blocked answers connection.blocked and unblocked.
func (s *supervisor) blocked(session *broker.Session, active bool, reason string) error {
	if s.session != session {
		return nil
	}
	if s.blockedReason = ""; active {
		s.blockedReason = reason
	}
	s.ledger.block(active)
	s.current.block(active)
	state := s.machine.State()
	switch {
	case active && state == Publishing:
		return s.fire(ConnectionBlocked, Evidence{Note: reason})
	case !active && state == Blocked:
		return s.fire(ConnectionUnblocked, Evidence{Note: "after " + roughly(time.Since(s.began))})
	}
	return nil
}

// drop gives up the session. It returns how many messages are sent again.
func (s *supervisor) drop(why error) (resent int) {
	session := s.session
	s.session, s.lane = nil, nil
	close(s.dropped)
	s.current.set(nil, nil)
	if asBrokerError(why).EndedByBroker() {
		resent = s.ledger.killed(why)
	} else {
		resent = s.ledger.disconnected(why)
	}
	s.background.Go(session.Abort)
	return resent
}

// failed commits that an attempt failed, and schedules the next one or gives up.
func (s *supervisor) failed(f *broker.Error) error {
	s.trouble, s.class = f.Op+": "+f.Reason(), string(f.Class)
	if !s.heals(f) {
		return s.giveUp(FatalError, f, f)
	}
	e := evidence(f)
	e.BackoffMS = s.schedule.Failed().Milliseconds()
	if s.machine.State() == Connecting {
		s.schedule.Attempt = 1
		e.Note = broker.Hint(f)
		return s.fire(ConnectionError, e)
	}
	e.Attempt = s.schedule.Attempt
	spent := s.config.MaxReviveAttempts > 0 && s.schedule.Attempt >= s.config.MaxReviveAttempts
	if spent {
		e.BackoffMS = 0
	}
	began := s.began
	if err := s.fire(ReviveFailed, e); err != nil {
		return err
	}
	s.began = began // of the outage
	if spent {
		return s.giveUp(RetriesExhausted, f, fmt.Errorf("%w: %w", ErrRetriesExhausted, f))
	}
	s.schedule.Attempt++
	return nil
}

// heals tells whether to go on after such a failure.
func (s *supervisor) heals(f *broker.Error) bool {
	switch {
	case s.config.GiveUpOn != nil:
		if !slices.Contains(s.config.GiveUpOn, f.Class) {
			return true
		}
	case f.Class.Retryable(), f.Class == broker.Auth && s.config.Credentials != nil:
		return true
	}
	if !s.published || s.config.HealWithin < 0 {
		return false
	}
	if s.failing.IsZero() {
		s.failing = time.Now()
	}
	return time.Since(s.failing) < s.config.HealWithin
}

func (s *supervisor) giveUp(t fsm.Trigger, f *broker.Error, why error) error {
	gaveUp := &Error{State: s.machine.State(), Class: f.Class, Endpoint: f.Endpoint, Err: why}
	s.result = gaveUp
	if err := s.fire(t, evidence(f)); err != nil {
		return err
	}
	return errDone
}

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
	s.timer.Stop()
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

// roughly is a duration for people.
func roughly(d time.Duration) string {
	if d < time.Minute {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
