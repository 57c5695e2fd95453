package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
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

// gauge is a consumer with PrefetchBytes and its broker in one bubble of synthetic time. It measures all
// the time what has been sent and not handled.
type gauge struct {
	*testing.T
	server  *brokertest.Server
	c       *consumer.Consumer
	journal *book
	ended   chan error
	let     chan struct{} // closed: hung handlers may go on
	over    chan struct{}

	mu        sync.Mutex
	work      time.Duration
	hang      bool
	freed     bool
	sizes     []int // of the bodies, in the order of their numbers
	order     []int // numbers, as their handlers began
	handled   map[int]bool
	most      int64 // bytes of bodies at the client whose handlers have not returned
	mostCount int
}

const (
	small = 16
	large = 40 << 10
	room  = 256 << 10 // PrefetchBytes: for six large ones
	fits  = 6
)

func newGauge(t *testing.T, edit func(*consumer.Subscription)) *gauge {
	g := &gauge{
		T: t, server: brokertest.NewInMemoryServer(t), journal: &book{}, ended: make(chan error, 1),
		let: make(chan struct{}), over: make(chan struct{}), work: 100 * time.Millisecond, handled: map[int]bool{},
	}
	if err := g.server.DeclareQueue("work", nil); err != nil {
		t.Fatal(err)
	}
	s := consumer.Subscription{Queue: "work", Handler: g.handle, PrefetchBytes: room, RequeuePause: time.Millisecond}
	if edit != nil {
		edit(&s)
	}
	c, err := consumer.New(consumer.Config{
		URLs: []string{g.server.URL()}, Dial: g.server.Dial, Name: "gauge", Journal: g.journal,
		Subscriptions: []consumer.Subscription{s},
	})
	if err != nil {
		t.Fatal(err)
	}
	g.c = c
	t.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		g.free()
		_ = c.Stop(over)
		close(g.over)
	})
	return g
}

func (g *gauge) handle(_ context.Context, d *consumer.Delivery) error {
	number, err := strconv.Atoi(strings.TrimSpace(string(d.Body[:8])))
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.order = append(g.order, number)
	work, hang := g.work, g.hang
	g.mu.Unlock()
	if hang {
		<-g.let
	}
	<-time.After(work)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.handled[number] = true
	return nil
}

// publish adds n messages of a size.
func (g *gauge) publish(n, size int) {
	g.Helper()
	g.mu.Lock()
	defer g.mu.Unlock() // measure must not see a message that the queue does not have yet
	for range n {
		if err := g.server.Publish("work", fmt.Sprintf("%-*d", size, len(g.sizes))); err != nil {
			g.Fatal(err)
		}
		g.sizes = append(g.sizes, size)
	}
}

func (g *gauge) start() {
	go func() { g.ended <- g.c.Run(context.Background()) }()
	go func() {
		for {
			select {
			case <-g.over:
				return
			case <-time.After(5 * time.Millisecond):
				g.measure()
			}
		}
	}()
	g.await("it to consume", func() bool { return g.c.State() == consumer.Consuming })
}

// measure assumes that the queue is consumed in order: what is sent is what is not ready.
func (g *gauge) measure() {
	g.mu.Lock()
	defer g.mu.Unlock()
	q, _ := g.server.Queue("work")
	var bytes int64
	count := 0
	for i := range max(0, len(g.sizes)-q.Ready) {
		if !g.handled[i] {
			bytes += int64(g.sizes[i])
			count++
		}
	}
	g.most, g.mostCount = max(g.most, bytes), max(g.mostCount, count)
}

// peak is the most that was at the client.
func (g *gauge) peak() (bytes int64, messages int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most, g.mostCount
}

func (g *gauge) await(what string, done func() bool) {
	g.Helper()
	for range 60_000 {
		if done() {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	q, _ := g.server.Queue("work")
	g.Fatalf("after 10 minutes, still waiting for %s; %+v, %v", what, q, g.notes(0))
}

func (g *gauge) done() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.handled)
}

// awaitAll waits until every message is handled, and settled.
func (g *gauge) awaitAll() {
	g.Helper()
	g.await("all to be handled", func() bool {
		q, _ := g.server.Queue("work")
		return g.done() == len(g.sizes) && q.Ready+q.Unacknowledged == 0
	})
}

// notes are those of changes, in short, after the first n events.
func (g *gauge) notes(n int) (notes []string) {
	for _, e := range g.journal.Events()[n:] {
		if e.Kind == fsm.KindNote {
			notes = append(notes, strings.TrimSuffix(fmt.Sprintf("%s %d", e.Name, consumer.EvidenceOf(e).Prefetch), " 0"))
		}
	}
	return notes
}

func (g *gauge) awaitNote(n int, want string) {
	g.Helper()
	g.await("the note "+want, func() bool { return slices.Contains(g.notes(n), want) })
}

func (g *gauge) wantNotes(want ...string) {
	g.Helper()
	if got := g.notes(0); !slices.Equal(got, want) {
		g.Errorf("notes:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// wantInOrder checks that all were begun once, and in order.
func (g *gauge) wantInOrder() {
	g.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.order) != len(g.sizes) || !slices.IsSorted(g.order) {
		g.Errorf("of %d messages were begun: %v", len(g.sizes), g.order)
	}
}

// wantMost checks that never more large messages were there, unhandled, than the handlers hold and PrefetchBytes
// has room for, and so many more.
func (g *gauge) wantMost(handlers, more int) {
	g.Helper()
	was, count := g.peak()
	if most := int64(handlers+fits+more) * large; was > most {
		g.Errorf("%d bytes were at the client, want %d at most", was, most)
	}
	g.Logf("%d bytes and %d messages were at the client at most", was, count)
}

func (g *gauge) stop() {
	g.Helper()
	if err := errors.Join(g.c.Stop(context.Background()), <-g.ended); err != nil {
		g.Error(err)
	}
}

// free lets hung handlers go on.
func (g *gauge) free() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.freed {
		close(g.let)
	}
	g.freed, g.hang = true, false
}

func gauged(t *testing.T, edit func(*consumer.Subscription), play func(*gauge)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := newGauge(t, edit)
		play(g)
		g.stop()
	})
}

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
				g.server.Inject(brokertest.Now, brokertest.Reset())
			case 1:
				g.server.Inject(brokertest.Now, brokertest.CancelConsumers())
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
				g.server.Inject(brokertest.Now, brokertest.Reset())
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
				reached := g.server.Inject(brokertest.OnMethod(method, nth+2), brokertest.Delay(time.Second))
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
						g.server.Inject(brokertest.Now, brokertest.Reset())
					case 3:
						g.server.Inject(brokertest.Now, brokertest.CancelConsumers())
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
