package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// hall is a consumer of several queues, each of which gets a message every 100 ms, in one bubble of synthetic time with
// its broker. It measures the longest time in which nothing of a queue was handled.
type hall struct {
	*testing.T
	server  *brokertest.Server
	queues  []string
	config  consumer.Config
	c       *consumer.Consumer
	journal *book
	ended   chan error
	over    chan struct{}
	sparse  atomic.Bool // only one message of a hundred

	mu        sync.Mutex
	published map[string]int
	handled   map[string]map[string]int // how often, by queue and body
	last      map[string]time.Time
	gap       map[string]time.Duration
}

const feed = 100 * time.Millisecond

func inHall(t *testing.T, queues int, edit func(*hall), play func(*hall), options ...brokertest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &hall{
			T: t, server: brokertest.NewInMemoryServer(t, options...), journal: &book{}, ended: make(chan error, 1), over: make(chan struct{}),
			published: map[string]int{}, handled: map[string]map[string]int{}, last: map[string]time.Time{}, gap: map[string]time.Duration{},
		}
		h.config = consumer.Config{URLs: []string{h.server.URL()}, Dial: h.server.Dial, Name: "hall", Journal: h.journal}
		for i := range queues {
			queue := fmt.Sprintf("q%d", i)
			if err := h.server.DeclareQueue(queue, nil); err != nil {
				t.Fatal(err)
			}
			h.queues = append(h.queues, queue)
			h.config.Subscriptions = append(h.config.Subscriptions, consumer.Subscription{
				Queue: queue, Handler: h.handle, Declare: &broker.QueueOptions{Durable: true},
			})
		}
		if edit != nil {
			edit(h)
		}
		var err error
		if h.c, err = consumer.New(h.config); err != nil {
			t.Fatal(err)
		}
		go h.feed()
		go func() { h.ended <- h.c.Run(context.Background()) }()
		defer func() {
			close(h.over)
			_ = h.c.Stop(context.Background())
			<-h.ended
		}()
		play(h)
	})
}

func (h *hall) feed() {
	for n := 0; ; n++ {
		select {
		case <-h.over:
			return
		case <-time.After(feed):
		}
		if h.sparse.Load() && n%100 > 0 {
			continue
		}
		for _, queue := range h.queues {
			if _, there := h.server.Queue(queue); there && h.server.Publish(queue, fmt.Sprint(n)) == nil {
				h.mu.Lock()
				h.published[queue]++
				h.mu.Unlock()
			}
		}
	}
}

func (h *hall) handle(_ context.Context, d *consumer.Delivery) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.handled[d.Queue] == nil {
		h.handled[d.Queue] = map[string]int{}
	}
	h.handled[d.Queue][string(d.Body)]++
	if last, known := h.last[d.Queue]; known {
		h.gap[d.Queue] = max(h.gap[d.Queue], time.Since(last))
	}
	h.last[d.Queue] = time.Now()
	return nil
}

// forget has the longest gaps measured from now on.
func (h *hall) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.gap)
	for queue := range h.last {
		h.last[queue] = time.Now()
	}
}

// wantFlow checks that messages of these queues have been handled without a longer gap until now, and none is missing.
func (h *hall) wantFlow(longest time.Duration, queues ...string) {
	h.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, queue := range queues {
		if gap := max(h.gap[queue], time.Since(h.last[queue])); gap > longest {
			h.Errorf("nothing of %s was handled for %v, %v at most is wanted", queue, gap, longest)
		}
		if missing := h.published[queue] - len(h.handled[queue]); missing > 1+int(longest/feed) {
			h.Errorf("%d messages of %s were not handled", missing, queue)
		}
	}
}

func (h *hall) await(what string, done func() bool) {
	h.Helper()
	for range 36_000 {
		if done() {
			return
		}
		<-time.After(feed)
	}
	h.Fatalf("after an hour, still waiting for %s; %s, %v", what, h.c.State(), h.notes(""))
}

// notes are the names of those about a queue, or with "" of all of them.
func (h *hall) notes(queue string) (names []string) {
	for _, e := range h.journal.Events() {
		if e.Name != "" && (queue == "" || consumer.EvidenceOf(e).Queue == queue) {
			names = append(names, e.Name)
		}
	}
	return names
}

// says tells whether a note of that name about a queue has such a text.
func (h *hall) says(queue, name, text string) bool {
	return slices.ContainsFunc(h.journal.Events(), func(e fsm.Event) bool {
		return e.Name == name && consumer.EvidenceOf(e).Queue == queue && strings.Contains(e.Note, text)
	})
}

func (h *hall) awaitNote(queue, name string) {
	h.Helper()
	h.await(name+" of "+queue, func() bool { return slices.Contains(h.notes(queue), name) })
}

// state is the state when all that happens at this moment has happened: a heartbeat check on silence, above all.
func (h *hall) state() fsm.State {
	synctest.Wait()
	return h.c.State()
}

func (h *hall) awaitState(consuming bool) {
	h.Helper()
	h.await("the state", func() bool { return (h.c.State() == consumer.Consuming) == consuming })
}

// A queue that does not answer delays nobody, from the beginning on; it is consumed when it answers, and comes home.
func TestApartQueueDoesNotAnswer(t *testing.T) {
	t.Parallel()
	inHall(t, 4, func(h *hall) { h.server.SuspendQueue("q1") }, func(h *hall) {
		time.Sleep(3 * time.Second)
		h.wantFlow(feed+10*time.Millisecond, "q0", "q2", "q3")
		h.awaitNote("q1", consumer.NoteApart)
		if !h.says("q1", consumer.NoteApart, "does not answer") {
			t.Error("the reason is not told")
		}
		h.awaitState(true)
		time.Sleep(10 * time.Minute)
		h.wantFlow(feed+10*time.Millisecond, "q0", "q2", "q3")
		if n := len(slices.DeleteFunc(h.notes("q1"), func(name string) bool { return name != consumer.NoteApartFailed })); n < 20 || n > 70 {
			t.Errorf("%d attempts have failed in ten minutes", n)
		}
		h.server.ResumeQueue("q1")
		h.awaitNote("q1", consumer.NoteApartConsuming)
		h.awaitNote("q1", consumer.NoteHome)
		time.Sleep(time.Second)
		h.wantFlow(feed+10*time.Millisecond, "q0", "q2", "q3")
		h.forget()
		time.Sleep(time.Second)
		h.wantFlow(feed+10*time.Millisecond, h.queues...)
		if n := len(h.server.Connections()); n != 1 {
			t.Errorf("%d connections, and everything is at home", n)
		}
	})
}

// The same while it is consumed: whatever is asked of its channel then.
func TestApartCallsAreOverdue(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(*consumer.Handle) error{
		"prefetch": func(of *consumer.Handle) error { return of.SetPrefetch(7) },
		"pause":    (*consumer.Handle).Pause,
	} {
		t.Run(name, func(t *testing.T) {
			inHall(t, 3, nil, func(h *hall) {
				h.awaitState(true)
				time.Sleep(time.Second)
				h.server.SuspendQueue("q1")
				if err := ask(h.c.Subscription("q1")); err != nil {
					t.Fatal(err)
				}
				h.awaitNote("q1", consumer.NoteApart)
				time.Sleep(time.Minute)
				h.wantFlow(feed+10*time.Millisecond, "q0", "q2")
				h.server.ResumeQueue("q1")
				h.awaitNote("q1", consumer.NoteApartConsuming)
				if err := h.c.Subscription("q1").Resume(); err != nil {
					t.Fatal(err)
				}
				h.awaitNote("q1", consumer.NoteHome)
				time.Sleep(10 * time.Second)
				h.forget()
				time.Sleep(time.Second)
				h.wantFlow(feed+10*time.Millisecond, h.queues...)
			})
		})
	}
}

// A message for which the broker ends the connection costs its own queue only, once that is found out.
func TestApartMessageEndsConnections(t *testing.T) {
	t.Parallel()
	for _, culprit := range []string{"q0", "q3", "q6"} {
		t.Run(culprit, func(t *testing.T) {
			t.Parallel()
			inHall(t, 7, nil, func(h *hall) {
				h.awaitState(true)
				time.Sleep(10 * time.Second)
				began := time.Now()
				h.server.EndConnectionsAt(culprit, "bad")
				if err := h.server.Publish(culprit, "bad"); err != nil {
					t.Fatal(err)
				}
				h.await("the culprit to be named", func() bool { return h.says(culprit, consumer.NoteApart, "prefetch 1") })
				h.Logf("found within %v, in %d connections", time.Since(began), h.server.Count("connection.open"))
				time.Sleep(10 * time.Second)
				h.forget()
				time.Sleep(time.Minute)
				others := slices.DeleteFunc(slices.Clone(h.queues), func(queue string) bool { return queue == culprit })
				h.wantFlow(feed+10*time.Millisecond, others...)
				opened := h.server.Count("connection.open")
				h.sparse.Store(true)
				time.Sleep(time.Hour)
				h.sparse.Store(false)
				if n := h.server.Count("connection.open") - opened; n > 300 {
					t.Errorf("%d connections in an hour", n)
				}
				if n := len(h.server.Connections()); n > 2 {
					t.Errorf("%d connections: the others did not come home", n)
				}
				h.awaitState(true)
				h.server.EndConnectionsAt(culprit, "no message")
				h.awaitNote(culprit, consumer.NoteHome)
				h.forget()
				time.Sleep(time.Minute)
				h.wantFlow(feed+10*time.Millisecond, h.queues...)
			})
		})
	}
}

// What cannot be consumed, by an error that waiting does not heal, keeps nobody; and it may be mended.
func TestApartHopeless(t *testing.T) {
	t.Parallel()
	inHall(t, 3, func(h *hall) {
		h.config.Subscriptions[1].Declare = &broker.QueueOptions{Durable: true, Strict: true, Arguments: map[string]any{"x-max-length": 7}}
	}, func(h *hall) {
		h.awaitNote("q1", consumer.NoteApart)
		h.awaitState(true)
		h.sparse.Store(true)
		time.Sleep(time.Hour)
		h.wantFlow(100*feed+10*time.Millisecond, "q0", "q2")
		h.server.DeleteQueue("q1")
		h.awaitNote("q1", consumer.NoteApartConsuming)
		h.awaitNote("q1", consumer.NoteHome)
	})
}

// The run ends when nothing is left that may be consumed, or with FailFast when the first cannot be.
func TestApartNothingIsLeft(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		broken   int
		failFast bool
		ends     bool
	}{
		"some are left":      {broken: 2},
		"nothing is left":    {broken: 3, ends: true},
		"one is too many":    {broken: 1, failFast: true, ends: true},
		"none, and FailFast": {failFast: true},
	} {
		t.Run(name, func(t *testing.T) {
			inHall(t, 3, func(h *hall) {
				h.config.FailFast = c.failFast
				for i := range c.broken {
					h.config.Subscriptions[i].Declare = &broker.QueueOptions{Durable: true, Strict: true, Arguments: map[string]any{"x-max-length": 7}}
				}
			}, func(h *hall) {
				time.Sleep(10 * time.Minute)
				select {
				case err := <-h.ended:
					h.ended <- err
					var gaveUp *consumer.Error
					if !c.ends || !errors.As(err, &gaveUp) || gaveUp.Class != broker.Precondition {
						t.Errorf("Run returned %v", err)
					}
				default:
					if c.ends {
						t.Errorf("it is %s, and %v", h.c.State(), h.notes(""))
					}
				}
			})
		})
	}
}

// What had worked is waited for: the password is another one for a while, and then for ever.
func TestHealWithin(t *testing.T) {
	t.Parallel()
	inHall(t, 2, func(h *hall) { h.config.HealWithin = 5 * time.Minute }, func(h *hall) {
		h.awaitState(true)
		change := func(password string) {
			h.server.SetPassword("guest", password)
			h.server.Inject(brokertest.Now(), brokertest.Reset())
			h.awaitState(false)
		}
		change("another")
		time.Sleep(4 * time.Minute)
		h.server.SetPassword("guest", "guest")
		h.awaitState(true)
		time.Sleep(time.Minute)
		began := time.Now()
		change("another")
		err := <-h.ended
		h.ended <- err
		var gaveUp *consumer.Error
		if !errors.As(err, &gaveUp) || gaveUp.Class != broker.Auth {
			t.Errorf("Run returned %v", err)
		}
		if took := time.Since(began); took < 5*time.Minute || took > 6*time.Minute {
			t.Errorf("given up after %v", took)
		}
	})
}

// A network that fails again and again splits what it fails, and brings it together again.
func TestApartNetworkFlaps(t *testing.T) {
	t.Parallel()
	inHall(t, 40, nil, func(h *hall) {
		h.awaitState(true)
		h.sparse.Store(true)
		for range 100 {
			h.server.Inject(brokertest.Now(), brokertest.Reset())
			time.Sleep(2 * time.Second)
		}
		h.sparse.Store(false)
		if n := len(h.server.Connections()); n > 16 {
			t.Errorf("%d connections", n)
		}
		time.Sleep(20 * time.Second)
		h.forget()
		time.Sleep(time.Minute)
		h.wantFlow(time.Second, h.queues...)
		h.sparse.Store(true)
		h.await("everything to come home", func() bool { return len(h.server.Connections()) == 1 })
	})
}
