package broker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

func TestDepth(t *testing.T) {
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
		_, err = s.Depth(t.Context(), "q")
		wantError(t, err, NotFound, ScopeChannel)
		for i, bodies := range [][]string{nil, {"a", "b"}, {"c"}} {
			if err := server.DeclareQueue("q", nil); err != nil {
				t.Fatal(err)
			}
			if err := server.Publish("q", bodies...); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Depth(t.Context(), "q"); err != nil || got != []int{0, 2, 3}[i] {
				t.Errorf("%d messages, %v", got, err)
			}
		}
		server.SuspendQueue("q")
		_, err = s.Depth(t.Context(), "q")
		wantError(t, err, Overdue, ScopeChannel)
		server.ResumeQueue("q")
		ended, end := context.WithTimeout(t.Context(), -time.Second)
		end()
		if _, err := s.Depth(ended, "q"); err == nil {
			t.Error("it asks although nobody waits")
		}
	})
}
