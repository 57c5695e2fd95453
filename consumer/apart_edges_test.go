package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// otherwise is how a queue of the hall is not declared.
func otherwise() *broker.QueueOptions {
	return &broker.QueueOptions{Durable: true, Strict: true, Arguments: map[string]any{"x-max-length": 7}}
}

// Of ten subscriptions three are broken for good, in different ways: the other seven handle everything, it is told
// which they are and why, and all of that stays bounded. It counts goroutines, so it is not parallel.
func TestApartThreeOfTen(t *testing.T) {
	const silent, deadly, differs = "q2", "q5", "q8"
	inHall(t, 10, func(h *hall) { h.config.Subscriptions[8].Declare = otherwise() }, func(h *hall) {
		healthy := slices.DeleteFunc(slices.Clone(h.queues), func(queue string) bool { return slices.Contains([]string{silent, deadly, differs}, queue) })
		h.awaitState(true)
		time.Sleep(10 * time.Second)
		h.wantFlow(feed+10*time.Millisecond, healthy...) // the third has kept nobody
		h.server.EndConnectionsAt(deadly, "bad")
		if err := h.server.Publish(deadly, "bad"); err != nil {
			t.Fatal(err)
		}
		h.server.SuspendQueue(silent)
		h.await("all three to be named", func() bool {
			return h.says(silent, consumer.NoteApart, "does not answer") && h.says(deadly, consumer.NoteApart, "look at the message in front of the queue") &&
				h.says(differs, consumer.NoteApart, "the others go on without it")
		})
		time.Sleep(10 * time.Second)
		h.forget()
		time.Sleep(time.Minute)
		h.wantFlow(feed+10*time.Millisecond, healthy...)

		h.sparse.Store(true)
		time.Sleep(5 * time.Minute) // everything healthy is at home
		// Without the probes of a broker that is silent, since there are few messages, and without what becomes of those.
		told := func() int {
			return len(slices.DeleteFunc(h.journal.Events(), func(e fsm.Event) bool {
				return e.Trigger == consumer.DrainTimeout || e.Trigger == consumer.HeartbeatOK || e.Name == consumer.NoteOutcomes
			}))
		}
		events, opened, goroutines := told(), h.server.Count("connection.open"), runtime.NumGoroutine()
		h.forget()
		for minute := range 60 {
			time.Sleep(time.Minute)
			if n := len(h.server.Connections()); n > 4 {
				t.Errorf("after %d minutes: %d connections", minute, n)
			}
			if state := h.state(); state != consumer.Consuming {
				t.Errorf("after %d minutes: %s", minute, state)
			}
		}
		h.wantFlow(100*feed+10*time.Millisecond, healthy...)
		events, opened = told()-events, h.server.Count("connection.open")-opened
		t.Logf("in an hour: %d events, %d connections opened, goroutines %d and %d", events, opened, goroutines, runtime.NumGoroutine())
		if events > 60*12 {
			t.Errorf("%d events in an hour", events)
		}
		if opened > 60*8 {
			t.Errorf("%d connections in an hour", opened)
		}
		if n := runtime.NumGoroutine(); n > goroutines+40 {
			t.Errorf("%d goroutines, an hour before %d", n, goroutines)
		}
		h.sparse.Store(false)
		h.forget()
		time.Sleep(time.Minute)
		h.wantFlow(feed+10*time.Millisecond, healthy...)
	})
}

// More subscriptions than channels on a connection: as many connections as are needed, and no more.
func TestApartChannelLimit(t *testing.T) {
	t.Parallel()
	inHall(t, 60, func(h *hall) { h.config.URLs[0] += "?channel_max=11" }, func(h *hall) {
		h.awaitState(true)
		time.Sleep(5 * time.Second)
		h.forget()
		time.Sleep(10 * time.Second)
		h.wantFlow(feed+10*time.Millisecond, h.queues...)
		if n := len(h.server.Connections()); n != 6 {
			t.Errorf("%d connections, 10 queues on each would do", n)
		}
		h.server.Inject(brokertest.Now(), brokertest.Reset())
		time.Sleep(10 * time.Second)
		h.forget()
		time.Sleep(10 * time.Second)
		h.wantFlow(feed+10*time.Millisecond, h.queues...)
		if n := len(h.server.Connections()); n != 6 {
			t.Errorf("%d connections after they were reset", n)
		}
	})
}

// A majority of the nodes is gone, so no queue answers: that needs no connection for each.
func TestApartAllAreSilent(t *testing.T) {
	t.Parallel()
	inHall(t, 50, func(h *hall) {
		for _, queue := range h.queues {
			h.server.SuspendQueue(queue)
		}
		h.sparse.Store(true)
	}, func(h *hall) {
		for range 60 {
			time.Sleep(10 * time.Second)
			if n := len(h.server.Connections()); n > 17 {
				t.Fatalf("%d connections", n)
			}
		}
		left := h.queues[slices.IndexFunc(h.queues, func(queue string) bool { return !slices.Contains(h.notes(queue), consumer.NoteApart) })]
		for _, queue := range h.queues {
			if queue != left {
				h.server.ResumeQueue(queue)
			}
		}
		h.awaitState(true) // what was left on the shared connection goes on apart
		h.await("the others to come home", func() bool { return len(h.server.Connections()) <= 2 })
		h.server.ResumeQueue(left)
		h.awaitNote(left, consumer.NoteHome)
		h.await("all to come home", func() bool { return len(h.server.Connections()) == 1 })
		h.sparse.Store(false)
		time.Sleep(10 * time.Second)
		h.forget()
		time.Sleep(5 * time.Second)
		h.wantFlow(feed+10*time.Millisecond, h.queues...)
	})
}

// What is apart is told of before the rest counts as everything.
func TestApartIsToldFirst(t *testing.T) {
	t.Parallel()
	inHall(t, 3, func(h *hall) { h.server.SuspendQueue("q1") }, func(h *hall) {
		h.awaitState(true)
		for _, e := range h.journal.Events() {
			switch {
			case e.Name == consumer.NoteApart:
				return
			case e.To == consumer.Consuming:
				t.Fatal("Consuming, and nobody has said that q1 is not consumed")
			}
		}
	})
}

// A queue that does not outlive its consumer or its connection is not left for the shared one.
func TestApartStaysWhereItIs(t *testing.T) {
	t.Parallel()
	inHall(t, 9, func(h *hall) {
		for i, declare := range map[int]*broker.QueueOptions{4: nil, 5: {AutoDelete: true}, 6: {Exclusive: true}, 7: {Exclusive: true}} {
			if h.config.Subscriptions[i].Declare = declare; declare != nil {
				h.server.DeleteQueue(h.queues[i])
			}
		}
		h.config.Subscriptions[7].Queue = "" // the broker names it
	}, func(h *hall) {
		h.awaitState(true)
		time.Sleep(10 * time.Second)
		h.server.EndConnectionsAt("q8", "bad")
		if err := h.server.Publish("q8", "bad"); err != nil {
			t.Fatal(err)
		}
		h.await("the culprit to be named", func() bool { return h.says("q8", consumer.NoteApart, "prefetch 1") })
		time.Sleep(20 * time.Second)
		h.sparse.Store(true)
		h.forget()
		time.Sleep(10 * time.Minute)
		h.wantFlow(100*feed+10*time.Millisecond, "q1", "q2", "q3", "q4", "q5", "q6")
		for _, e := range h.journal.Events() {
			if e.Name == consumer.NoteHome {
				t.Errorf("%q came home", consumer.EvidenceOf(e).Queue)
			}
		}
		if n := h.server.Count("basic.cancel"); n > 0 {
			t.Errorf("%d consumers were cancelled", n)
		}
	})
}

// What is busy does not come home: it would have to leave what it has, and that would come twice.
func TestApartBusy(t *testing.T) {
	t.Parallel()
	inHall(t, 3, func(h *hall) {
		h.server.SuspendQueue("q1")
		h.config.Subscriptions[1].Handler = func(ctx context.Context, d *consumer.Delivery) error {
			time.Sleep(time.Second)
			return h.handle(ctx, d)
		}
	}, func(h *hall) {
		h.awaitNote("q1", consumer.NoteApart)
		h.server.ResumeQueue("q1")
		h.awaitNote("q1", consumer.NoteApartConsuming)
		h.forget()
		time.Sleep(5 * time.Minute)
		h.mu.Lock()
		defer h.mu.Unlock()
		for body, n := range h.handled["q1"] {
			if n > 1 {
				t.Errorf("%s was handled %d times", body, n)
			}
		}
		if gap := h.gap["q1"]; gap > 1100*time.Millisecond {
			t.Errorf("nothing was handled for %v", gap)
		}
	})
}

// What is paused stays where it is, with what it has in memory.
func TestApartPaused(t *testing.T) {
	t.Parallel()
	inHall(t, 3, func(h *hall) {
		h.server.SuspendQueue("q1")
		h.config.Subscriptions[1].Handler = func(ctx context.Context, d *consumer.Delivery) error {
			time.Sleep(100 * time.Millisecond)
			return h.handle(ctx, d)
		}
	}, func(h *hall) {
		h.awaitNote("q1", consumer.NoteApart)
		h.server.ResumeQueue("q1")
		h.awaitNote("q1", consumer.NoteApartConsuming)
		if err := h.c.Subscription("q1").Pause(); err != nil {
			t.Fatal(err)
		}
		h.awaitNote("q1", consumer.NotePaused)
		h.sparse.Store(true)
		time.Sleep(10 * time.Minute)
		q, _ := h.server.Queue("q1")
		if q.Unacknowledged == 0 {
			t.Errorf("it gave back what waited in memory: %+v", q)
		}
		if err := h.c.Subscription("q1").Resume(); err != nil {
			t.Fatal(err)
		}
		h.awaitNote("q1", consumer.NoteHome)
	})
}

// The broker takes no more connections of this user: what is consumed goes on.
func TestApartIsRefused(t *testing.T) {
	t.Parallel()
	inHall(t, 3, func(h *hall) { h.config.HealWithin = time.Minute }, func(h *hall) {
		h.awaitState(true)
		h.server.SetPassword("guest", "another")
		h.server.SuspendQueue("q1")
		if err := h.c.Subscription("q1").SetPrefetch(7); err != nil {
			t.Fatal(err)
		}
		h.sparse.Store(true)
		time.Sleep(20 * time.Minute)
		h.wantFlow(100*feed+10*time.Millisecond, "q0", "q2")
		h.server.SetPassword("guest", "guest")
		h.server.ResumeQueue("q1")
		h.awaitNote("q1", consumer.NoteHome)
	})
}

// What one subscription has consumed is not forgotten because another one never could.
func TestHealWithinBesideMissingQueue(t *testing.T) {
	t.Parallel()
	inHall(t, 2, func(h *hall) { h.server.DeleteQueue("q1") }, func(h *hall) {
		h.sparse.Store(true)
		time.Sleep(time.Minute)
		for range 3 {
			h.server.SetPassword("guest", "another")
			h.server.Inject(brokertest.Now(), brokertest.Reset())
			time.Sleep(6 * time.Minute)
			h.server.SetPassword("guest", "guest")
			time.Sleep(time.Minute)
		}
		h.wantFlow(7*time.Minute, "q0")
		h.forget()
		time.Sleep(time.Minute)
		h.wantFlow(100*feed+10*time.Millisecond, "q0")
	})
}

// Two queues whose messages end connections, and the shared connection is no longer one of them.
func TestApartTwoCulprits(t *testing.T) {
	t.Parallel()
	inHall(t, 6, nil, func(h *hall) {
		h.awaitState(true)
		time.Sleep(10 * time.Second)
		for _, culprit := range []string{"q0", "q1"} {
			h.server.EndConnectionsAt(culprit, "bad")
			if err := h.server.Publish(culprit, "bad"); err != nil {
				t.Fatal(err)
			}
		}
		for _, culprit := range []string{"q0", "q1"} {
			h.await("the culprit to be named", func() bool { return h.says(culprit, consumer.NoteApart, "prefetch 1") })
		}
		h.sparse.Store(true)
		time.Sleep(10 * time.Minute)
		h.forget()
		for range 3600 {
			time.Sleep(time.Second)
			if state := h.state(); state != consumer.Consuming {
				t.Fatalf("%s, and two are apart: %v", state, h.notes(""))
			}
		}
		h.wantFlow(100*feed+10*time.Millisecond, "q2", "q3", "q4", "q5")
		if n := len(h.server.Connections()); n > 3 {
			t.Errorf("%d connections", n)
		}
	})
}

// With FailFast what is apart ends the run, and what the shared connection does then is of no account.
func TestFailFastThenReset(t *testing.T) {
	t.Parallel()
	inHall(t, 3, func(h *hall) {
		h.config.FailFast, h.config.MaxReviveAttempts = true, 2
		h.server.SuspendQueue("q1")
		h.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
			time.Sleep(5 * time.Second)
			return h.handle(ctx, d)
		}
	}, func(h *hall) {
		h.awaitState(true)
		h.await("the end", func() bool { return h.c.State() == consumer.Disconnected })
		h.server.Inject(brokertest.Now(), brokertest.Reset())
		err := <-h.ended
		h.ended <- err
		var gaveUp *consumer.Error
		if !errors.As(err, &gaveUp) || !errors.Is(err, consumer.ErrRetriesExhausted) || strings.Contains(fmt.Sprint(err), "\n") {
			t.Errorf("Run returned %v", err)
		}
	})
}

// A stop waits for no queue that does not answer.
func TestStopBesideSilentQueue(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{time.Second, 10500 * time.Millisecond, 15 * time.Second, time.Minute} {
		inHall(t, 3, nil, func(h *hall) {
			h.awaitState(true)
			time.Sleep(time.Second)
			h.server.SuspendQueue("q1")
			if err := h.c.Subscription("q1").SetPrefetch(7); err != nil {
				t.Fatal(err)
			}
			time.Sleep(after)
			began := time.Now()
			if err := h.c.Stop(context.Background()); err != nil {
				t.Errorf("after %v: %v", after, err)
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("after %v: the stop took %v", after, took)
			}
		})
	}
}
