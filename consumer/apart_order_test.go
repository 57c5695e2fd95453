package consumer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
)

// These tests apply observations about what is apart in an order that can happen, but hardly ever does.

// twoApart is a supervisor of two subscriptions that is Consuming, whose loop does not run: the first is at home, the
// second apart.
func twoApart(t *testing.T) (s *supervisor, apart *connection) {
	t.Helper()
	server := brokertest.NewInMemoryServer(t)
	handler := func(context.Context, *Delivery) error { return nil }
	c, err := New(Config{URLs: []string{server.URL()}, Dial: server.Dial, Subscriptions: []Subscription{
		{Queue: "q0", Declare: &broker.QueueOptions{}, Handler: handler}, {Queue: "q1", Declare: &broker.QueueOptions{}, Handler: handler},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s = newSupervisor(t.Context(), c)
	t.Cleanup(func() {
		s.closeAll()
		close(s.gone)
		for _, sub := range s.subscriptions {
			sub.dispatch.stop()
		}
		s.background.Wait()
	})
	if err := s.fire(Connect, Evidence{}); err != nil {
		t.Fatal(err)
	}
	apart = s.part(s.home, []*subscription{s.subscriptions[1]}, 0)
	for _, c := range []*connection{s.home, apart} {
		session, err := broker.Open(t.Context(), s.plan, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.take(c, session)
		c.subscriptions[0].adopt(consumeOn(t, session, c.subscriptions[0]), broker.Intake{Prefetch: 64})
		if err := s.rise(c); err != nil {
			t.Fatal(err)
		}
	}
	return s, apart
}

func consumeOn(t *testing.T, session *broker.Session, sub *subscription) *broker.Consumer {
	t.Helper()
	c, err := session.Consume(t.Context(), sub.index, broker.Intake{Prefetch: 64})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What is on its way home was lost and revived where it was: what was consumed at home comes too late.
func TestHomecomingComesTooLate(t *testing.T) {
	s, apart := twoApart(t)
	sub := s.subscriptions[1]
	old := sub.live
	late := homecoming{steered{sub: sub, live: old, is: consumeOn(t, s.home.session, sub), intake: broker.Intake{Prefetch: 64}}, s.home, s.home.session}
	sub.steered = true
	revived := consumeOn(t, apart.session, sub)
	sub.lose()
	sub.adopt(revived, broker.Intake{Prefetch: 64})
	apply(t, s, late, Consuming)
	if sub.live != revived || sub.on != apart || sub.steered {
		t.Error("it was put in the place of the one that was revived, which nobody receives from any more")
	}
	select {
	case <-late.is.Lost():
	case <-time.After(10 * time.Second):
		t.Error("it keeps deliveries that nobody receives")
	}
}

// What overflows may be moved to a connection that has all it was for.
func TestOverflowIntoWhatIsUp(t *testing.T) {
	s, apart := twoApart(t)
	apart.overflow = true
	s.home.subscriptions = append(s.home.subscriptions, &subscription{index: 2, spec: s.subscriptions[0].spec, on: s.home, dispatch: s.subscriptions[0].dispatch, kind: s.subscriptions[0].kind})
	s.home.subscriptions = append(s.home.subscriptions, &subscription{index: 3, spec: s.subscriptions[0].spec, on: s.home, live: s.subscriptions[0].live})
	if err := s.overflow(s.home, s.home.subscriptions[1], &broker.Error{Class: broker.Resource, Err: errors.New("x")}); err != nil {
		t.Fatal(err)
	}
	if len(apart.subscriptions) != 2 || !apart.attemptPending() {
		t.Error("it is never consumed")
	}
	s.home.subscriptions = s.home.subscriptions[:1]
}

// A subscription for which connections die is not what the lifecycle is about, whenever that was found out.
func TestCulpritLeavesHome(t *testing.T) {
	s, apart := twoApart(t)
	culprit := s.home
	culprit.subscriptions[0].oneByOne, culprit.deaths = true, soonTolerated
	died := loss{culprit, culprit.session, broker.Loss{Generation: 1, Err: &broker.Error{Scope: broker.ScopeConnection, Code: 541, Err: errors.New("x")}}}
	culprit.consumed = true
	apply(t, s, died, Consuming)
	if s.home != apart {
		t.Error("it still is")
	}
}

// A queue that goes with its connection, or is known by its name there only, is revived where it is.
func TestBoundQueueIsNotSetApart(t *testing.T) {
	handler := func(context.Context, *Delivery) error { return nil }
	c, err := New(Config{URLs: []string{"amqp://localhost"}, Subscriptions: []Subscription{
		{Queue: "other", Handler: handler},
		{Queue: "exclusive", Declare: &broker.QueueOptions{Exclusive: true}, Handler: handler}, {Declare: &broker.QueueOptions{}, Handler: handler},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := newSupervisor(t.Context(), c)
	for _, sub := range s.subscriptions {
		for range soonTolerated {
			if err := s.considerSubscription(sub, 0, Evidence{}); err != nil {
				t.Fatal(err)
			}
		}
		if bound := sub.index > 0; (sub.on == s.home) != bound {
			t.Errorf("%q: bound %t, at home %t", sub.spec.Queue, bound, sub.on == s.home)
		}
	}
}
