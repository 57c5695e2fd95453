package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer/publish"
)

// republishing runs a test in a bubble, with a broker and a republisher.
func republishing(t *testing.T, test func(t *testing.T, server *brokertest.Server, r *republisher)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		r := republisherOn(t, Config{URLs: []string{server.URL()}, Dial: server.Dial, Name: "test"})
		test(t, server, r)
	})
}

// republisherOn is one that a consumer of such a configuration would have.
func republisherOn(t *testing.T, c Config) *republisher {
	t.Helper()
	publisher, err := newPublisher(c.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	r := newRepublisher(&sending{publisher: publisher}, c.Logger)
	t.Cleanup(func() { r.sending.end() })
	return r
}

// running runs a consumer until stop is called; then Run's error comes.
func running(t *testing.T, c *Consumer) (stop func(), ended <-chan error) {
	ctx, stop := context.WithCancel(t.Context())
	run := make(chan error, 1)
	go func() { run <- c.Run(ctx) }()
	return stop, run
}

func declareIn(t *testing.T, server *brokertest.Server, queue string, arguments map[string]any) {
	t.Helper()
	if err := server.DeclareQueue(queue, arguments); err != nil {
		t.Fatal(err)
	}
}

var (
	errHandler = errors.New("no such customer")
	firstTime  = time.Unix(1_000_000_000, 0)
	secondTime = firstTime.Add(time.Hour)
	itFailed   = failure{reason: errHandler.Error(), attempts: 1, first: firstTime, last: firstTime}
)

func delivered(body string) *Delivery {
	return &Delivery{Body: []byte(body), Queue: "work", Exchange: "events", RoutingKey: "work.now", MessageID: body}
}

func wantBodies(t *testing.T, server *brokertest.Server, queue string, want ...string) {
	t.Helper()
	var got []string
	for _, m := range server.Messages(queue) {
		got = append(got, string(m.Body))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", queue, got, want)
	}
}

func wantClass(t *testing.T, err error, want broker.Class) {
	t.Helper()
	if class, _ := broker.Classify(err); err == nil || class != want {
		t.Errorf("got %v, want class %s", err, want)
	}
}

// elapsed is how long f runs, in the bubble's time.
func elapsed(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

func TestRepublishedMessage(t *testing.T) {
	r := newRepublisher(nil, zerolog.Nop())
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	death := []any{map[string]any{"queue": "work", "reason": "expired"}}
	d := &Delivery{
		Body: []byte("x"), Queue: "work", Exchange: "events", RoutingKey: "work.now", Redelivered: true, DeliveryMode: 1,
		Headers: map[string]any{
			"a": map[string]any{"b": int32(1)}, "x-death": death, "x-first-death-queue": "work", "x-delivery-count": int64(2),
			"x-stream-offset": int64(9), "CC": []any{"copy"},
		},
		ContentType: "text/plain", ContentEncoding: "gzip", Priority: 7, CorrelationID: "correlation", ReplyTo: "answers",
		Expiration: "60000", MessageID: "id", Timestamp: firstTime, Type: "type", UserID: "somebody", AppID: "app",
	}
	headers := map[string]any{
		"a": map[string]any{"b": int32(1)}, "x-first-death-queue": "work",
		HeaderAttempts: int64(1), HeaderError: "no such customer", HeaderFirstFailed: firstTime, HeaderLastFailed: firstTime,
		HeaderQueue: "work", HeaderHost: host, HeaderExchange: "events", HeaderRoutingKey: "work.now",
		HeaderExpiration: "60000", HeaderUserID: "somebody", HeaderCC: []any{"copy"},
	}
	want := broker.Message{
		Body: []byte("x"), Headers: headers,
		ContentType: "text/plain", ContentEncoding: "gzip", Priority: 7, CorrelationID: "correlation", ReplyTo: "answers",
		MessageID: "id", Timestamp: firstTime, Type: "type", AppID: "app",
	}
	before := maps.Clone(d.Headers)
	first := copyOf(d, r.headers(d, itFailed, everything))
	if !reflect.DeepEqual(first, want) {
		t.Errorf("got %+v\nwant %+v", first, want)
	}
	if !reflect.DeepEqual(d.Headers, before) {
		t.Errorf("the delivery was changed: %v", d.Headers)
	}

	// It comes back from the delay queue, and fails again.
	back := &Delivery{Body: []byte("x"), Queue: "work", RoutingKey: "work", Headers: maps.Clone(first.Headers)}
	back.Headers["x-death"] = death
	second := copyOf(back, r.headers(back, failure{reason: "again", attempts: 2, first: secondTime, last: secondTime}, everything))
	headers[HeaderAttempts], headers[HeaderError], headers[HeaderLastFailed] = int64(2), "again", secondTime
	if want := (broker.Message{Body: []byte("x"), Headers: headers, NoTimestamp: true, NoMessageID: true}); !reflect.DeepEqual(second, want) {
		t.Errorf("got %+v\nwant %+v", second, want)
	}
}

func TestRepublishManyAtOnce(t *testing.T) {
	const workers, each = 30, 20
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		server.Inject(brokertest.OnMethod("basic.publish", workers*each/2), brokertest.Reset())
		var work sync.WaitGroup
		for w := range workers {
			work.Go(func() {
				for i := range each {
					if err := r.park(t.Context(), delivered(fmt.Sprint(w, i)), "parked", itFailed); err != nil {
						t.Errorf("%d %d: %v", w, i, err)
					}
				}
			})
		}
		work.Wait()
		seen := map[string]bool{}
		for _, m := range server.Messages("parked") {
			seen[string(m.Body)] = true
		}
		if len(seen) != workers*each {
			t.Errorf("%d of %d are there", len(seen), workers*each)
		}
		if n := server.Count("connection.open"); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
	})
}

// Under an alarm the broker reads in the end what was sent meanwhile. So no more than the first message is.
func TestRepublishUnderAnAlarm(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		declareIn(t, server, "parked", nil)
		server.Alarm("low on disk")
		for i, want := range []error{publish.ErrNotKnown, publish.ErrNotSent} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := r.park(ctx, delivered(fmt.Sprint(i+1)), "parked", itFailed)
			if !errors.Is(err, want) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("message %d: %v", i+1, err)
			}
		}
		time.AfterFunc(time.Minute, server.ClearAlarm)
		if err := r.park(t.Context(), delivered("3"), "parked", itFailed); err != nil {
			t.Errorf("after the alarm: %v", err)
		}
		wantBodies(t, server, "parked", "1", "3")
	})
}

func TestRepublisherCloses(t *testing.T) {
	t.Run("unused", func(t *testing.T) {
		republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
			r.sending.end()
			if err := r.park(t.Context(), delivered("x"), "parked", itFailed); !errors.Is(err, publish.ErrStopped) {
				t.Errorf("after close: %v", err)
			}
			if n := server.Count("connection.open"); n != 0 {
				t.Errorf("%d connections", n)
			}
		})
	})
	t.Run("used", func(t *testing.T) {
		republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
			if err := r.park(t.Context(), delivered("x"), "parked", itFailed); err != nil {
				t.Fatal(err)
			}
			r.sending.end()
			synctest.Wait()
			if n := server.Count("connection.close"); n != 1 || len(server.Connections()) != 0 {
				t.Errorf("%d said goodbye, %+v are left", n, server.Connections())
			}
		})
	})
	t.Run("under an alarm", func(t *testing.T) { // or it would be left behind when Run returns
		republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
			declareIn(t, server, "parked", nil)
			server.Alarm("low on disk")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := r.park(ctx, delivered("x"), "parked", itFailed); !errors.Is(err, publish.ErrNotKnown) {
				t.Errorf("got %v", err)
			}
			if d := elapsed(func() { r.sending.end() }); d > cutGrace {
				t.Errorf("close took %v", d)
			}
		})
	})
	for name, method := range map[string]string{
		"opening": "connection.open", "declaring": "queue.declare", "publishing": "basic.ack",
	} {
		t.Run(name, func(t *testing.T) {
			republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
				server.Inject(brokertest.OnMethod(method, 1), brokertest.Drop())
				failed := make(chan error, 1)
				go func() { failed <- r.park(t.Context(), delivered("x"), "parked", itFailed) }()
				synctest.Wait()
				if d := elapsed(func() { r.sending.end() }); d > cutGrace {
					t.Errorf("close took %v", d)
				}
				if err := <-failed; err == nil {
					t.Error("what was under way returned nil")
				}
			})
		})
	}
}
