package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/fsm"
)

// roomWorld is one in which messages that begin with "bad" are put back for ever.
type roomWorld struct {
	t      *testing.T
	server *brokertest.Server
	c      *Consumer
	events *fsm.Ring

	mu      sync.Mutex
	handled []string
}

// withRoom runs a subscription to a queue that has these messages.
func withRoom(t *testing.T, queueType string, set func(*Config, *Subscription), messages []string, test func(w *roomWorld)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &roomWorld{t: t, server: brokertest.NewInMemoryServer(t), events: fsm.NewRing(10_000)}
		declareIn(t, w.server, "work", map[string]any{"x-queue-type": queueType})
		if err := w.server.Publish("work", messages...); err != nil {
			t.Fatal(err)
		}
		sub := Subscription{Queue: "work", Handler: func(_ context.Context, d *Delivery) error {
			if strings.HasPrefix(string(d.Body), "bad") {
				return Requeue
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.handled = append(w.handled, string(d.Body))
			return nil
		}}
		config := Config{URLs: []string{w.server.URL()}, Dial: w.server.Dial, Name: "room", Journal: w.events}
		set(&config, &sub)
		config.Subscriptions = []Subscription{sub}
		c, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		w.c = c
		stop, ended := running(t, c)
		test(w)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func (w *roomWorld) wants(after string, want ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.handled, want) {
		w.t.Errorf("%s: handled %v, want %v", after, w.handled, want)
	}
}

func numbered(what string, n int) (messages []string) {
	for i := range n {
		messages = append(messages, fmt.Sprintf("%s %d", what, i))
	}
	return messages
}

// Messages that are put back for ever, in front of the queue, keep nothing behind them from being handled, in their
// order: however small the prefetch is, and as many as it permits, or many more.
func TestPutBackForEverKeepsNobody(t *testing.T) {
	for _, queueType := range []string{"classic", "quorum"} {
		for _, prefetch := range []int{1, 4} {
			for _, bad := range []int{1, prefetch, 50} {
				t.Run(fmt.Sprintf("%s, prefetch %d, %d bad", queueType, prefetch, bad), func(t *testing.T) {
					good := numbered("good", 100)
					withRoom(t, queueType, func(_ *Config, s *Subscription) { s.Prefetch = prefetch }, append(numbered("bad", bad), good...), func(w *roomWorld) {
						time.Sleep(5 * time.Second)
						w.wants("after 5 s", good...)
						if err := w.server.Publish("work", "later"); err != nil {
							t.Fatal(err)
						}
						time.Sleep(time.Second)
						w.wants("one more", append(good, "later")...)
						s := w.c.Stats()
						if s.Requeued+s.ReturnedUnstarted+s.Saved+s.Parked > 0 {
							t.Errorf("something went back: %+v", s)
						}
						if n := w.server.Count("basic.consume"); n > bad+2 {
							t.Errorf("it was consumed %d times, for %d bad messages", n, bad)
						}
						if q, _ := w.server.Queue("work"); q.Ready != 0 || q.Unacknowledged != bad {
							t.Errorf("the queue is %+v, want %d unacknowledged", q, bad)
						}
					})
				})
			}
		}
	}
}

// With workers to spare, a busy one is no reason to wait.
func TestPutBackBesideASlowOne(t *testing.T) {
	withRoom(t, "classic", func(_ *Config, s *Subscription) {
		s.Concurrency, s.Prefetch = 2, 2
		handle := s.Handler
		s.Handler = func(ctx context.Context, d *Delivery) error {
			if string(d.Body) == "slow" {
				time.Sleep(10 * time.Minute)
			}
			return handle(ctx, d)
		}
	}, []string{"bad", "slow", "good"}, func(w *roomWorld) {
		time.Sleep(2 * time.Second)
		w.wants("beside the slow one", "good")
		time.Sleep(10 * time.Minute)
		w.wants("in the end", "good", "slow")
	})
}

// Its key's turn stays with a message that is put back: what is behind it waits, and other keys go on.
func TestPutBackForEverKeepsItsKey(t *testing.T) {
	withRoom(t, "quorum", func(_ *Config, s *Subscription) {
		s.Prefetch = 2
		s.OrderingKey = func(d *Delivery) string { return string(d.Body[len(d.Body)-1:]) }
	}, []string{"bad a", "1 a", "2 a", "3 a", "1 b", "2 b", "4 a", "3 b"}, func(w *roomWorld) {
		time.Sleep(5 * time.Second)
		w.wants("after 5 s", "1 b", "2 b", "3 b")
	})
}

// What can go nowhere is held back, and keeps nobody either.
func TestHeldBackKeepsNobody(t *testing.T) {
	withRoom(t, "classic", func(c *Config, s *Subscription) { s.Prefetch, c.MaxMessageSize = 1, 1000 }, []string{strings.Repeat("x", 2000), "good"}, func(w *roomWorld) {
		time.Sleep(5 * time.Second)
		w.wants("after 5 s", "good")
	})
}

// How much is put aside is bounded: by PrefetchBytes, or by a number.
func TestRoomIsBounded(t *testing.T) {
	const bad = mostAside + 200
	for name, c := range map[string]struct {
		set  func(*Config, *Subscription)
		most int
	}{
		"by a number": {func(_ *Config, s *Subscription) { s.Prefetch = 64 }, mostAside + 2*64},
		"by bytes":    {func(_ *Config, s *Subscription) { s.Prefetch, s.PrefetchBytes = 64, 100_000 }, 400},
	} {
		t.Run(name, func(t *testing.T) {
			withRoom(t, "classic", c.set, numbered("bad", bad), func(w *roomWorld) {
				time.Sleep(time.Minute)
				q, _ := w.server.Queue("work")
				if q.Unacknowledged > c.most || q.Unacknowledged < 64 {
					t.Errorf("%d are in memory, want no more than %d", q.Unacknowledged, c.most)
				}
			})
		})
	}
}

// A queue that may not be consumed anew is left as it is.
func TestNoRoomForASingleActiveConsumer(t *testing.T) {
	withRoom(t, "classic", func(_ *Config, s *Subscription) {
		s.Prefetch = 1
		s.Declare = &broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-single-active-consumer": true}}
	}, []string{"bad", "good"}, func(w *roomWorld) {
		time.Sleep(5 * time.Second)
		w.wants("after 5 s")
		if n := w.server.Count("basic.cancel"); n > 0 {
			t.Errorf("%d times cancelled", n)
		}
	})
}

// A dependency that is away, and pauses the subscription again and again, fills no memory.
func TestNoRoomWhileNothingCanBeTried(t *testing.T) {
	withRoom(t, "classic", func(_ *Config, s *Subscription) {
		s.Prefetch = 2
		s.Handler = func(context.Context, *Delivery) error { return Unavailable(errors.New("gone")) }
	}, numbered("any", 100), func(w *roomWorld) {
		time.Sleep(10 * time.Minute)
		if q, _ := w.server.Queue("work"); q.Unacknowledged > 4 {
			t.Errorf("%d are in memory", q.Unacknowledged)
		}
	})
}
