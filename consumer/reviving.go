package consumer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// attempt is one to connect or to revive: to open a connection, if there is none, and to consume what is missing.
// Each subscription is the supervisor's as soon as the broker has confirmed it, whatever the others wait for.
type attempt struct {
	on       *connection
	opened   bool // the session, too
	left     int  // subscriptions whose outcome is not known
	late     bool // some of them have taken long
	failures []failedConsume
}

type failedConsume struct {
	index int
	err   error
}

const (
	// parallel is how many subscriptions an attempt consumes at once, so that a thousand do not all ask at once.
	parallel = 16
	// patience is how long one of them is waited for: then another one has its place, and an attempt of which others
	// have failed is over for them.
	patience = time.Second
)

// begin starts an attempt in the background. It leaves alone what works.
func (s *supervisor) begin(c *connection) {
	c.attempts++
	a := &attempt{on: c}
	if c.session != nil {
		s.consume(a)
		return
	}
	a.opened = true
	ctx, cancel := context.WithCancel(context.Background())
	c.opening = cancel
	s.generation++
	c.generation = s.generation
	plan, generation, first := s.plan, c.generation, c.first
	plan.ConnectTimeout = c.schedule.ConnectTimeout(s.config.ConnectTimeout)
	s.background.Go(func() {
		session, err := broker.Open(ctx, plan, generation, first)
		if !s.post(opened{a, session, err}) && err == nil {
			session.Abort()
		}
	})
}

// opened is what came of opening a connection.
type opened struct {
	attempt *attempt
	session *broker.Session
	err     error
}

func (o opened) apply(s *supervisor) error {
	a, c := o.attempt, o.attempt.on
	c.opening()
	c.opening = nil
	switch {
	case s.stopping || len(c.subscriptions) == 0:
		if o.err == nil {
			s.background.Go(o.session.Abort)
		}
		c.attempts--
	case o.err != nil:
		c.attempts--
		defer s.setClock()
		c.first++
		return s.failed(c, asBrokerError(o.err))
	default:
		s.take(c, o.session)
		s.consume(a)
	}
	return nil
}

// consume asks for what is missing, each on its own.
func (s *supervisor) consume(a *attempt) {
	places := make(chan struct{}, parallel)
	missing := a.on.missing()
	a.left = len(missing)
	for _, sub := range missing {
		sub.attempt = a
		o := consumed{attempt: a, sub: sub, session: a.on.session, intake: sub.intake()}
		retired := sub.retired
		sub.retired = nil
		s.background.Go(func() {
			places <- struct{}{}
			leave := sync.OnceFunc(func() { <-places })
			defer leave()
			defer time.AfterFunc(patience, leave).Stop()
			o.carryOut(s.calls, retired)
			if !s.post(o) && o.consumer != nil {
				_ = o.consumer.Close(s.calls) // which ends with the session, if not before
			}
		})
	}
	time.AfterFunc(patience, func() { s.post(overtime{a}) })
}

// consumed is what came of one subscription's attempt.
type consumed struct {
	attempt  *attempt
	sub      *subscription
	session  *broker.Session
	intake   broker.Intake
	consumer *broker.Consumer // nil with err
	err      error
}

// carryOut asks the broker. It runs beside the supervisor.
func (o *consumed) carryOut(ctx context.Context, retired *broker.Consumer) {
	if retired != nil {
		if o.err = o.sub.retire(ctx, retired); o.err != nil {
			return
		}
		o.intake.StreamOffset = o.sub.dispatch.channel().offset() // only now, since handlers went on meanwhile
	}
	o.sub.dispatch.rescues.prepare(ctx)
	o.consumer, o.err = o.sub.consume(ctx, o.session, &o.intake)
}

// retire closes the channel of a consumer that was lost, after what can still be acknowledged. A consumer that
// the broker has cancelled leaves its channel open, and with it what was not acknowledged. It returns an error if the
// broker does not answer.
func (sub *subscription) retire(ctx context.Context, c *broker.Consumer) error {
	flushed := make(chan struct{})
	go func() { // Commit may hang, and must not keep its subscription from being revived
		defer close(flushed)
		sub.dispatch.channel().flush()
	}()
	select {
	case <-flushed:
	case <-ctx.Done():
	case <-time.After(cutGrace):
	}
	if err := c.Close(ctx); err != nil && asBrokerError(err).Class == broker.Overdue {
		return err
	}
	return nil
}

// consume subscribes. What only looked like a stream, and is none, begins as any other queue.
func (sub *subscription) consume(ctx context.Context, session *broker.Session, in *broker.Intake) (*broker.Consumer, error) {
	major, _ := session.ServerVersion()
	sub.dispatch.rescues.expect(sub.spec.deliveryLimit(major))
	c, err := session.Consume(ctx, sub.index, *in)
	if err != nil && in.StreamOffset != nil && asBrokerError(err).Class == broker.Precondition && sub.kind.doubt() {
		in.StreamOffset = nil
		return session.Consume(ctx, sub.index, *in)
	}
	return c, err
}

// apply takes over what the broker has confirmed, and decides how to go on with what it has not.
func (o consumed) apply(s *supervisor) error {
	a, sub, c := o.attempt, o.sub, o.attempt.on
	defer s.setClock()
	a.left--
	if a.left == 0 {
		c.attempts--
	}
	inUse := sub.attempt == a && c.session == o.session
	if sub.attempt == a {
		sub.attempt = nil
	}
	switch {
	case o.err == nil && (s.stopping || !inUse):
		s.discard(o)
	case o.err == nil && c.session.Lost(): // its Loss is about to be told
		c.consumed = true
		a.failures = append(a.failures, failedConsume{sub.index, errLostAgain})
	case o.err == nil:
		if err := s.adopt(o); err != nil {
			return err
		}
	case !s.stopping && sub.on == c:
		sub.failed(o.err)
		apart, err := s.considerFailure(sub, o)
		if err != nil {
			return err
		}
		if !apart {
			a.failures = append(a.failures, failedConsume{sub.index, o.err})
		}
	}
	lost := c.session != o.session || c.session.Lost() // and so the others fail, too
	if s.stopping || a.left > 0 && (lost || !a.late || len(a.failures) == 0) {
		return nil
	}
	return s.judge(a)
}

// adopt takes over a consumer. If it was lost again before this, its Loss has no place to arrive at.
func (s *supervisor) adopt(o consumed) error {
	sub, c := o.sub, o.attempt.on
	if isLost(o.consumer) {
		sub.retired = o.consumer
		return nil
	}
	c.consumed = true
	if o.attempt.opened {
		c.failing = time.Time{} // as far as it was the connection's fault
	}
	sub.hopeless, sub.hasConsumed = false, true
	sub.adopt(o.consumer, o.intake)
	if err := s.rise(c); err != nil { // the event comes first, then the deliveries
		return err
	}
	if !sub.applied.Paused {
		sub.dispatch.resume()
	}
	s.steer(sub) // it may have been changed meanwhile
	s.compare(sub)
	return nil
}

// failed notes why it could not be consumed, if that is its own.
func (sub *subscription) failed(err error) {
	if f := asBrokerError(err); f.Scope != broker.ScopeConnection {
		sub.trouble = troubleOf(evidence(f))
	}
}

func isLost(c source) bool {
	select {
	case <-c.Lost():
		return true
	default:
		return false
	}
}

// discard gives back what came too late to be used: others shall get what it was sent.
func (s *supervisor) discard(o consumed) {
	s.background.Go(func() { _ = o.consumer.Close(context.Background()) })
}

// rise commits that everything on a connection is consumed, once it is.
func (s *supervisor) rise(c *connection) error {
	if c.up || s.stopping || !c.complete() {
		return nil
	}
	took := time.Since(c.entered)
	c.up, c.entered, c.failing, c.trouble = true, time.Now(), time.Time{}, trouble{}
	if c != s.home {
		s.noteOn(c, NoteApartConsuming, Evidence{Attempt: c.schedule.Attempt, Note: "consumed apart"})
		return nil
	}
	return s.risen(c, took)
}

// risen has the lifecycle follow its connection.
func (s *supervisor) risen(c *connection, took time.Duration) error {
	if s.machine.State() == Connecting {
		return s.fire(Connected, Evidence{})
	}
	return s.fire(Revived, Evidence{Attempt: c.schedule.Attempt, Note: "revived within " + roughly(took)})
}

// overtime says that an attempt is taking long.
type overtime struct{ attempt *attempt }

// apply has what has failed so far tried again, whatever the rest still waits for.
func (o overtime) apply(s *supervisor) error {
	a := o.attempt
	a.late = true
	if a.left == 0 || len(a.failures) == 0 || s.stopping || a.on.up {
		return nil
	}
	defer s.setClock()
	return s.judge(a)
}

// judge commits what the attempt came to, if that is not all that was to be done.
func (s *supervisor) judge(a *attempt) error {
	c := a.on
	failures := a.failures
	a.failures = nil
	switch {
	case c.up, len(c.subscriptions) == 0:
		return nil
	case len(failures) == 0 && c.session != nil && s.doing(c) != Connecting:
		c.schedule.Failed() // it did all that it was asked for; more is to be done, and was noted
		return nil
	case len(failures) == 0 && c.attempts > 0:
		return nil
	}
	return s.failed(c, s.decisive(a, failures))
}

// doing is what a connection is at: the lifecycle's state, of the one that it is about.
func (s *supervisor) doing(c *connection) fsm.State {
	if c == s.home {
		return s.machine.State()
	}
	return Reviving
}

// decisive picks the failure to go by: one to give up on, if there is one, else the first.
func (s *supervisor) decisive(a *attempt, failures []failedConsume) *broker.Error {
	if len(failures) == 0 { // everything was confirmed, and something broke before it could be taken over
		return &broker.Error{
			Op: "consume", Scope: broker.ScopeConnection, Class: broker.Network,
			Endpoint: s.plan.Endpoints[a.on.first%len(s.plan.Endpoints)].String(), Err: errLostAgain,
		}
	}
	slices.SortFunc(failures, func(x, y failedConsume) int { return x.index - y.index })
	for _, failure := range failures {
		if f := asBrokerError(failure.err); s.isHopeless(f.Class) {
			return f
		}
	}
	return asBrokerError(failures[0].err)
}

var errLostAgain = errors.New("lost again at once")

// failed commits that an attempt failed, and schedules the next one or gives up.
func (s *supervisor) failed(c *connection, f *broker.Error) error {
	c.trouble = troubleOf(evidence(f))
	heals, note := s.heals(c, f)
	if !heals {
		return s.giveUpOn(c, FatalError, f, nil)
	}
	e := evidence(f)
	e.BackoffMS = c.schedule.Failed().Milliseconds()
	if s.doing(c) == Connecting {
		c.schedule.Attempt = 1
		c.entered = time.Now()
		e.Note = joined(adviceFor(f.Class, f), note)
		return s.fire(ConnectionError, e)
	}
	e.Attempt = c.schedule.Attempt
	if e.Attempt == 1 {
		e.Note = adviceFor(f.Class, f)
	}
	e.Note = joined(e.Note, note)
	spent := s.config.MaxReviveAttempts > 0 && c.schedule.Attempt >= s.config.MaxReviveAttempts && (c == s.home || !c.givenUp())
	if spent {
		e.BackoffMS = 0
	}
	if err := s.report(c, e); err != nil {
		return err
	}
	if spent {
		return s.giveUpOn(c, RetriesExhausted, f, ErrRetriesExhausted)
	}
	c.schedule.Attempt++
	return nil
}

// report commits that an attempt failed.
func (s *supervisor) report(c *connection, e Evidence) error {
	if c == s.home {
		return s.fire(ReviveFailed, e)
	}
	s.noteOn(c, NoteApartFailed, e)
	return nil
}

// isHopeless tells whether to give up on a class of errors.
func (s *supervisor) isHopeless(c broker.Class) bool {
	if s.config.GiveUpOn != nil {
		return slices.Contains(s.config.GiveUpOn, c)
	}
	if c == broker.Auth && s.config.Credentials != nil {
		return false // the function may know better ones next time
	}
	return !c.Retryable()
}

// heals tells whether to go on after such a failure. What waiting does not heal as a rule may be healed all the same
// if it has worked before: by whoever has just broken it. note says until when.
func (s *supervisor) heals(c *connection, f *broker.Error) (heals bool, note string) {
	if !s.isHopeless(f.Class) {
		return true, ""
	}
	worked := slices.ContainsFunc(s.subscriptions, func(sub *subscription) bool {
		return sub.hasConsumed && (f.Scope == broker.ScopeConnection || sub.on == c && sub.spec.Queue == f.Queue)
	})
	if !worked || s.config.GiveUpOn != nil || s.config.HealWithin < 0 {
		return false, ""
	}
	if c.failing.IsZero() {
		c.failing = time.Now()
		note = "it had been accepted before: tried again for " + roughly(s.config.HealWithin)
	}
	return time.Since(c.failing) < s.config.HealWithin, note
}
