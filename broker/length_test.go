package broker

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/everhop/everhop/broker/brokertest"
)

// What waits is counted without what is delivered; NackAll gives back all of that, whether or not it was received.
func TestQueueLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		if err := errors.Join(server.DeclareQueue("q", nil), server.Publish("q", "a", "b", "c", "d", "e")); err != nil {
			t.Fatal(err)
		}
		endpoints, err := ParseEndpoints(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), Plan{Endpoints: endpoints, Dial: server.Dial, Subscriptions: []Subscription{{Queue: "q", Prefetch: 3}}}, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Abort()
		want := func(wantReady, wantConsumers int) {
			t.Helper()
			ready, consumers, err := s.QueueLength(t.Context(), "q")
			if err != nil || ready != wantReady || consumers != wantConsumers {
				t.Errorf("%d, %d, %v; want %d, %d", ready, consumers, err, wantReady, wantConsumers)
			}
		}
		want(5, 0)
		c, err := s.Consume(t.Context(), 0, Intake{})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := c.Receive(nil); !ok {
			t.Fatal("nothing came")
		}
		want(2, 1)
		if err := errors.Join(c.Cancel(t.Context()), c.NackAll()); err != nil {
			t.Fatal(err)
		}
		want(5, 0)

		var failure *Error
		if _, _, err := s.QueueLength(t.Context(), "nowhere"); !errors.As(err, &failure) || failure.Class != NotFound || failure.Queue != "nowhere" {
			t.Errorf("%v", err)
		}
		want(5, 0) // and nothing else was harmed
		if n := s.Abandoned(); n != 0 {
			t.Errorf("%d channels are left behind", n)
		}
	})
}
