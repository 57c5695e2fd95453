package consumer

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/fsm"
)

// These tests apply observations to a supervisor in an order that can happen, but hardly ever does.

// bare is a supervisor that is Connecting, and whose loop does not run, with a session.
func bare(t *testing.T, urls ...string) (*supervisor, *broker.Session) {
	t.Helper()
	node := rabbittest.Shared(t)
	if len(urls) == 0 {
		urls = []string{node.URL()}
	}
	c, err := New(Config{
		URLs: urls,
		Subscriptions: []Subscription{{
			Declare: &broker.QueueOptions{Exclusive: true},
			Handler: func(context.Context, *Delivery) error { return nil },
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newSupervisor(t.Context(), c)
	session, err := broker.Open(t.Context(), s.plan, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(s.gone)
		for _, sub := range s.subscriptions {
			sub.dispatch.stop()
		}
		session.Abort()
		s.background.Wait()
	})
	if err := s.fire(Connect, Evidence{}); err != nil {
		t.Fatal(err)
	}
	s.home.attempts++
	s.home.generation = 1
	return s, session
}

// opens begins an attempt that has opened the session, and waits for the only subscription.
func opens(s *supervisor, session *broker.Session) *attempt {
	a := &attempt{on: s.home, opened: true}
	s.take(s.home, session)
	return waits(s, a)
}

// waits has an attempt wait for the only subscription.
func waits(s *supervisor, a *attempt) *attempt {
	a.left = 1
	s.subscriptions[0].attempt = a
	return a
}

// confirms is that the broker has confirmed it.
func (a *attempt) confirms(s *supervisor, c *broker.Consumer) consumed {
	return consumed{attempt: a, sub: s.subscriptions[0], session: a.on.session, intake: broker.Intake{Prefetch: 64}, consumer: c}
}

func (a *attempt) fails(s *supervisor, session *broker.Session, err error) consumed {
	return consumed{attempt: a, sub: s.subscriptions[0], session: session, err: err}
}

func confirmed(t *testing.T, s *broker.Session) *broker.Consumer {
	t.Helper()
	c, err := s.Consume(t.Context(), 0, broker.Intake{Prefetch: 64})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func lossOf(s *supervisor, c *broker.Consumer) loss {
	return loss{s.home, s.home.session, broker.Loss{Generation: 1, Consumer: c, Err: &broker.Error{Scope: broker.ScopeChannel, Err: errors.New("x")}}}
}

func apply(t *testing.T, s *supervisor, o observation, want fsm.State) {
	t.Helper()
	if err := o.apply(s); err != nil {
		t.Fatal(err)
	}
	if got := s.machine.State(); got != want {
		t.Fatalf("%T led to %s, want %s", o, got, want)
	}
	if s.machine.State() == Consuming && !s.home.complete() {
		t.Fatalf("after %T: Consuming, and not everything is there", o)
	}
}

func TestProbeFailsAfterRevival(t *testing.T) {
	s, session := bare(t)
	apply(t, s, opens(s, session).confirms(s, confirmed(t, session)), Consuming)
	silent := &broker.Error{Op: "probe", Class: broker.Heartbeat, Err: errors.New("silent")}
	apply(t, s, probed{s.home, session, silent, time.Now().Add(-time.Hour)}, Consuming) // bytes came in since
	apply(t, s, probed{s.home, session, silent, time.Now()}, Reviving)
	apply(t, s, probed{s.home, session, nil, time.Now()}, Reviving) // of a session that was dropped
	if last := s.machine.Last(); last.Kind != fsm.KindStale {
		t.Errorf("the last event is %+v, want a stale probe", last)
	}
}

func TestStaleLossIsNotApplied(t *testing.T) {
	s, session := bare(t)
	old := confirmed(t, session)
	if err := old.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply(t, s, opens(s, session).confirms(s, confirmed(t, session)), Consuming)
	apply(t, s, lossOf(s, old), Consuming)
	if s.machine.Last().Kind != fsm.KindStale {
		t.Errorf("%+v; want a stale event and nothing else", s.machine.Last())
	}
}

func TestConsumerLostBeforeItIsAdopted(t *testing.T) {
	s, session := bare(t)
	c := confirmed(t, session)
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply(t, s, opens(s, session).confirms(s, c), Reviving)
	if s.subscriptions[0].retired != c {
		t.Error("its channel stays open, and nobody will close it")
	}
	if s.home.session != session {
		t.Error("the healthy connection was given up")
	}
}

// More was lost while an attempt did all that it was asked for: that is no failure, and costs no budget.
func TestLossesDuringAnAttemptCostNoBudget(t *testing.T) {
	s, session := bare(t)
	s.config.MaxReviveAttempts = 1
	c := confirmed(t, session)
	apply(t, s, opens(s, session).confirms(s, c), Consuming)
	apply(t, s, lossOf(s, c), Reviving)
	s.home.attempts++
	again := confirmed(t, session)
	if err := again.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply(t, s, waits(s, &attempt{on: s.home}).confirms(s, again), Reviving)
	if s.home.schedule.Attempt != 1 || s.stopping {
		t.Errorf("attempt %d, stopping %t; want 1 and false", s.home.schedule.Attempt, s.stopping)
	}
}

// A session that is lost before anything is adopted must not send the next attempt back to where it was.
func TestNextAttemptBeginsElsewhere(t *testing.T) {
	url := rabbittest.Shared(t).URL()
	s, session := bare(t, url, url+"?auth_mechanism=plain&auth_mechanism=external")
	a := opens(s, session)
	died := loss{s.home, session, broker.Loss{Generation: 1, Err: &broker.Error{Scope: broker.ScopeConnection, Err: errors.New("x")}}}
	apply(t, s, died, Connecting)
	apply(t, s, a.fails(s, session, errors.New("lost")), Reviving)
	if s.home.first%2 != 1 {
		t.Errorf("the next attempt begins with endpoint %d, which was lost just now", s.home.first%2)
	}
	s.home.attempts++
	s.home.opening = func() {}
	apply(t, s, opened{attempt: &attempt{on: s.home, opened: true}, err: errors.New("refused")}, Reviving)
	if s.home.first%2 != 0 {
		t.Errorf("the attempt after that begins with endpoint %d, which failed just now", s.home.first%2)
	}
}

func TestHopelessFailureDecides(t *testing.T) {
	s, session := bare(t)
	a := opens(s, session)
	a.failures = []failedConsume{{0, &broker.Error{Class: broker.NotFound, Err: errors.New("no queue")}}}
	apply(t, s, a.fails(s, session, &broker.Error{Class: broker.Precondition, Err: errors.New("another declaration")}), Disconnected)
	var e *Error
	if !errors.As(s.result, &e) || e.Class != broker.Precondition {
		t.Errorf("gave up with %v, want the precondition", s.result)
	}
}

func TestGiveUpOn(t *testing.T) {
	provider := func(context.Context) (broker.Credentials, error) { return broker.Credentials{}, nil }
	for _, c := range []struct {
		name   string
		config Config
		want   []broker.Class
	}{
		{"by default", Config{}, []broker.Class{broker.Auth, broker.VHost, broker.Precondition}},
		{"credentials may change", Config{Credentials: provider}, []broker.Class{broker.VHost, broker.Precondition}},
		{"never", Config{GiveUpOn: []broker.Class{}}, nil},
		{"as asked", Config{GiveUpOn: []broker.Class{broker.NotFound}}, []broker.Class{broker.NotFound}},
	} {
		s := supervisor{config: c.config}
		var got []broker.Class
		for _, class := range []broker.Class{broker.Network, broker.Heartbeat, broker.BrokerShutdown, broker.Resource, broker.Auth,
			broker.VHost, broker.NotFound, broker.Precondition, broker.Exclusive, broker.Protocol, broker.TLS, broker.Cancelled, broker.Unknown} {
			if s.isHopeless(class) {
				got = append(got, class)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: gives up on %v, want %v", c.name, got, c.want)
		}
	}
}

// Every field of the configuration that is the broker's arrives there.
func TestPlan(t *testing.T) {
	var c Config
	set(reflect.ValueOf(&c).Elem())
	c.URLs = []string{"amqp://localhost"}
	c.Heartbeat = time.Second
	plan, _ := c.plan()
	check(t, "Plan", reflect.ValueOf(plan))
	check(t, "Subscription", reflect.ValueOf(plan.Subscriptions[0]))
}

func check(t *testing.T, name string, v reflect.Value) {
	for i := range v.NumField() {
		if field := v.Type().Field(i); field.IsExported() && v.Field(i).IsZero() {
			t.Errorf("%s.%s is lost", name, field.Name)
		}
	}
}

// set gives every field some value.
func set(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				set(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		set(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.Func:
		v.Set(reflect.MakeFunc(v.Type(), nil))
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	}
}
