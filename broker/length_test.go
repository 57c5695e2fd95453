package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

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
		want := func(want int) {
			t.Helper()
			if ready, err := s.QueueLength(t.Context(), "q"); err != nil || ready != want {
				t.Errorf("%d, %v; want %d", ready, err, want)
			}
		}
		want(5)
		c, err := s.Consume(t.Context(), 0, Intake{})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := c.Receive(nil); !ok {
			t.Fatal("nothing came")
		}
		want(2)
		if err := errors.Join(c.Cancel(t.Context()), c.NackAll()); err != nil {
			t.Fatal(err)
		}
		want(5)

		var failure *Error
		if _, err := s.QueueLength(t.Context(), "nowhere"); !errors.As(err, &failure) || failure.Class != NotFound || failure.Queue != "nowhere" {
			t.Errorf("%v", err)
		}
		want(5) // and nothing else was harmed
		if n := s.Abandoned(); n != 0 {
			t.Errorf("%d channels are left behind", n)
		}
	})
}

// It can be asked again and again, of a queue that is there or not, or does not answer.
func TestQueueLengthAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		endpoints, err := ParseEndpoints(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), Plan{Endpoints: endpoints, Dial: server.Dial}, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Abort()
		_, err = s.QueueLength(t.Context(), "q")
		wantError(t, err, NotFound, ScopeChannel)
		for i, bodies := range [][]string{nil, {"a", "b"}, {"c"}} {
			if err := server.DeclareQueue("q", nil); err != nil {
				t.Fatal(err)
			}
			if err := server.Publish("q", bodies...); err != nil {
				t.Fatal(err)
			}
			if got, err := s.QueueLength(t.Context(), "q"); err != nil || got != []int{0, 2, 3}[i] {
				t.Errorf("%d messages, %v", got, err)
			}
		}
		server.SuspendQueue("q")
		_, err = s.QueueLength(t.Context(), "q")
		wantError(t, err, Overdue, ScopeChannel)
		server.ResumeQueue("q")
		ended, end := context.WithTimeout(t.Context(), -time.Second)
		end()
		if _, err := s.QueueLength(ended, "q"); err == nil {
			t.Error("it asks although nobody waits")
		}
	})
}
