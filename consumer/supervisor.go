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
// a subscription without a live consumer that its channel is. What takes either away is in loss.go. Only an
// attempt's outcome, in reviving.go, puts it there; a stream that is steered gets a new one in place of the
// old one.
type supervisor struct {
	config        Config
	plan          broker.Plan
	machine       *fsm.Machine
	subscriptions []*subscription

	counts      []counts // by subscription
	republisher *republisher

	inbox      chan observation
	resize     chan struct{} // a token: the windows are to be looked at
	clock      clock
	overdue    *time.Ticker // looks at how long handlers have been at work
	background sync.WaitGroup
	comparing  sync.Mutex // one subscription at a time: see compare

	session    *broker.Session
	since      time.Time // the session is there
	generation uint64
	first      int // the endpoint that the next connection tries first

	entered       time.Time // Consuming, or Reviving; a HeartbeatCheck does not count
	schedule      schedule
	cancelAttempt context.CancelFunc // nil while no attempt is under way
	probing       bool

	// The end, in the order in which it comes.
	soft       <-chan struct{} // the caller wants to stop
	stopping   bool
	before     Stats            // the stop began
	deadline   <-chan time.Time // of the handlers
	hard       <-chan struct{}  // the caller wants to stop at once
	cut        bool             // the handlers' context is cancelled
	work       context.Context  // that context
	cancelWork context.CancelFunc
	returned   bool          // every handler has
	abandoned  bool          // nothing is waited for any more
	gone       chan struct{} // closed: nobody reads the inbox any more
	vetoed     bool          // the journal refused a transition; nothing is committed any more
	result     error
}

// subscription is what the supervisor knows of one of them.
type subscription struct {
	index    int // in Config.Subscriptions
	spec     Subscription
	dispatch *dispatcher

	live    *broker.Consumer // nil: to be revived
	since   time.Time        // live is there
	retired *broker.Consumer // lost, and its channel is still to be closed

	// What it is to be, which holds over revivals, and what live is.
	paused   bool // by the caller
	tripped  bool // by its breaker
	trips    int  // so far
	prefetch int
	window   *window // what of the prefetch is asked for
	applied  broker.Intake
	losses   int    // in a row
	saved    uint64 // messages, as events have told
	asked    bool   // the caller wants another prefetch
	steered  bool   // live is being changed
	compared bool   // what exists with what is declared
	released bool   // since it was paused: what waited in memory has gone back
	warned   uint64 // the delivery tag of the last warning about consumer_timeout
}

// adopt takes over a consumer that the broker has confirmed. Its deliveries wait until that is
// committed.
func (sub *subscription) adopt(c *broker.Consumer, in broker.Intake) {
	sub.live, sub.since, sub.applied = c, time.Now(), in
	sub.warned, sub.released = 0, false // delivery tags begin anew
	sub.window.opened(in)
	sub.dispatch.attach(c, in.Prefetch)
}

// lose gives up the consumer, if there is one.
func (sub *subscription) lose() *broker.Consumer {
	lost := sub.live
	sub.live = nil
	sub.dispatch.detach()
	return lost
}

// observation is what happened elsewhere; apply runs on the supervisor.
type observation interface{ apply(*supervisor) error }

// errDone ends the supervisor's loop.
var errDone = errors.New("done")

func newSupervisor(ctx context.Context, c *Consumer) *supervisor {
	s := &supervisor{
		config:   c.config,
		plan:     c.plan,
		machine:  c.machine,
		counts:   c.counts,
		inbox:    c.inbox,
		resize:   make(chan struct{}, 1),
		clock:    newClock(),
		overdue:  time.NewTicker(overdueEvery(c.config)),
		schedule: schedule{backoff: c.config.ReviveBackoff},
		soft:     c.soft,
		hard:     c.hard,
		gone:     make(chan struct{}),
	}
	s.work, s.cancelWork = context.WithCancel(ctx)
	s.republisher = newRepublisher(c.plan, c.config.Logger)
	for i, spec := range c.config.Subscriptions {
		sub := &subscription{index: i, spec: spec, prefetch: spec.Prefetch}
		sub.dispatch = newDispatcher(spec, environment{
			counts:  &c.counts[i],
			logger:  c.config.Logger,
			inside:  &c.inside,
			work:    s.work,
			outbox:  s.republisher,
			onStale: c.config.OnStale,
			keepFor: keepFor(spec.consumerTimeout(c.config.ConsumerTimeout)),
			dropped: func(e Evidence) { s.post(staleOutcome{e}) },
			tripped: func() { s.post(tripped{sub}) },
			saved:   func() { s.post(saved{sub}) },
			resize:  s.resize,
		})
		sub.window = sub.dispatch.window
		s.subscriptions = append(s.subscriptions, sub)
	}
	return s
}

func (s *supervisor) run() error {
	for _, sub := range s.subscriptions {
		sub.dispatch.start()
	}
	err := s.fire(Connect, Evidence{})
	if err == nil {
		s.begin()
	}
	for !errors.Is(err, errDone) {
		if err != nil && !s.vetoed { // the journal refused: stop, with its error
			s.vetoed = true
			s.result = errors.Join(s.result, err)
			if !s.stopping {
				s.stopSoftly()
			}
		}
		err = s.next()
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
	if s.stopping {
		soft = nil
	}
	if s.cut {
		hard = nil
	}
	var act func() error
	select {
	case o := <-s.inbox:
		act = func() error { return o.apply(s) }
	case l := <-losses:
		act = func() error { return s.lost(l) }
	case <-s.resize:
		act = s.lookAtWindows
	case b := <-blocked:
		act = func() error { s.noteBlocked(b); return nil }
	case <-s.clock.timer.C:
		act = s.tick
	case <-s.overdue.C:
		act = func() error { s.releaseLongKept(); s.warnOverdue(); return nil }
	case <-soft:
		act = func() error { s.stopSoftly(); return nil }
	case <-hard:
		act = s.stopHard
	case <-s.deadline:
		act = s.stopHard
	}
	s.lookAtClock() // before what may come of it
	defer func() { s.clock.excuse(time.Since(s.clock.began)) }()
	return act()
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
func (s *supervisor) fire(t fsm.Trigger, e Evidence) error {
	if s.vetoed {
		return nil
	}
	e.Generation = or(e.Generation, s.generation)
	if e.Endpoint == "" && s.session != nil {
		e.Endpoint = s.session.Endpoint().String()
	}
	_, err := s.machine.Fire(t, e.Event())
	return err
}

// record commits an event that changes no state. If the journal refuses, the consumer goes on: the
// next transition will tell.
func (s *supervisor) record(kind fsm.Kind, name string, e Evidence) {
	if s.vetoed {
		return
	}
	if _, err := s.machine.Record(kind, name, e.Event()); err != nil {
		s.config.Logger.Warn().Err(err).Str(fsm.FieldName, name).Str(fsm.FieldNote, e.Note).Msg("the journal refused an event")
	}
}

// noteOf commits a note about one subscription.
func (s *supervisor) noteOf(sub *subscription, name string, e Evidence) {
	e.Generation, e.Queue, e.Scope = s.generation, sub.spec.Queue, string(broker.ScopeSubscription)
	s.record(fsm.KindNote, name, e)
}

// roughly is a duration for people.
func roughly(d time.Duration) string {
	if d < time.Minute {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// complete tells whether every subscription has its consumer.
func (s *supervisor) complete() bool {
	return s.session != nil && !slices.ContainsFunc(s.subscriptions, func(sub *subscription) bool { return sub.live == nil })
}

// giveUp ends the run because of a failure that trying again cannot help, or with reason may not.
func (s *supervisor) giveUp(t fsm.Trigger, f *broker.Error, reason error) error {
	state := s.machine.State()
	e := evidence(f)
	e.Attempt = s.schedule.attempt
	if err := s.fire(t, e); err != nil {
		return err
	}
	var cause error = f
	if reason != nil {
		cause = fmt.Errorf("%w after %d attempts: %w", reason, s.schedule.attempt, f)
	}
	s.result = &Error{State: state, Class: f.Class, Endpoint: f.Endpoint, Err: cause}
	s.stopSoftly()
	return nil
}
