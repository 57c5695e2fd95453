package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
)

// counting plays with a consumer of one queue, whose handler does as a message says.
func counting(t *testing.T, edit func(*consumer.Config), play func(h *hall)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &hall{T: t, server: brokertest.NewInMemoryServer(t), ended: make(chan error, 1)}
		if err := errors.Join(h.server.DeclareQueue("q", nil), h.server.DeclareQueue("q.parked", nil)); err != nil {
			t.Fatal(err)
		}
		h.over = make(chan struct{})
		h.config = consumer.Config{
			URLs: []string{h.server.URL()}, Dial: h.server.Dial, GracePeriod: time.Second,
			Subscriptions: []consumer.Subscription{{
				Queue: "q", Concurrency: 4, Prefetch: 10, RequeuePause: time.Minute, OrderingKey: func(d *consumer.Delivery) string { return d.Type },
				Retry: consumer.Retry{Attempts: 2, Backoff: consumer.Backoff{Initial: 10 * time.Minute, Max: 10 * time.Minute}},
				Handler: func(_ context.Context, d *consumer.Delivery) error {
					switch string(d.Body) {
					case "hang":
						<-h.over
					case "second":
						time.Sleep(time.Second)
					case "put back":
						return consumer.Requeue
					case "fail":
						return errors.New("failed")
					case "permanent":
						return consumer.Permanent(errors.New("never"))
					case "panic":
						panic("no")
					case "goexit":
						runtime.Goexit()
					}
					return nil
				},
			}},
		}
		if edit != nil {
			edit(&h.config)
		}
		var err error
		if h.c, err = consumer.New(h.config); err != nil {
			t.Fatal(err)
		}
		go func() { h.ended <- h.c.Run(context.Background()) }()
		defer func() {
			_ = h.c.Stop(context.Background())
			<-h.ended
		}()
		synctest.Wait()
		play(h)
	})
}

func (h *hall) send(key, body string) {
	h.Helper()
	if err := h.server.PublishMessage("q", brokertest.Message{Body: []byte(body), Type: key}); err != nil {
		h.Fatal(err)
	}
	synctest.Wait()
}

func (h *hall) wantCounts(inFlight, waiting, aside int) consumer.SubscriptionStatus {
	h.Helper()
	s := h.status("q")
	if s.InFlight != inFlight || s.Waiting != waiting || s.Aside != aside {
		h.Errorf("%d in flight, %d waiting, %d aside; want %d, %d, %d", s.InFlight, s.Waiting, s.Aside, inFlight, waiting, aside)
	}
	return s
}

func near(got, want time.Time) bool { return got.Sub(want).Abs() < time.Microsecond }

// Where each message is can be seen.
func TestStatusOfDeliveries(t *testing.T) {
	t.Parallel()
	counting(t, nil, func(h *hall) {
		s := h.wantCounts(0, 0, 0)
		if !s.LastDelivery.IsZero() || !s.LastSettled.IsZero() || !s.OldestInFlight.IsZero() {
			h.Errorf("nothing has come: %+v", s)
		}
		h.send("a", "second")
		time.Sleep(10 * time.Minute)
		settled := time.Now().Add(1*time.Second - 10*time.Minute)
		s = h.wantCounts(0, 0, 0)
		if !near(s.LastDelivery, settled.Add(-time.Second)) || !near(s.LastSettled, settled) {
			h.Errorf("one was handled: %+v, %v", s, settled)
		}
		hangs := time.Now()
		h.send("a", "hang")
		time.Sleep(time.Hour)
		s = h.wantCounts(1, 0, 0)
		if !near(s.OldestInFlight, hangs) || !near(s.LastDelivery, hangs) || !near(s.LastSettled, settled) || s.Handling.Calls != 0 {
			h.Errorf("a handler hangs: %+v", s)
		}
		h.send("a", "behind it")
		h.send("a", "behind it")
		h.wantCounts(1, 2, 0)
		h.send("b", "put back")
		h.wantCounts(1, 2, 1)
		h.send("b", "behind it")
		h.wantCounts(1, 2, 2)
		h.send("c", "fail")
		h.wantCounts(1, 2, 3)
		s = h.wantCounts(1, 2, 3)
		if !near(s.OldestInFlight, hangs) || !near(s.LastSettled, time.Now()) || s.Stats.Failed != 1 || s.Stats.Kept != 1 {
			h.Errorf("%+v", s)
		}
		if err := h.c.Subscription("q").Pause(); err != nil {
			h.Fatal(err)
		}
		synctest.Wait()
		h.send("d", "x")
		h.wantCounts(1, 2, 3)
		h.server.Inject(brokertest.Now(), brokertest.Reset())
		time.Sleep(time.Minute)
		h.wantCounts(1, 0, 0) // what waited comes again, later
		if err := h.c.Subscription("q").SetConcurrency(1); err != nil {
			h.Fatal(err)
		}
		last := h.status("q").LastSettled
		close(h.over)
		time.Sleep(time.Second)
		s = h.wantCounts(0, 0, 0)
		if s.Concurrency != 1 || s.LastSettled.Before(last) || !s.OldestInFlight.IsZero() {
			h.Errorf("workers have ended: %+v", s)
		}
	})
}

// Whatever ends a handler, it has ended.
func TestStatusOfFailures(t *testing.T) {
	t.Parallel()
	counting(t, nil, func(h *hall) {
		bodies := []string{"panic", "goexit", "fail", "permanent"}
		for i, body := range bodies {
			h.send(fmt.Sprint(i), body)
			s := h.status("q")
			if s.InFlight != 0 || s.Handling.Calls != uint64(i+1) || !near(s.LastSettled, time.Now()) {
				h.Errorf("after %q: %+v", body, s)
			}
			time.Sleep(time.Second)
		}
		h.wantCounts(0, 0, 3) // to be called again; one is parked
	})
}

// The consumer's own publisher is looked at, and not begun with.
func TestStatusOfThePublisher(t *testing.T) {
	t.Parallel()
	counting(t, nil, func(h *hall) {
		if s, used := h.c.PublisherStatus(); used || s.State != publish.Disconnected {
			h.Errorf("nobody has used it: %+v", s)
		}
		synctest.Wait()
		if n := len(h.server.Connections()); n != 1 {
			h.Errorf("%d connections", n)
		}
		h.server.WithholdConfirms("q.parked")
		parked := time.Now()
		h.send("a", "permanent")
		time.Sleep(time.Minute)
		h.wantCounts(0, 0, 1)
		s, used := h.c.PublisherStatus()
		if !used || s.State != publish.Publishing || !s.OldestUnconfirmed.Equal(parked) || s.Endpoint == "" || s.Stats.Unconfirmed != 1 {
			h.Errorf("it waits for a confirm: %+v", s)
		}
		h.server.ReleaseConfirms("q.parked")
		time.Sleep(time.Second)
		if s, _ := h.c.PublisherStatus(); !s.OldestUnconfirmed.IsZero() || s.Stats.Confirmed != 1 {
			h.Errorf("all is confirmed: %+v", s)
		}
		h.wantCounts(0, 0, 0)
	})
}
