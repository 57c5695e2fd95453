package consumer

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
)

func TestPark(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		// One that an operator has made is used as it is.
		declareIn(t, server, "made", map[string]any{"x-queue-type": "quorum", "x-max-length": int64(2), "x-overflow": "reject-publish"})
		for _, body := range []string{"1", "2"} {
			if err := r.park(t.Context(), delivered(body), "made", itFailed); err != nil {
				t.Fatal(err)
			}
		}
		wantBodies(t, server, "made", "1", "2")
		if err := r.park(t.Context(), delivered("3"), "made", itFailed); !errors.Is(err, broker.ErrRefused) {
			t.Errorf("into a full queue: %v", err)
		}
		if n := server.Count("queue.declare"); n != 0 {
			t.Errorf("declared %d times", n)
		}

		// One that is missing is declared, again when it was deleted, and survives the broker's restart.
		for _, body := range []string{"4", "5"} {
			server.DeleteQueue("missing")
			if err := r.park(t.Context(), delivered(body), "missing", itFailed); err != nil {
				t.Fatal(err)
			}
			wantBodies(t, server, "missing", body)
		}
		if err := r.park(t.Context(), delivered("6"), "missing", itFailed); err != nil {
			t.Fatal(err)
		}
		if n := server.Count("queue.declare"); n != 2 {
			t.Errorf("declared %d times, want 2", n)
		}
		server.StopApp()
		if err := server.StartApp(); err != nil {
			t.Fatal(err)
		}
		wantBodies(t, server, "missing", "5", "6")
		m := server.Messages("missing")[0]
		if m.Exchange != "" || m.RoutingKey != "missing" || m.MessageID != "5" || m.Transient || m.Headers[HeaderAttempts] != int64(1) {
			t.Errorf("parked as %+v", m)
		}
	})
}

// Between the returned message and the declaration, somebody else may declare the queue, and otherwise.
func TestParkWhileTheQueueIsDeclaredOtherwise(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		go func() {
			<-server.Inject(brokertest.OnMethod("basic.return", 1), brokertest.Delay(time.Second)).Played
			declareIn(t, server, "parked", map[string]any{"x-queue-type": "quorum"})
		}()
		synctest.Wait()
		if err := r.park(t.Context(), delivered("x"), "parked", itFailed); err != nil {
			t.Error(err)
		}
		wantBodies(t, server, "parked", "x")
		if n := server.Count("queue.declare"); n != 1 {
			t.Errorf("declared %d times", n)
		}
	})
}

func TestParkThatTheBrokerRefuses(t *testing.T) {
	tests := []struct {
		name  string
		queue string
		code  uint16 // what the declaration is answered with, if not by itself
		class broker.Class
		err   error
	}{
		{name: "a reserved name", queue: "amq.parked", class: broker.Auth},
		{name: "no permission", queue: "parked", code: 403, class: broker.Auth},
		{name: "another one, which is gone at once", queue: "parked", code: 406, err: broker.ErrUnroutable},
		{name: "a name that is too long", queue: strings.Repeat("q", 256), class: broker.Unknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
				if test.code != 0 {
					server.Inject(brokertest.OnMethod("queue.declare", 1), brokertest.CloseChannel(test.code, ""))
				}
				err := r.park(t.Context(), delivered("x"), test.queue, itFailed)
				if test.err == nil {
					wantClass(t, err, test.class)
				} else if !errors.Is(err, test.err) {
					t.Errorf("got %v, want %v", err, test.err)
				}
				if err := r.park(t.Context(), delivered("y"), "another", itFailed); err != nil || server.Count("connection.open") != 1 {
					t.Errorf("the next one: %v, after %d connections", err, server.Count("connection.open"))
				}
			})
		})
	}
}

// What could be read can be sent again.
func TestParkWhatIsNestedDeep(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		deep := any("bottom")
		for range 50 {
			deep = []any{deep}
		}
		d := delivered("1")
		d.Headers = map[string]any{"deep": deep, "decimal": broker.Decimal{Scale: 2, Value: -12345}}
		if err := r.park(t.Context(), d, "parked", itFailed); err != nil {
			t.Fatal(err)
		}
		wantBodies(t, server, "parked", "1")
		for key, want := range d.Headers {
			if got := server.Messages("parked")[0].Headers[key]; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %v", key, got)
			}
		}
	})
}
