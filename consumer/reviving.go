package consumer

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// attempted is how an attempt to connect or to revive ended.
type attempted struct {
	session   *broker.Session // opened by the attempt, or the healthy one that it worked on
	opened    bool
	consumers []*broker.Consumer // those that the broker confirmed
	err       error              // the first failure, nil if everything is there
}

// begin starts an attempt in the background: it builds what is missing and leaves alone what works.
func (s *supervisor) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	s.attempting = cancel
	session := s.session
	if session == nil {
		s.generation++
	}
	plan, generation, first := s.plan, s.generation, s.first
	plan.ConnectTimeout = connectTimeout(s.config.ConnectTimeout, s.attempt)
	var wanted []int
	var retired []*broker.Consumer
	for i, d := range s.dispatchers {
		if d.live == nil {
			wanted = append(wanted, i)
		}
		if d.retired != nil {
			retired = append(retired, d.retired)
			d.retired = nil
		}
	}
	s.background.Go(func() {
		result := attempted{session: session}
		if session == nil {
			result.session, result.err = broker.Open(ctx, plan, generation, first)
			result.opened = result.err == nil
		}
		if result.err == nil {
			// A cancelled consumer leaves its channel open, and with it what was not acknowledged.
			for _, c := range retired {
				_ = c.Close(ctx)
			}
			result.consumers, result.err = consume(ctx, result.session, wanted)
		}
		if !s.post(result) && result.opened {
			result.session.Abort()
		}
	})
}

// consume subscribes to the wanted, several at once, and returns those that the broker confirmed with
// the first failure in the order of the configuration.
func consume(ctx context.Context, session *broker.Session, wanted []int) ([]*broker.Consumer, error) {
	const parallel = 16
	consumers := make([]*broker.Consumer, len(wanted))
	failures := make([]error, len(wanted))
	next := make(chan int)
	var group sync.WaitGroup
	for range min(parallel, len(wanted)) {
		group.Go(func() {
			for k := range next {
				consumers[k], failures[k] = session.Consume(ctx, wanted[k])
			}
		})
	}
	for k := range wanted {
		next <- k
	}
	close(next)
	group.Wait()
	var failed error
	if k := slices.IndexFunc(failures, func(err error) bool { return err != nil }); k >= 0 {
		failed = failures[k]
	}
	return slices.DeleteFunc(consumers, func(c *broker.Consumer) bool { return c == nil }), failed
}

// apply takes over what an attempt has built, and decides how to go on with the rest.
func (a attempted) apply(s *supervisor) error {
	s.attempting()
	s.attempting = nil
	if s.draining {
		if a.opened {
			s.background.Go(a.session.Abort)
		}
		return nil
	}
	if a.opened {
		s.session = a.session
		s.first = slices.Index(s.plan.Endpoints, a.session.Endpoint())
	}
	if s.session != nil && s.session.Lost() {
		s.dropSession()
	}
	var confirmed []*broker.Consumer
	if s.session != nil && s.session == a.session {
		confirmed = slices.DeleteFunc(a.consumers, isLost)
	}
	for _, c := range confirmed {
		s.dispatchers[c.Index()].live = c
	}
	if s.complete() {
		if err := s.revived(); err != nil {
			return err
		}
	} else if err := s.failed(a.failure()); err != nil || s.draining {
		return err
	}
	for _, c := range confirmed { // the event comes first, then the deliveries
		s.background.Go(func() { s.dispatchers[c.Index()].pump(c) })
	}
	s.arm()
	return nil
}

func isLost(c *broker.Consumer) bool {
	select {
	case <-c.Lost():
		return true
	default:
		return false
	}
}

// failure is why not everything is there.
func (a attempted) failure() *broker.Error {
	if a.err != nil {
		return failure(a.err)
	}
	// everything was confirmed, and something broke before it could be taken over
	return &broker.Error{
		Op: "consume", Scope: broker.ScopeConnection, Class: broker.Network,
		Endpoint: a.session.Endpoint().String(), Err: errLostAgain,
	}
}

// revived commits that every subscription is consumed.
func (s *supervisor) revived() error {
	trigger, attempt := Revived, s.attempt
	if s.machine.State() == Connecting {
		trigger, attempt = Connected, 0
	}
	s.since = time.Now()
	return s.fire(trigger, fsm.Evidence{Attempt: attempt})
}

// failed commits that an attempt failed, and schedules the next one or gives up.
func (s *supervisor) failed(f *broker.Error) error {
	if slices.Contains(s.giveUpOn(), f.Class) {
		return s.giveUp(FatalError, f, nil)
	}
	if s.session == nil {
		s.first++
	}
	s.failures++
	delay := s.config.Backoff.delay(s.failures)
	s.retryAt = time.Now().Add(delay)
	e := evidence(f)
	if s.machine.State() == Connecting {
		e.BackoffMS = delay.Milliseconds()
		s.attempt = 1
		return s.fire(ConnectionError, e)
	}
	e.Attempt = s.attempt
	spent := s.config.RetryBudget > 0 && s.attempt >= s.config.RetryBudget
	if !spent {
		e.BackoffMS = delay.Milliseconds()
	}
	if err := s.fire(ReviveFailed, e); err != nil {
		return err
	}
	if spent {
		return s.giveUp(RetriesExhausted, f, ErrRetriesExhausted)
	}
	s.attempt++
	return nil
}

func (s *supervisor) giveUpOn() []broker.Class {
	if s.config.GiveUpOn != nil {
		return s.config.GiveUpOn
	}
	return hopeless
}

// hopeless is the default of Config.GiveUpOn.
var hopeless = []broker.Class{broker.Auth, broker.VHost, broker.Precondition, broker.TLS}

// retire keeps the lost consumer until the next attempt closes its channel.
func (d *dispatcher) retire() { d.live, d.retired = nil, d.live }
