package consumer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// codes are those of reasons.
func codes(reasons []consumer.Reason) (list []string) {
	for _, r := range reasons {
		list = append(list, r.Code)
	}
	return list
}

// wantReady checks why it is not ready, and that it is alive.
func (h *hall) wantReady(reasons ...string) consumer.Status {
	h.Helper()
	s := h.c.Status()
	if got := codes(s.NotReady); !slices.Equal(got, reasons) {
		h.Errorf("not ready: %+v, want %v", s.NotReady, reasons)
	}
	if s.Ready() != (len(reasons) == 0) || !s.Alive() {
		h.Errorf("ready %t, alive %t: %+v", s.Ready(), s.Alive(), s)
	}
	return s
}

// status is that of one subscription.
func (h *hall) status(queue string) consumer.SubscriptionStatus {
	h.Helper()
	for s := range h.c.Status().Subscriptions() {
		if s.Queue == queue {
			return s
		}
	}
	h.Fatalf("there is no subscription of %s", queue)
	return consumer.SubscriptionStatus{}
}

func (h *hall) wantDoing(queue string, doing consumer.Doing, why string) consumer.SubscriptionStatus {
	h.Helper()
	s := h.status(queue)
	if s.Doing != doing || !strings.Contains(s.Why, why) || (s.Why == "") != (why == "") {
		h.Errorf("%s: %s, because of %q; want %s, %q", queue, s.Doing, s.Why, doing, why)
	}
	return s
}

func TestStatusAroundRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		made := func() *hall {
			c, err := consumer.New(consumer.Config{
				URLs: []string{server.URL()}, Dial: server.Dial, Name: "orders",
				Subscriptions: []consumer.Subscription{{
					Queue: "q", Prefetch: 7, Concurrency: 3, Handler: func(context.Context, *consumer.Delivery) error { return nil },
				}},
				GiveUpOn: []broker.Class{broker.NotFound},
			})
			if err != nil {
				t.Fatal(err)
			}
			return &hall{T: t, c: c}
		}
		began := time.Now()
		h := made()
		time.Sleep(time.Hour)
		s := h.wantReady(consumer.ReasonNotStarted)
		if s.Name != "orders" || s.State != consumer.Disconnected || !s.Since.Equal(began) || !s.Time.Equal(time.Now()) || len(s.Connections) > 0 {
			t.Errorf("before Run: %+v", s)
		}
		of := h.wantDoing("q", consumer.DoingNothing, "")
		if of.MaxPrefetch != 7 || of.Prefetch != 0 || of.Concurrency != 3 || len(of.Handling.Histogram) != len(consumer.HandlingBuckets())+1 {
			t.Errorf("before Run: %+v", of)
		}
		if err := errors.Join(h.c.Stop(t.Context())); err != nil {
			t.Fatal(err)
		}
		h.wantReady(consumer.ReasonStopped)
		if err := h.c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.wantReady(consumer.ReasonStopped)

		h = made()
		err := h.c.Run(t.Context())
		var gaveUp *consumer.Error
		if !errors.As(err, &gaveUp) {
			t.Fatalf("Run returned %v", err)
		}
		s = h.c.Status()
		if !slices.Equal(codes(s.NotReady), []string{consumer.ReasonStopped}) || !slices.Equal(codes(s.NotAlive), []string{consumer.ReasonFailed}) ||
			s.NotAlive[0].Text != err.Error() || s.Alive() {
			t.Errorf("after an error: %+v", s)
		}
		h.wantDoing("q", consumer.DoingNothing, "no queue 'q'")
	})
}

// It is not ready until the last consume-ok, and alive through an outage of hours.
func TestStatusOfTheState(t *testing.T) {
	t.Parallel()
	inHall(t, 3, func(h *hall) {
		h.server.RefuseConnections()
		h.config.DrainTimeout, h.config.ProbeTimeout = 2*time.Second, 2*time.Second
		h.sparse.Store(true)
	}, func(h *hall) {
		began := time.Now()
		time.Sleep(5 * time.Hour)
		s := h.wantReady(consumer.ReasonReviving)
		c := s.Connections[0]
		if s.State != consumer.Reviving || !s.Since.Equal(began) || c.Open || c.Attempt < 100 || c.Silence != 0 || c.Endpoint != "" ||
			c.Class != string(broker.Network) || !strings.Contains(c.Error, "refused") || !strings.Contains(s.NotReady[0].Text, c.Error) || c.Subscriptions != 3 {
			h.Errorf("the broker is away: %+v", s)
		}
		if wait := time.Until(c.NextAttempt); wait < 0 || wait > consumer.DefaultBackoffMax {
			h.Errorf("the next attempt is in %v", wait)
		}
		h.wantDoing("q1", consumer.DoingRevive, "refused")

		h.server.SuspendQueue("q1")
		if err := h.server.AcceptConnections(); err != nil {
			h.Fatal(err)
		}
		time.Sleep(time.Until(c.NextAttempt) + 100*time.Millisecond)
		s = h.wantReady(consumer.ReasonReviving) // nobody has set it apart yet
		if r := s.NotReady[0]; r.Queues != 1 || r.Queue != "q1" || !s.Connections[0].Open || s.Connections[0].Endpoint == "" || !s.Connections[0].NextAttempt.IsZero() {
			h.Errorf("one is missing: %+v", s)
		}
		h.wantDoing("q0", consumer.DoingConsume, "")
		h.server.ResumeQueue("q1")
		h.awaitState(true)
		synctest.Wait()
		s = h.wantReady()
		since := s.Since
		c = s.Connections[0]
		if !c.Home || !c.Open || c.Error != "" || c.Class != "" || c.Attempt != 0 || c.Generation < 100 || time.Since(since) > time.Second {
			h.Errorf("all is well: %+v", s)
		}
		if q := h.wantDoing("q1", consumer.DoingConsume, ""); q.Prefetch != consumer.DefaultPrefetch || q.Generation != c.Generation || q.Type != "" {
			h.Errorf("all is well: %+v", q)
		}

		h.server.Inject(brokertest.Now(), brokertest.Freeze(brokertest.ToClient))
		time.Sleep(3 * time.Second)
		s = h.wantReady() // it may be well
		if s.State != consumer.HeartbeatCheck || !s.Since.Equal(since) || s.Connections[0].Silence < 2*time.Second {
			h.Errorf("it is silent: %+v", s)
		}
		h.server.RefuseConnections()
		time.Sleep(3 * time.Second)
		s = h.wantReady(consumer.ReasonReviving)
		if !s.Since.After(since) || s.Connections[0].Open {
			h.Errorf("it was silent: %+v", s)
		}
		if err := h.server.AcceptConnections(); err != nil {
			h.Fatal(err)
		}
		h.awaitState(true)
	})
}

func TestStatusBlocked(t *testing.T) {
	t.Parallel()
	inHall(t, 1, nil, func(h *hall) {
		h.awaitState(true)
		h.server.Inject(brokertest.Now(), brokertest.Block("low on memory"))
		synctest.Wait()
		since := time.Now()
		time.Sleep(time.Second)
		if c := h.c.Status().Connections[0]; !c.BlockedSince.Equal(since) || c.BlockedReason != "low on memory" {
			h.Errorf("blocked: %+v", c)
		}
		h.server.Inject(brokertest.Now(), brokertest.Unblock())
		synctest.Wait()
		if c := h.c.Status().Connections[0]; !c.BlockedSince.IsZero() || c.BlockedReason != "" {
			h.Errorf("not blocked any more: %+v", c)
		}
	})
}

func TestStatusPausedAndBreaker(t *testing.T) {
	t.Parallel()
	inHall(t, 3, func(h *hall) {
		h.config.Subscriptions[2].Breaker = consumer.Breaker{Failures: 10, Pause: time.Minute}
		h.config.Subscriptions[2].Retry.Attempts = 2
		h.config.Subscriptions[2].Handler = func(context.Context, *consumer.Delivery) error { return errors.New("no database") }
	}, func(h *hall) {
		h.await("the breaker", func() bool { return h.status("q2").Doing == consumer.DoingBreak })
		s := h.wantReady(consumer.ReasonBreaker)
		q := h.wantDoing("q2", consumer.DoingBreak, "10 failures in a row")
		if r := s.NotReady[0]; r.Queues != 1 || r.Queue != "q2" || !strings.Contains(r.Text, "10 failures in a row") || !r.Since.Equal(q.Since) {
			h.Errorf("the breaker is open: %+v", r)
		}
		if open := time.Until(q.Until); open < 59*time.Second || open > time.Minute || q.Prefetch != 0 {
			h.Errorf("the breaker is open for %v; %+v", open, q)
		}
		for _, queue := range h.queues[:2] {
			if err := h.c.Subscription(queue).Pause(); err != nil {
				h.Fatal(err)
			}
		}
		synctest.Wait()
		if r := h.wantReady(consumer.ReasonPaused, consumer.ReasonBreaker).NotReady[0]; r.Queues != 2 || r.Queue != "q0" {
			h.Errorf("paused: %+v", r)
		}
		h.wantDoing("q1", consumer.DoingPause, "Pause")
		for _, queue := range h.queues {
			if err := h.c.Subscription(queue).Resume(); err != nil {
				h.Fatal(err)
			}
		}
		synctest.Wait()
		h.wantReady()
		h.wantDoing("q1", consumer.DoingConsume, "")
		if q := h.wantDoing("q2", consumer.DoingConsume, ""); !q.Until.IsZero() {
			h.Errorf("the breaker is closed: %+v", q)
		}
	})
}

func TestStatusApart(t *testing.T) {
	t.Parallel()
	inHall(t, 4, func(h *hall) {
		h.server.SuspendQueue("q1")
		h.config.Subscriptions[2].Declare = &broker.QueueOptions{Durable: true, Strict: true, Arguments: map[string]any{"x-max-length": 7}}
		h.config.Subscriptions[3].Declare = nil
	}, func(h *hall) {
		h.awaitState(true)
		time.Sleep(10 * time.Second)
		s := h.wantReady(consumer.ReasonApart, consumer.ReasonGivenUp)
		if r := s.NotReady[0]; r.Queue != "q1" || !strings.Contains(r.Text, "does not answer") {
			h.Errorf("apart: %+v", r)
		}
		if r := s.NotReady[1]; r.Queue != "q2" || !strings.Contains(r.Text, "x-max-length") {
			h.Errorf("given up: %+v", r)
		}
		q1 := h.wantDoing("q1", consumer.DoingRevive, "did not answer in time")
		q2 := h.wantDoing("q2", consumer.DoingTry, "x-max-length")
		if !strings.Contains(q1.Apart, "does not answer") || q2.Apart == "" || q2.Class != string(broker.Precondition) || q1.Class != string(broker.Overdue) {
			h.Errorf("apart: %+v; %+v", q1, q2)
		}
		if len(s.Connections) != 3 || !s.Connections[0].Home || s.Connections[1].Home || s.Connections[0].Subscriptions != 2 {
			h.Errorf("connections: %+v", s.Connections)
		}
		h.server.DeleteQueue("q3")
		time.Sleep(10 * time.Second)
		r := h.wantReady(consumer.ReasonReviving, consumer.ReasonApart, consumer.ReasonGivenUp).NotReady[0]
		if r.Queue != "q3" || r.Queues != 1 || !strings.Contains(r.Text, "no queue 'q3'") {
			h.Errorf("deleted: %+v", r)
		}
		if q := h.wantDoing("q3", consumer.DoingRevive, "no queue 'q3'"); q.Class != string(broker.NotFound) || q.Apart != "" {
			h.Errorf("deleted: %+v", q)
		}
		h.server.ResumeQueue("q1")
		h.server.DeleteQueue("q2")
		if err := h.server.DeclareQueue("q3", nil); err != nil {
			h.Fatal(err)
		}
		h.sparse.Store(true)
		time.Sleep(2 * time.Hour)
		h.wantReady()
		for _, queue := range h.queues {
			if q := h.wantDoing(queue, consumer.DoingConsume, ""); q.Apart != "" || q.Class != "" {
				h.Errorf("all is well: %+v", q)
			}
		}
	})
}

// What an event says is so when it is told.
func TestStatusAgreesWithEvents(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []fsm.State
	inHall(t, 2, func(h *hall) {
		h.config.Journal = h.journal
		h.config.Observers = []func(fsm.Event){func(e fsm.Event) {
			s := h.c.Status()
			mu.Lock()
			defer mu.Unlock()
			if last, _ := h.journal.Last(); e.Seq == last.Seq && s.State != e.To {
				t.Errorf("after seq %d the state is %s, want %s", e.Seq, s.State, e.To)
			}
			if e.To == consumer.Reviving && s.State == e.To && s.Ready() || e.Trigger == consumer.Revived && s.State == e.To && !s.Ready() {
				t.Errorf("after %s: %+v", e.Trigger, s)
			}
			if e.Kind == fsm.KindTransition && e.From != e.To && s.State == e.To && e.Trigger != consumer.DrainTimeout && e.Trigger != consumer.HeartbeatOK && !s.Since.Equal(e.Time) {
				t.Errorf("after %s: since %v, want %v", e.Trigger, s.Since, e.Time)
			}
			seen = append(seen, e.To)
		}}
		h.sparse.Store(true)
	}, func(h *hall) {
		for range 20 {
			time.Sleep(7 * time.Second)
			h.server.Inject(brokertest.Now(), brokertest.Reset())
		}
		h.awaitState(true)
	})
	if len(seen) < 60 {
		t.Errorf("%d events were seen", len(seen))
	}
}
