package consumer_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// Of large messages it asks for what there is room for; of the many that wait, no more is ever there.
func TestPrefetchBytesOfLarge(t *testing.T) {
	t.Parallel()
	gauged(t, nil, func(g *gauge) {
		g.publish(40, large)
		g.start()
		g.awaitAll()
		g.wantMost(1, 0)
		g.wantInOrder()
		if _, n := g.peak(); n < fits {
			t.Errorf("%d were there at most, and there is room for %d", n, fits)
		}
		notes := slices.DeleteFunc(g.notes(0), func(n string) bool { return n == consumer.NotePrefetchHeld })
		if want := []string{"prefetch_raised 2", "prefetch_raised 4", "prefetch_raised 6"}; !slices.Equal(notes, want) {
			t.Errorf("%v, want %v", notes, want)
		}
	})
}

// Of small ones it asks for the whole Prefetch, in as few steps as doublings.
func TestPrefetchBytesOfSmall(t *testing.T) {
	t.Parallel()
	gauged(t, nil, func(g *gauge) {
		g.publish(400, small)
		g.start()
		g.awaitAll()
		g.wantInOrder()
		g.wantNotes("prefetch_raised 2", "prefetch_raised 4", "prefetch_raised 8", "prefetch_raised 16", "prefetch_raised 32", "prefetch_held", "prefetch_raised 64")
		if n := g.server.Count("basic.consume"); n != 7 {
			t.Errorf("%d times basic.consume", n)
		}
		if _, n := g.peak(); n > 1+64 {
			t.Errorf("%d were there at most, and the Prefetch is 64", n)
		}
	})
}

// When messages become large, the first one that comes in is enough, whatever waits before it.
func TestPrefetchBytesWhenSizesGrow(t *testing.T) {
	t.Parallel()
	gauged(t, nil, func(g *gauge) {
		g.publish(300, small)
		g.publish(40, large)
		g.start()
		g.awaitAll()
		g.wantMost(1, 1)
		g.wantInOrder()
		if notes := g.notes(0); !slices.Contains(notes, "prefetch_held") || !slices.Contains(notes, "prefetch_lowered 6") {
			t.Errorf("%v", notes)
		}
		for _, e := range g.journal.Events() {
			if e.Name == consumer.NotePrefetchLowered && e.Note != "messages of up to 40 KiB: prefetch 6 of 64" {
				t.Errorf("the note is %q", e.Note)
			}
		}
	})
}

// What is larger than PrefetchBytes comes, too: as many as there are handlers.
func TestPrefetchBytesOfHuge(t *testing.T) {
	t.Parallel()
	gauged(t, func(s *consumer.Subscription) { s.Concurrency, s.PrefetchBytes = 3, 1 }, func(g *gauge) {
		g.publish(20, large)
		g.start()
		g.awaitAll()
		g.wantNotes()
		if _, n := g.peak(); n != 3 {
			t.Errorf("%d were there at most, want 3", n)
		}
	})
}

// A revival, and a pause, do not forget how large messages are.
func TestPrefetchBytesOverRevivals(t *testing.T) {
	t.Parallel()
	gauged(t, nil, func(g *gauge) {
		g.publish(300, large)
		g.start()
		for i := range 5 {
			g.await("some to be handled", func() bool { return g.done() > 30*(i+1) })
			n := len(g.journal.Events())
			switch i {
			case 0, 3:
				g.server.Inject(brokertest.Now(), brokertest.Reset())
			case 1:
				g.server.Inject(brokertest.Now(), brokertest.CancelConsumers())
			default:
				if err := g.c.Subscription("work").Pause(); err != nil {
					g.Fatal(err)
				}
				g.awaitNote(n, "paused")
				if err := g.c.Subscription("work").Resume(); err != nil {
					g.Fatal(err)
				}
				g.awaitNote(n, "resumed 6")
			}
		}
		g.awaitAll()
		g.wantMost(1, 0)
	})
}

// The caller's prefetch is the most, the caller's concurrency the least.
func TestPrefetchBytesAndTheCaller(t *testing.T) {
	t.Parallel()
	gauged(t, nil, func(g *gauge) {
		sub := g.c.Subscription("work")
		step := func(want string, err error) {
			g.Helper()
			if err != nil {
				g.Fatal(err)
			}
			n := len(g.journal.Events())
			g.publish(100, small)
			g.awaitNote(max(0, n-3), want)
		}
		g.start()
		step("prefetch_raised 64", nil)
		step("prefetch_set 10", sub.SetPrefetch(10))
		step("prefetch_raised 100", sub.SetPrefetch(100))
		g.publish(3, large)
		g.awaitNote(0, "prefetch_lowered 6")
		step("prefetch_raised 12", sub.SetConcurrency(12))
		g.awaitAll()
	})
}

// While nothing more is asked for, since too much waits for handlers that do not return, it can be paused, given
// other limits, resumed and stopped.
func TestPrefetchBytesWhileHeld(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		gauged(t, func(s *consumer.Subscription) { s.Concurrency = 2 }, func(g *gauge) {
			sub := g.c.Subscription("work")
			must := func(err error) {
				g.Helper()
				if err != nil {
					g.Fatal(err)
				}
			}
			g.publish(200, small)
			g.start()
			g.await("the small ones to be handled", func() bool { return g.done() > 120 })
			n := len(g.journal.Events())
			g.publish(40, large)
			g.awaitNote(n, "prefetch_held")
			g.mu.Lock()
			g.hang = true
			g.mu.Unlock()
			<-time.After(time.Minute)
			q, _ := g.server.Queue("work")
			if q.Consumers != 0 || q.Unacknowledged < 10 {
				g.Fatalf("it is not held: %+v", q)
			}
			n = len(g.journal.Events())
			must(sub.SetPrefetch(20))
			must(sub.SetConcurrency(2))
			if lost {
				g.server.Inject(brokertest.Now(), brokertest.Reset())
				g.await("it to be consumed again", func() bool { q, _ := g.server.Queue("work"); return q.Consumers == 1 })
			}
			must(sub.Pause())
			g.awaitNote(n, "paused")
			if q, _ := g.server.Queue("work"); q.Consumers != 0 {
				t.Errorf("it is paused, and %+v", q)
			}
			must(sub.Resume())
			g.free() // what waited goes first
			g.awaitNote(n, "resumed 6")
			g.awaitAll()
			g.wantMost(2, 1)
		})
	}
}

// It is held, and then the caller wants what it was before: it must not stay so for ever.
func TestPrefetchBytesHeldInVain(t *testing.T) {
	t.Parallel()
	gauged(t, nil, func(g *gauge) {
		sub := g.c.Subscription("work")
		g.publish(300, small)
		g.start()
		g.await("the whole prefetch", func() bool { return slices.Contains(g.notes(0), "prefetch_raised 64") && g.done() > 150 })
		n := len(g.journal.Events())
		if err := sub.SetPrefetch(10); err != nil {
			g.Fatal(err)
		}
		g.awaitNote(n, "prefetch_held")
		if err := sub.SetPrefetch(64); err != nil {
			g.Fatal(err)
		}
		g.awaitAll()
		g.publish(1, small)
		g.awaitAll()
	})
}

// It stops while it is held, and while a change is under way.
func TestPrefetchBytesAndStop(t *testing.T) {
	t.Parallel()
	gauged(t, nil, func(g *gauge) {
		g.publish(200, small)
		g.publish(40, large)
		g.start()
		g.awaitNote(0, "prefetch_held")
	})
	for nth := range 4 {
		for _, method := range []string{"basic.cancel", "basic.qos", "basic.consume"} {
			gauged(t, nil, func(g *gauge) {
				g.publish(100, small)
				reached := g.server.Inject(brokertest.OnMethod(method, nth+2), brokertest.Delay(time.Second)).Played
				g.start()
				<-reached
			})
		}
	}
}

// A stream that was not said to be one is consumed with the whole Prefetch, and nothing is passed over.
func TestPrefetchBytesIsNotForStreams(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]consumer.Subscription{
		"negative":    {PrefetchBytes: -1},
		"stream":      {PrefetchBytes: 1, Stream: &consumer.Stream{}},
		"declared":    {PrefetchBytes: 1, Declare: &broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-queue-type": "stream"}}},
		"auto-delete": {PrefetchBytes: 1, Declare: &broker.QueueOptions{AutoDelete: true}},
	} {
		s.Queue, s.Handler = "work", ignore
		_, err := consumer.New(consumer.Config{URLs: []string{"amqp://127.0.0.1"}, Subscriptions: []consumer.Subscription{s}})
		if err == nil || !contains(err.Error(), "Subscriptions[0].PrefetchBytes: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever sizes come and whatever is done meanwhile: all messages are handled, and of those that are large from
// the beginning never more is there than there is room for.
func TestPrefetchBytesHistories(t *testing.T) {
	t.Parallel()
	seeds := uint64(20)
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 0))
			handlers := 1 + random.IntN(4)
			onlyLarge := seed%2 == 0
			gauged(t, func(s *consumer.Subscription) {
				s.Concurrency = handlers
				if random.IntN(2) == 0 {
					s.OrderingKey = func(d *consumer.Delivery) string { return string(d.Body[:1]) }
				}
			}, func(g *gauge) {
				sub := g.c.Subscription("work")
				g.start()
				for range 40 {
					size := large
					if !onlyLarge && random.IntN(2) == 0 {
						size = small
					}
					var err error
					switch random.IntN(8) {
					case 0:
						err = errors.Join(sub.Pause(), sub.Resume())
					case 1:
						err = sub.SetPrefetch(fits + random.IntN(100))
					case 2:
						g.server.Inject(brokertest.Now(), brokertest.Reset())
					case 3:
						g.server.Inject(brokertest.Now(), brokertest.CancelConsumers())
					default:
						g.publish(random.IntN(100), size)
					}
					if err != nil {
						g.Fatal(err)
					}
					<-time.After(time.Duration(random.IntN(3000)) * time.Millisecond)
				}
				g.awaitAll()
				if onlyLarge {
					g.wantMost(handlers, 0)
				}
				if q, _ := g.server.Queue("work"); q.Consumers != 1 {
					t.Errorf("%+v", q)
				}
			})
		})
	}
}
