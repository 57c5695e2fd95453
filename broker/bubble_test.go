package broker

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

// What tests in a testing/synctest bubble share. There time costs nothing, so it is compared exactly,
// and a goroutine that is left over is an error.

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// serve starts a broker, and a plan to connect to it.
func serve(t *testing.T, subscriptions ...Subscription) (*brokertest.Server, Plan) {
	t.Helper()
	server := brokertest.NewInMemoryServer(t)
	return server, planOn(t, server, subscriptions...)
}

func planOn(t *testing.T, server *brokertest.Server, subscriptions ...Subscription) Plan {
	t.Helper()
	endpoints, err := ParseEndpoints(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	return Plan{Endpoints: endpoints, Dial: server.Dial, Subscriptions: subscriptions}
}

// begin opens a session of generation 7, which is aborted with the test.
func begin(t *testing.T, plan Plan) *Session {
	t.Helper()
	s, err := Open(t.Context(), plan, 7, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Abort)
	return s
}

func subscribe(t *testing.T, s *Session, i int) *Consumer {
	t.Helper()
	c, err := s.Consume(t.Context(), i, Intake{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func take(t *testing.T, c *Consumer) *Delivery {
	t.Helper()
	d, ok := c.Receive(t.Context().Done())
	if !ok {
		t.Fatal("no delivery")
	}
	return d
}

func publishTo(t *testing.T, server *brokertest.Server, queue string, bodies ...string) {
	t.Helper()
	if err := server.Publish(queue, bodies...); err != nil {
		t.Fatal(err)
	}
}

// took returns how long f runs, in the bubble's time.
func took(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

func wantError(t *testing.T, err error, class Class, scope Scope) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Class != class || e.Scope != scope {
		t.Errorf("got %v (%+v), want class %s, scope %s", err, e, class, scope)
	}
}

// wantNoMoreLosses gives whatever is under way its time.
func wantNoMoreLosses(t *testing.T, s *Session) {
	t.Helper()
	synctest.Wait()
	select {
	case l := <-s.Losses():
		t.Errorf("another loss: %v", l.Err)
	default:
	}
}
