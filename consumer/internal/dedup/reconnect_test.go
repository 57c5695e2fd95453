package dedup

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// original is a message, as against its deliveries.
type original struct {
	id       string
	unique   bool          // the id is
	failures int           // so often its handler fails
	takes    time.Duration // its handler

	sent, atWork bool
	done         int // handled to its end
}

// plainBroker is a queue and its consumer: what is not acknowledged when the connection is lost comes
// again, and an acknowledgement counts only on the connection that delivered.
type plainBroker struct {
	window  *Window
	large   bool // the memory is
	patient bool // a redelivery waits on when its connection is lost

	mu      sync.Mutex
	news    *sync.Cond
	queue   []*original
	unacked []*original
	lost    chan struct{} // the connection
	faults  []string
}

func (b *plainBroker) reconnect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.lost)
	b.lost = make(chan struct{})
	b.queue = append(b.unacked, b.queue...)
	b.unacked = nil
	b.news.Broadcast()
}

// work handles one delivery. False: everything was acknowledged.
func (b *plainBroker) work() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) == 0 {
		if len(b.unacked) == 0 {
			return false
		}
		b.news.Wait()
	}
	m := b.queue[0]
	b.queue = b.queue[1:]
	b.unacked = append(b.unacked, m)
	lost, redelivered := b.lost, m.sent
	m.sent = true

	handled, ok := b.begin(m, redelivered)
	if ok && !handled {
		ok = b.handle(m)
		b.window.End(m.id, ok)
	}
	if lost == b.lost {
		b.unacked = slices.DeleteFunc(b.unacked, func(u *original) bool { return u == m })
		if !ok {
			b.queue = append(b.queue, m)
		}
	}
	b.news.Broadcast()
	return true
}

func (b *plainBroker) begin(m *original, redelivered bool) (handled, ok bool) {
	if !redelivered { // begins in the order of the queue
		handled, ok = b.window.Begin(m.id, false, noPatience())
		b.check(ok && !handled, "a first delivery is deduplicated", m)
		return handled, ok
	}
	var giveUp chan struct{}
	if !b.patient {
		giveUp = b.lost
	}
	b.mu.Unlock()
	handled, ok = b.window.Begin(m.id, true, giveUp)
	b.mu.Lock()
	b.check(ok || !b.patient, "gave up by itself", m)
	b.check(!handled || m.id != "", "tracked without an id", m)
	b.check(!handled || m.done > 0 || !b.large && !m.unique, "deduplicated unhandled", m)
	return handled, ok
}

func (b *plainBroker) handle(m *original) bool {
	if m.unique {
		b.check(!m.atWork, "handled twice at once", m)
		b.check(m.done == 0 || !b.large, "handled again", m)
	}
	m.atWork = true
	b.mu.Unlock()
	time.Sleep(m.takes)
	b.mu.Lock()
	m.atWork = false
	if m.failures > 0 {
		m.failures--
		return false
	}
	m.done++
	return true
}

func (b *plainBroker) check(ok bool, fault string, m *original) {
	if !ok {
		b.faults = append(b.faults, fmt.Sprintf("%s: %+v", fault, *m))
	}
}

func drawOriginals(t *rapid.T) []*original {
	var originals []*original
	used := map[string]int{}
	for range rapid.IntRange(1, 15).Draw(t, "messages") {
		m := &original{
			id:       rapid.SampledFrom([]string{"", "a", "b", fmt.Sprint(len(originals))}).Draw(t, "id"),
			failures: max(0, rapid.IntRange(-3, 3).Draw(t, "failures")),
			takes:    time.Duration(rapid.IntRange(0, 5).Draw(t, "ms")) * time.Millisecond,
		}
		used[m.id]++
		originals = append(originals, m)
	}
	for _, m := range originals {
		m.unique = m.id != "" && used[m.id] == 1
	}
	return originals
}

// Whenever the connection is lost, and whatever fails: nothing unhandled is deduplicated; with an id of its
// own and a large memory, nothing is handled to its end twice; nobody waits for ever.
func TestWindowBetweenReconnects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			originals := drawOriginals(t)
			memory := rapid.SampledFrom([]int{0, 1, 3, len(originals)}).Draw(t, "memory")
			b := &plainBroker{
				window: New(memory), large: memory == len(originals), patient: rapid.Bool().Draw(t, "patient"),
				queue: slices.Clone(originals), lost: make(chan struct{}),
			}
			b.news = sync.NewCond(&b.mu)
			losses := rapid.SliceOfN(rapid.IntRange(0, 6), 0, 10).Draw(t, "losses")
			var group sync.WaitGroup
			for range rapid.IntRange(1, 6).Draw(t, "workers") {
				group.Go(func() {
					for b.work() {
					}
				})
			}
			for _, ms := range losses {
				time.Sleep(time.Duration(ms) * time.Millisecond)
				b.reconnect()
			}
			group.Wait()

			for _, m := range originals {
				b.check(m.done > 0 || !b.large && !m.unique, "lost", m)
			}
			for _, fault := range b.faults {
				t.Error(fault)
			}
			checkIdle(t, b.window)
		})
	})
}

func checkIdle(t rapid.TB, w *Window) {
	t.Helper()
	if ids := remembered(w); len(ids) != len(w.marks) || len(ids) != w.length || len(ids) > w.memory {
		t.Errorf("%d remembered, length %d, %d marks; memory %d", len(ids), w.length, len(w.marks), w.memory)
	}
	for m := w.spare; m != nil; m = m.younger {
		if m.id != "" {
			t.Errorf("holds on to %s", m.id)
		}
	}
}
