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
	s.cancelAttempt = func() {}
	return s, session
}

func confirmed(t *testing.T, s *broker.Session) []*broker.Consumer {
	t.Helper()
	consumers, failures := consume([]int{0}, func(i int) (*broker.Consumer, error) {
		return s.Consume(t.Context(), i, broker.Intake{Prefetch: 64})
	})
	if len(failures) > 0 {
		t.Fatal(failures)
	}
	return consumers
}

func apply(t *testing.T, s *supervisor, o observation, want fsm.State) {
	t.Helper()
	if err := o.apply(s); err != nil {
		t.Fatal(err)
	}
	if got := s.machine.State(); got != want {
		t.Fatalf("%T led to %s, want %s", o, got, want)
	}
	if s.machine.State() == Consuming && !s.complete() {
		t.Fatalf("after %T: Consuming, and not everything is there", o)
	}
}

func TestProbeFailsAfterRevival(t *testing.T) {
	s, session := bare(t)
	apply(t, s, attempted{intakes: []broker.Intake{{Prefetch: 64}}, session: session, opened: true, consumers: confirmed(t, session)}, Consuming)
	silent := &broker.Error{Op: "probe", Class: broker.Heartbeat, Err: errors.New("silent")}
	apply(t, s, probed{session, silent, time.Now().Add(-time.Hour)}, Consuming) // bytes came in since
	apply(t, s, probed{session, silent, time.Now()}, Reviving)
	apply(t, s, probed{session, nil, time.Now()}, Reviving) // of a session that was dropped
	if last := s.machine.Last(); last.Kind != fsm.KindStale {
		t.Errorf("the last event is %+v, want a stale probe", last)
	}
}

func TestStaleLossIsNotApplied(t *testing.T) {
	s, session := bare(t)
	old := confirmed(t, session)
	if err := old[0].Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply(t, s, attempted{intakes: []broker.Intake{{Prefetch: 64}}, session: session, opened: true, consumers: confirmed(t, session)}, Consuming)
	err := s.lost(broker.Loss{Generation: 1, Consumer: old[0], Err: &broker.Error{Scope: broker.ScopeChannel, Err: errors.New("x")}})
	if err != nil || s.machine.State() != Consuming || s.machine.Last().Kind != fsm.KindStale {
		t.Errorf("%v, %s, %+v; want a stale event and nothing else", err, s.machine.State(), s.machine.Last())
	}
}

func TestConsumerLostBeforeItIsAdopted(t *testing.T) {
	s, session := bare(t)
	consumers := confirmed(t, session)
	if err := consumers[0].Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply(t, s, attempted{intakes: []broker.Intake{{Prefetch: 64}}, session: session, opened: true, consumers: consumers}, Reviving)
	if s.subscriptions[0].retired != consumers[0] {
		t.Error("its channel stays open, and nobody will close it")
	}
	if s.session != session {
		t.Error("the healthy connection was given up")
	}
}

// More was lost while an attempt did all that it was asked for: that is no failure, and costs no budget.
func TestLossesDuringAnAttemptCostNoBudget(t *testing.T) {
	s, session := bare(t)
	s.config.MaxReviveAttempts = 1
	consumers := confirmed(t, session)
	apply(t, s, attempted{intakes: []broker.Intake{{Prefetch: 64}}, session: session, opened: true, consumers: consumers}, Consuming)
	err := s.lost(broker.Loss{Generation: 1, Consumer: consumers[0], Err: &broker.Error{Scope: broker.ScopeChannel, Err: errors.New("x")}})
	if err != nil {
		t.Fatal(err)
	}
	s.cancelAttempt = func() {}
	apply(t, s, attempted{intakes: []broker.Intake{{Prefetch: 64}}, session: session}, Reviving) // which asked for something else
	if s.schedule.attempt != 1 || s.stopping {
		t.Errorf("attempt %d, stopping %t; want 1 and false", s.schedule.attempt, s.stopping)
	}
}

// A session that is lost before it is adopted must not send the next attempt back to where it was.
func TestNextAttemptBeginsElsewhere(t *testing.T) {
	url := rabbittest.Shared(t).URL()
	s, session := bare(t, url, url+"?auth_mechanism=plain&auth_mechanism=external")
	session.Abort()
	apply(t, s, attempted{intakes: []broker.Intake{{Prefetch: 64}}, session: session, opened: true}, Reviving)
	if s.first%2 != 1 {
		t.Errorf("the next attempt begins with endpoint %d, which was lost just now", s.first%2)
	}
	s.cancelAttempt = func() {}
	apply(t, s, attempted{failures: []error{errors.New("refused")}}, Reviving)
	if s.first%2 != 0 {
		t.Errorf("the attempt after that begins with endpoint %d, which failed just now", s.first%2)
	}
}

func TestHopelessFailureDecides(t *testing.T) {
	s, session := bare(t)
	apply(t, s, attempted{intakes: []broker.Intake{{Prefetch: 64}}, session: session, opened: true, failures: []error{
		&broker.Error{Class: broker.NotFound, Err: errors.New("no queue")},
		&broker.Error{Class: broker.Precondition, Err: errors.New("another declaration")},
	}}, Disconnected)
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
			if s.hopeless(class) {
				got = append(got, class)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: gives up on %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSchedule(t *testing.T) {
	s := schedule{backoff: Backoff{Initial: time.Hour, Max: 4 * time.Hour}}
	if d := s.start(stable, false); d != 0 || !s.due() {
		t.Errorf("the first attempt after a stable time is delayed by %v", d)
	}
	if d := s.start(0, false); d != 0 {
		t.Errorf("the first attempt after a single short time is delayed by %v", d)
	}
	if s.start(0, false); s.failures != 1 || s.due() {
		t.Errorf("what flaps is revived at once: %d failures", s.failures)
	}
	s.failed()
	if s.extend(0, false); s.due() {
		t.Error("a flapping one hurries the attempt")
	}
	if s.extend(stable, false); !s.due() {
		t.Error("the loss of what had worked waits for the rest")
	}
	if d := s.start(stable, false); d != 0 || s.failures != 0 {
		t.Error("a stable time did not reset the failures")
	}
	for range 10 {
		s.failed()
	}
	if d := s.start(0, false); d != 0 {
		t.Errorf("the first loss after a long outage waits %v, as if the outage went on", d)
	}
	most := time.Duration(0)
	for range 100 {
		s.start(stable, true)
		s.extend(stable, false)
		s.extend(stable, true)
		most = max(most, time.Until(s.at))
	}
	if most > 4*time.Hour || most < 3*time.Hour {
		t.Errorf("of 100 consumers whose broker has gone away the last begins after %v", most)
	}
	if d := s.start(stable, false); d != 0 {
		t.Errorf("the broker came back, and a single loss waits %v", d)
	}
	for attempt, want := range map[int]time.Duration{0: 5, 1: 5, 2: 10, 6: 30, 7: 30, 1000: 30} {
		s.attempt = attempt
		if got := s.connectTimeout(5 * time.Second); got != want*time.Second {
			t.Errorf("attempt %d may take %v, want %v s", attempt, got, want)
		}
	}
	s.attempt = 3
	if got := s.connectTimeout(time.Minute); got != time.Minute {
		t.Errorf("a long ConnectTimeout became %v", got)
	}
}

// Every field of the configuration that is the broker's arrives there.
func TestPlan(t *testing.T) {
	var c Config
	set(reflect.ValueOf(&c).Elem())
	c.URLs = []string{"amqp://localhost"}
	c.Heartbeat = time.Second
	plan, _ := c.plan()
	check(t, "Plan", reflect.ValueOf(plan), "CallTimeout")
	check(t, "Subscription", reflect.ValueOf(plan.Subscriptions[0]))
}

func check(t *testing.T, name string, v reflect.Value, except ...string) {
	for i := range v.NumField() {
		if field := v.Type().Field(i); field.IsExported() && v.Field(i).IsZero() && !slices.Contains(except, field.Name) {
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
