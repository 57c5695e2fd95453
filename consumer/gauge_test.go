package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
