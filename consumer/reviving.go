package consumer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/everhop/everhop/broker"
)

// attempted is what came of an attempt to connect or to revive.
type attempted struct {
	session   *broker.Session // opened by the attempt, or the healthy one that it worked on
	opened    bool
	consumers []*broker.Consumer // those that the broker confirmed
	intakes   []broker.Intake    // how, by subscription
	failures  []error            // in the order of the configuration
}

// attempt is what is to be built: a connection, if there is none, and the consumers that are missing.
type attempt struct {
	session       *broker.Session // the one that works; nil: to be opened
	plan          broker.Plan
	generation    uint64
	first         int // the endpoint that is tried first
	subscriptions []*subscription
	wanted        []int           // those without a consumer
	intakes       []broker.Intake // how they are to be consumed, by subscription
	retired       []func()        // close the channels of lost consumers
}

// begin starts an attempt in the background. It leaves alone what works.
func (s *supervisor) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancelAttempt = cancel
	if s.session == nil {
		s.generation++
	}
	a := attempt{
		session: s.session, plan: s.plan, generation: s.generation, first: s.first,
		subscriptions: s.subscriptions, intakes: make([]broker.Intake, len(s.subscriptions)),
	}
	a.plan.ConnectTimeout = s.schedule.connectTimeout(s.config.ConnectTimeout)
	for i, sub := range s.subscriptions {
		if sub.live == nil {
			a.wanted = append(a.wanted, i)
			a.intakes[i] = sub.intake()
		}
		if c := sub.retired; c != nil {
			sub.retired = nil
			a.retired = append(a.retired, func() { sub.retire(ctx, c) })
		}
	}
	s.background.Go(func() {
		o := a.run(ctx)
		if !s.post(o) && o.opened {
			o.session.Abort()
		}
	})
}

// run builds it. It runs beside the supervisor.
func (a attempt) run(ctx context.Context) attempted {
	o := attempted{session: a.session, intakes: a.intakes}
	if o.session == nil {
		session, err := broker.Open(ctx, a.plan, a.generation, a.first)
		if err != nil {
			o.failures = []error{err}
			return o
		}
		o.session, o.opened = session, true
	}
	atOnce(a.retired)
	for _, i := range a.wanted { // only now, since handlers went on meanwhile
		a.intakes[i].StreamOffset = a.subscriptions[i].dispatch.offset()
	}
	o.consumers, o.failures = consume(a.wanted, func(i int) (*broker.Consumer, error) {
		return a.subscriptions[i].consume(ctx, o.session, &a.intakes[i])
	})
	return o
}

// atOnce returns when all have: none waits for another one's Commit.
func atOnce(all []func()) {
	var group sync.WaitGroup
	for _, do := range all {
		group.Go(do)
	}
	group.Wait()
}

// retire closes the channel of a consumer that was lost, after what can still be acknowledged. A consumer that
// the broker has cancelled leaves its channel open, and with it what was not acknowledged.
func (sub *subscription) retire(ctx context.Context, c *broker.Consumer) {
	flushed := make(chan struct{})
	go func() { // Commit may hang, and must not keep its subscription from being revived
		defer close(flushed)
		sub.dispatch.flush()
	}()
	select {
	case <-flushed:
	case <-ctx.Done():
	case <-time.After(cutGrace):
	}
	_ = c.Close(ctx)
}

// consume subscribes. What only looked like a stream, and is none, begins as any other queue.
func (sub *subscription) consume(ctx context.Context, session *broker.Session, in *broker.Intake) (*broker.Consumer, error) {
	major, _ := session.ServerVersion()
	sub.dispatch.expect(sub.spec.deliveryLimit(major))
	c, err := session.Consume(ctx, sub.index, *in)
	if err != nil && in.StreamOffset != nil && asBrokerError(err).Class == broker.Precondition && sub.dispatch.kind.doubt() {
		in.StreamOffset = nil
		return session.Consume(ctx, sub.index, *in)
	}
	return c, err
}

// consume subscribes to the wanted, several at once, and returns those that the broker confirmed, and
// the failures of the others, both in the order of the configuration.
func consume(wanted []int, subscribe func(i int) (*broker.Consumer, error)) ([]*broker.Consumer, []error) {
	const parallel = 16
	consumers := make([]*broker.Consumer, len(wanted))
	failures := make([]error, len(wanted))
	next := make(chan int)
	var group sync.WaitGroup
	for range min(parallel, len(wanted)) {
		group.Go(func() {
			for k := range next {
				consumers[k], failures[k] = subscribe(wanted[k])
			}
		})
	}
	for k := range wanted {
		next <- k
	}
	close(next)
	group.Wait()
	return slices.DeleteFunc(consumers, func(c *broker.Consumer) bool { return c == nil }),
		slices.DeleteFunc(failures, func(err error) bool { return err == nil })
}

// apply takes over what an attempt has built, and decides how to go on with the rest.
func (o attempted) apply(s *supervisor) error {
	s.cancelAttempt()
	s.cancelAttempt = nil
	defer s.setClock()
	if s.stopping {
		s.discard(o)
		return nil
	}
	confirmed := s.adopt(o)
	if err := s.judge(o); err != nil || s.stopping {
		return err
	}
	for _, c := range confirmed { // the event comes first, then the deliveries
		sub := s.subscriptions[c.Index()]
		if !sub.applied.Paused {
			sub.dispatch.resume()
		}
		s.steer(sub) // it may have been changed meanwhile
		s.compare(sub)
	}
	return nil
}

// adopt puts the session and the confirmed consumers in their places. Whatever broke again before
// this is seen here: its Loss has no place to arrive at yet.
func (s *supervisor) adopt(o attempted) (confirmed []*broker.Consumer) {
	if o.opened {
		s.session, s.since = o.session, time.Now()
		s.first = slices.Index(s.plan.Endpoints, o.session.Endpoint())
		if o.session.Lost() {
			s.dropSession()
		}
	}
	if s.session == nil || s.session != o.session {
		return nil // lost meanwhile, and the consumers with it
	}
	for _, c := range o.consumers {
		sub := s.subscriptions[c.Index()]
		if isLost(c) {
			sub.retired = c
			continue
		}
		sub.adopt(c, o.intakes[c.Index()])
		confirmed = append(confirmed, c)
	}
	return confirmed
}

func isLost(c source) bool {
	select {
	case <-c.Lost():
		return true
	default:
		return false
	}
}

// discard gives back what came too late to be used.
func (s *supervisor) discard(o attempted) {
	if o.opened {
		s.background.Go(o.session.Abort)
		return
	}
	for _, c := range o.consumers { // others shall get what it was sent
		s.background.Go(func() { _ = c.Close(context.Background()) })
	}
}

// judge commits what the attempt came to.
func (s *supervisor) judge(o attempted) error {
	connecting := s.machine.State() == Connecting
	switch {
	case s.complete() && connecting:
		s.entered = time.Now()
		return s.fire(Connected, Evidence{})
	case s.complete():
		note := "revived within " + roughly(time.Since(s.entered))
		s.entered = time.Now()
		return s.fire(Revived, Evidence{Attempt: s.schedule.attempt, Note: note})
	case len(o.failures) == 0 && s.session != nil && !connecting:
		s.schedule.failed() // it did all that it was asked for; more is to be done, and was noted
		return nil
	}
	if o.session == nil {
		s.first++
	}
	return s.failed(s.decisive(o))
}

// decisive picks the failure to go by: one to give up on, if there is one, else the first.
func (s *supervisor) decisive(o attempted) *broker.Error {
	if len(o.failures) == 0 { // everything was confirmed, and something broke before it could be taken over
		return &broker.Error{
			Op: "consume", Scope: broker.ScopeConnection, Class: broker.Network,
			Endpoint: o.session.Endpoint().String(), Err: errLostAgain,
		}
	}
	for _, err := range o.failures {
		if f := asBrokerError(err); s.hopeless(f.Class) {
			return f
		}
	}
	return asBrokerError(o.failures[0])
}

var errLostAgain = errors.New("lost again at once")

// failed commits that an attempt failed, and schedules the next one or gives up.
func (s *supervisor) failed(f *broker.Error) error {
	if s.hopeless(f.Class) {
		return s.giveUp(FatalError, f, nil)
	}
	e := evidence(f)
	e.BackoffMS = s.schedule.failed().Milliseconds()
	if s.machine.State() == Connecting {
		s.schedule.attempt = 1
		s.entered = time.Now()
		e.Note = adviceOn(f.Class, f.Code)
		return s.fire(ConnectionError, e)
	}
	e.Attempt = s.schedule.attempt
	if e.Attempt == 1 {
		e.Note = adviceOn(f.Class, f.Code)
	}
	spent := s.config.MaxReviveAttempts > 0 && s.schedule.attempt >= s.config.MaxReviveAttempts
	if spent {
		e.BackoffMS = 0
	}
	if err := s.fire(ReviveFailed, e); err != nil {
		return err
	}
	if spent {
		return s.giveUp(RetriesExhausted, f, ErrRetriesExhausted)
	}
	s.schedule.attempt++
	return nil
}

// hopeless tells whether to give up on a class of errors.
func (s *supervisor) hopeless(c broker.Class) bool {
	if s.config.GiveUpOn != nil {
		return slices.Contains(s.config.GiveUpOn, c)
	}
	if c == broker.Auth && s.config.Credentials != nil {
		return false // the function may know better ones next time
	}
	return !c.Retryable()
}
