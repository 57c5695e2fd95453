package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// supervisor is the one goroutine that decides. Everything else (attempts, probes, watchers, workers)
// sends it observations, and it answers each in the same order: decide, commit the event, act.
//
// What is broken is not remembered but seen: no session means that the connection is to be rebuilt,
// a dispatcher without a live consumer that its subscription is.
type supervisor struct {
	config      Config
	plan        broker.Plan
	machine     *fsm.Machine
	dispatchers []*dispatcher
	soft, hard  <-chan struct{}

	inbox      chan observation
	gone       chan struct{} // closed: nobody reads the inbox any more
	background sync.WaitGroup

	session    *broker.Session
	generation uint64
	first      int // the endpoint that the next connection tries first

	attempt    int       // number of the current or next attempt of this revival
	failures   int       // in a row; spaces the attempts
	retryAt    time.Time // when the next attempt begins
	since      time.Time // Consuming was entered
	attempting context.CancelFunc
	probing    bool
	timer      *time.Timer

	work       context.Context // the handlers'
	cancelWork context.CancelFunc
	intake     chan struct{} // closed: take no more deliveries
	draining   bool
	deadline   <-chan time.Time // of the drain
	cut        bool             // the drain is over its deadline
	result     error
}

// observation is what happened elsewhere; apply runs on the supervisor.
type observation interface{ apply(*supervisor) error }

// errDone ends the supervisor's loop.
var errDone = errors.New("done")

func newSupervisor(ctx context.Context, c *Consumer) *supervisor {
	s := &supervisor{
		config:  c.config,
		plan:    c.plan,
		machine: c.machine,
		soft:    c.soft,
		hard:    c.hard,
		inbox:   make(chan observation),
		gone:    make(chan struct{}),
		timer:   time.NewTimer(time.Hour),
		intake:  make(chan struct{}),
	}
	s.work, s.cancelWork = context.WithCancel(ctx)
	for _, subscription := range c.config.Subscriptions {
		s.dispatchers = append(s.dispatchers, &dispatcher{
			subscription: subscription,
			counts:       &c.counts,
			logger:       c.config.Logger,
			intake:       s.intake,
			stale:        func(e fsm.Evidence) { s.post(staleOutcome{e}) },
			jobs:         make(chan job),
		})
	}
	return s
}

func (s *supervisor) run() error {
	for _, d := range s.dispatchers {
		d.start(s.work)
	}
	err := s.fire(Connect, fsm.Evidence{})
	if err == nil {
		s.begin()
	}
	for err == nil {
		err = s.next()
	}
	if !errors.Is(err, errDone) { // the journal vetoed: nothing more can be committed
		s.result = errors.Join(s.result, err)
	}
	s.end()
	return s.result
}

// next waits for one observation and applies it.
func (s *supervisor) next() error {
	var losses <-chan broker.Loss
	var blocked <-chan broker.Blocked
	if s.session != nil {
		losses, blocked = s.session.Losses(), s.session.BlockedChanges()
	}
	soft, hard := s.soft, s.hard
	if s.draining {
		soft = nil
	}
	if s.cut {
		hard = nil
	}
	select {
	case o := <-s.inbox:
		return o.apply(s)
	case l := <-losses:
		return s.lost(l)
	case b := <-blocked:
		return s.noteBlocked(b)
	case <-s.timer.C:
		return s.tick()
	case <-soft:
		return s.drain()
	case <-hard:
		return s.cutShort()
	case <-s.deadline:
		return s.cutShort()
	}
}

// post hands over an observation. It returns false once the supervisor is gone: whatever the
// observation holds is the sender's to clean up then.
func (s *supervisor) post(o observation) bool {
	select {
	case s.inbox <- o:
		return true
	case <-s.gone:
		return false
	}
}

// fire commits a transition. Its error means that the journal refused: the table is never in the
// way, since each trigger is fired only in states that have it.
func (s *supervisor) fire(t fsm.Trigger, e fsm.Evidence) error {
	e.Generation = or(e.Generation, s.generation)
	if e.Endpoint == "" && s.session != nil {
		e.Endpoint = s.session.Endpoint().String()
	}
	_, err := s.machine.Fire(t, e)
	return err
}

// record commits an event that changes no state.
func (s *supervisor) record(kind fsm.Kind, e fsm.Evidence) error {
	_, err := s.machine.Record(kind, e)
	return err
}

// evidence is what a failure leaves in an event.
func evidence(e *broker.Error) fsm.Evidence {
	return fsm.Evidence{
		Endpoint: e.Endpoint,
		Queue:    e.Queue,
		Scope:    string(e.Scope),
		Class:    string(e.Class),
		Code:     e.Code,
		Error:    e.Op + ": " + e.Reason(),
	}
}

// lost answers a Loss of the current session.
func (s *supervisor) lost(l broker.Loss) error {
	e := evidence(l.Err)
	e.Generation = l.Generation
	whole := l.Consumer == nil
	if !whole && s.dispatchers[l.Consumer.Index()].live != l.Consumer {
		e.Note = "loss of a consumer that is not in use any more"
		return s.record(fsm.KindStale, e)
	}
	trigger := ChannelError
	if whole {
		trigger = ConnectionError
	}
	switch s.machine.State() {
	case Consuming, HeartbeatCheck:
		if err := s.startReviving(trigger, e); err != nil {
			return err
		}
	default: // Reviving already, or giving up
		e.Note = "also lost meanwhile"
		if err := s.record(fsm.KindNote, e); err != nil {
			return err
		}
	}
	if whole {
		s.dropSession()
	} else {
		s.dispatchers[l.Consumer.Index()].retire()
	}
	s.arm()
	return nil
}

// startReviving commits the transition into Reviving and schedules the first attempt: at once, unless
// the consumer has only just been revived.
func (s *supervisor) startReviving(t fsm.Trigger, e fsm.Evidence) error {
	if time.Since(s.since) >= stable {
		s.failures = 0
	} else {
		s.failures++
	}
	delay := s.config.Backoff.delay(max(0, s.failures-1))
	e.BackoffMS = delay.Milliseconds()
	if err := s.fire(t, e); err != nil {
		return err
	}
	s.attempt = 1
	s.retryAt = time.Now().Add(delay)
	return nil
}

// dropSession gives up the connection; whoever works on it finds it closed.
func (s *supervisor) dropSession() {
	session := s.session
	s.session = nil
	for _, d := range s.dispatchers {
		d.live, d.retired = nil, nil
	}
	s.first++ // another endpoint than the one that failed
	s.probing = false
	s.background.Go(session.Abort)
}

func (s *supervisor) noteBlocked(b broker.Blocked) error {
	note := "the broker reads again (connection.unblocked)"
	if b.Active {
		note = "the broker stopped reading (connection.blocked: " + b.Reason + "); only heartbeats tell that it lives"
	}
	return s.record(fsm.KindNote, fsm.Evidence{
		Generation: b.Generation, Endpoint: s.session.Endpoint().String(), Note: note,
	})
}

// staleOutcome: a handler finished after its delivery's channel was gone.
type staleOutcome struct{ evidence fsm.Evidence }

func (o staleOutcome) apply(s *supervisor) error { return s.record(fsm.KindStale, o.evidence) }

// complete tells whether every subscription has its consumer.
func (s *supervisor) complete() bool {
	return s.session != nil && !slices.ContainsFunc(s.dispatchers, func(d *dispatcher) bool { return d.live == nil })
}

// giveUp ends the run because of a failure that trying again cannot help.
func (s *supervisor) giveUp(t fsm.Trigger, f *broker.Error, reason error) error {
	state := s.machine.State()
	e := evidence(f)
	e.Attempt = s.attempt
	if err := s.fire(t, e); err != nil {
		return err
	}
	var cause error = f
	if reason != nil {
		cause = fmt.Errorf("%w after %d attempts: %w", reason, s.attempt, f)
	}
	s.result = &Error{State: state, Class: f.Class, Endpoint: f.Endpoint, Err: cause}
	return s.drain()
}
