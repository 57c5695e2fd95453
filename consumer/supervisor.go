package consumer

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

// supervisor is the one goroutine that decides. Everything else (attempts, probes, watchers, workers)
// sends it observations, and it answers each in the same order: decide, commit the event, act.
//
// What is broken is not remembered but seen: a connection without a session is to be opened, a subscription without a
// live consumer to be consumed. What takes either away is in loss.go. Only an attempt's outcome, in reviving.go,
// puts it there; but a stream that is steered, and what comes home (home.go), gets a new consumer in place of
// the old one.
type supervisor struct {
	config        Config
	plan          broker.Plan
	machine       *fsm.Machine
	subscriptions []*subscription

	counts     []counts // by subscription
	rarities   *rarities
	minuteEnds time.Time       // when outcomes are told next
	untold     []*subscription // of which they are not told yet, though it is over

	board      *board
	showing    []connectionFacts // reused
	remembered time.Time         // the measures were

	inbox      chan observation
	resize     chan struct{} // a token: the windows are to be looked at
	clock      *standstill.Clock
	overdue    *time.Ticker // looks at how long handlers have been at work
	background sync.WaitGroup
	comparing  sync.Mutex // one subscription at a time: see compare

	home        *connection     // the one that the lifecycle is about
	connections []*connection   // home, and those of what is apart
	generation  uint64          // of the newest connection
	calls       context.Context // of what is asked of the broker, but at the end
	cancelCalls context.CancelFunc

	// The end, in the order in which it comes.
	soft       <-chan struct{} // the caller wants to stop
	refused    <-chan error    // the publisher's journal refused an event
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
	on       *connection

	live    *broker.Consumer // nil: to be revived
	since   time.Time        // live is there
	attempt *attempt         // under way, to consume it
	retired *broker.Consumer // lost, and its channel is still to be closed
	trouble trouble          // how it was lost, or could not be consumed; none if live is there
	apart   string           // why it is not on the home connection, if it is not
	named   string           // by the broker, if the queue's name is empty

	hasConsumed bool // in this run
	soon        int  // losses in a row soon after it began
	exiles      int  // how often it came home
	hopeless    bool // given up, but for an attempt now and then
	oneByOne    bool // prefetch 1, since the connection dies of its messages

	// What it is to be, which holds over revivals, and what live is.
	paused   bool      // by the caller
	tripped  bool      // by its breaker
	trips    int       // so far
	tripWhy  string    // why it is tripped
	rests    time.Time // until when
	prefetch int
	window   *window // what of the prefetch is asked for
	kind     *queueKind
	applied  broker.Intake
	losses   int    // in a row
	asked    bool   // the caller wants another prefetch
	steered  bool   // live is being changed
	compared bool   // what exists with what is declared
	released bool   // since it was paused: what waited in memory has gone back
	warned   uint64 // the delivery tag of the last warning about consumer_timeout
	told     told   // of what became of messages
	returned Stats  // as of what events have told of what went back

	allowance allowance
}

// adopt takes over a consumer that the broker has confirmed. Its deliveries wait until that is
// committed.
func (sub *subscription) adopt(c *broker.Consumer, in broker.Intake) {
	sub.live, sub.since, sub.applied = c, time.Now(), in
	sub.trouble = trouble{}
	if sub.spec.Queue == "" {
		sub.named = c.Queue()
	}
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
		config:     c.config,
		plan:       c.plan,
		machine:    c.machine,
		counts:     c.counts,
		rarities:   newRarities(),
		board:      c.board,
		inbox:      c.inbox,
		resize:     make(chan struct{}, 1),
		clock:      standstill.NewClock(nil),
		remembered: time.Now(),
		overdue:    time.NewTicker(overdueEvery(c.config)),
		soft:       c.soft,
		refused:    c.sending.refused,
		hard:       c.hard,
		gone:       c.gone,
	}
	s.work, s.cancelWork = context.WithCancel(ctx)
	s.calls, s.cancelCalls = context.WithCancel(context.Background())
	s.home = &connection{entered: time.Now(), changed: time.Now(), schedule: revival.Schedule{Backoff: revival.Backoff(c.config.ReviveBackoff)}}
	s.connections = []*connection{s.home}
	now := time.Now()
	s.minuteEnds = now.Add(untilMinute(now))
	republisher := newRepublisher(c.sending, c.config.Logger)
	for i, spec := range c.config.Subscriptions {
		sub := &subscription{index: i, spec: spec, prefetch: spec.Prefetch, on: s.home, told: told{at: now}}
		sub.dispatch = newDispatcher(spec, environment{
			counts:  &c.counts[i],
			logger:  c.config.Logger,
			inside:  &c.inside,
			work:    s.work,
			outbox:  republisher,
			onStale: c.config.OnStale,
			keepFor: keepFor(spec.consumerTimeout(c.config.ConsumerTimeout)),
			tell:    func(kind fsm.Kind, name string, e Evidence) { s.rarities.add(rarity{sub, kind, name, e}) },
			tripped: func() { s.post(tripped{sub}) },
			resize:  s.resize,
		})
		sub.window, sub.kind = sub.dispatch.window, &sub.dispatch.kind
		c.board.subscriptions[i].dispatch.Store(sub.dispatch)
		s.subscriptions = append(s.subscriptions, sub)
	}
	s.home.subscriptions = slices.Clone(s.subscriptions)
	return s
}

func (s *supervisor) run() error {
	for _, sub := range s.subscriptions {
		sub.dispatch.start()
	}
	err := s.fire(Connect, Evidence{})
	if err == nil {
		s.begin(s.home)
	}
	s.show()
	for !errors.Is(err, errDone) {
		if err != nil && !s.vetoed { // the journal refused: stop, with its error
			s.vetoed = true
			s.result = errors.Join(s.result, err)
			if !s.stopping {
				s.stopSoftly()
			}
		}
		err = s.next()
		s.show()
		s.remember()
		s.board.pulse.turn()
	}
	s.end()
	s.tellOutcomes(s.subscriptions, true) // what has come of messages since the end was told
	s.connections = nil
	s.show()
	return s.result
}

// remember has the measures of all subscriptions noted once a minute.
func (s *supervisor) remember() {
	if time.Since(s.remembered) < time.Minute {
		return
	}
	s.remembered = time.Now()
	for _, sub := range s.subscriptions {
		sub.dispatch.crew.measures.Remember()
	}
}

// next waits for one observation and applies it.
func (s *supervisor) next() error {
	s.clock.Excuse() // what was done since it woke last was no standstill: the journal may have a slow disk
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
	case <-s.resize:
		act = s.lookAtWindows
	case <-s.rarities.wake:
		act = func() error { s.tellRarities(); return nil }
	case <-s.clock.C():
		act = s.tick
	case <-s.overdue.C:
		act = func() error { s.releaseLongKept(); s.warnOverdue(); return nil }
	case <-soft:
		act = func() error { s.stopSoftly(); return nil }
	case err := <-s.refused:
		act = func() error { s.publisherRefused(err); return nil }
	case <-hard:
		act = s.stopHard
	case <-s.deadline:
		act = s.stopHard
	}
	s.board.pulse.turn()
	s.lookAtClock() // before what may come of it
	return act()
}

// publisherRefused stops, as if its own journal had refused: what is to be parked can go nowhere any more.
func (s *supervisor) publisherRefused(err error) {
	s.result = errors.Join(s.result, err)
	if !s.stopping {
		s.stopSoftly()
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
func (s *supervisor) fire(t fsm.Trigger, e Evidence) error {
	if s.vetoed {
		return nil
	}
	e.Generation = or(e.Generation, s.home.generation)
	e.Endpoint = or(e.Endpoint, s.home.endpoint())
	s.show() // whoever sees the new state is to see what has led to it
	event, err := s.machine.Fire(t, e.Event())
	s.board.entered.Store(s.board.entered.Load().follow(&event))
	return err
}

// record commits an event that changes no state. If the journal refuses, the consumer goes on: the
// next transition will tell.
func (s *supervisor) record(kind fsm.Kind, name string, e Evidence) (recorded bool) {
	if s.vetoed {
		return false
	}
	_, err := s.machine.Record(kind, name, e.Event())
	if err != nil {
		s.config.Logger.Warn().Err(err).Str(fsm.FieldName, name).Str(fsm.FieldNote, e.Note).Msg("the journal refused an event")
	}
	return err == nil
}

// noteOf commits a note about one subscription.
func (s *supervisor) noteOf(sub *subscription, name string, e Evidence) (recorded bool) {
	e.Generation, e.Queue, e.Scope = sub.on.generation, sub.spec.Queue, string(broker.ScopeSubscription)
	return s.record(fsm.KindNote, name, e)
}

// roughly is a duration for people.
func roughly(d time.Duration) string {
	if d < time.Minute {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
