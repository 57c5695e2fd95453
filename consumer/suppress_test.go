package consumer

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// noPatience is to be given up with: a redelivery that would have to wait does so at once.
func noPatience() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// play plays a script of these steps, and compares what begin says:
//
//	fresh  a first delivery; it is never suppressed
//	again  a redelivery that is to be handled
//	spare  a redelivery that is suppressed
//	wait   a redelivery that would have to wait
//	done   the end of one, handled to its end
//	fail   the end of one, not so
func play(t *testing.T, r *recent, id, script string) {
	t.Helper()
	for i, step := range strings.Fields(script) {
		got := step
		switch step {
		case "done", "fail":
			r.end(id, step == "done")
		default:
			switch handled, ok := r.begin(id, step != "fresh", noPatience()); {
			case !ok:
				got = "wait"
			case handled:
				got = "spare"
			case step != "fresh":
				got = "again"
			}
		}
		if got != step {
			t.Fatalf("%q: %s: step %d: %s", id, script, i, got)
		}
	}
}

func TestRecent(t *testing.T) {
	for name, script := range map[string]string{
		"handled":                         "fresh done spare spare",
		"failed":                          "fresh fail again fail again done spare",
		"first seen as a redelivery":      "again done spare",
		"being handled":                   "fresh wait done spare",
		"being handled again":             "fresh fail again wait done spare",
		"a used id is no reason":          "fresh done fresh done fresh done spare",
		"nor one in use":                  "fresh fresh fresh done done done spare",
		"all of an id are waited for":     "fresh fresh wait done wait done spare",
		"the second failed":               "fresh done fresh wait fail again done again fail",
		"the first failed":                "fresh fail fresh done again done again done",
		"one of two failed":               "fresh fresh fail done again done again done",
		"the other of two failed":         "fresh fresh done fail again done again done",
		"failed, handled, used again":     "fresh fail again done fresh done spare",
		"used again while handled again":  "fresh fail again fresh done done again done",
		"delivered late, after its twin":  "again fresh done done spare",
		"delivered late, and one of them": "again fresh done fail again done",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecent(1)
			play(t, r, "before", "fresh fail")
			play(t, r, "it", "fresh fail") // so that the id is given a used mark
			play(t, r, "id", script)
		})
	}
}

func TestRecentWithoutID(t *testing.T) {
	r := newRecent(10)
	play(t, r, "", "fresh again done again done again fail")
	if len(r.marks) != 0 {
		t.Errorf("tracked: %v", r.marks)
	}
}

func TestRecentForgetsTheOldest(t *testing.T) {
	r := newRecent(3)
	for _, id := range []string{"a", "b", "c"} {
		play(t, r, id, "fresh done")
	}
	play(t, r, "a", "spare")      // which does not make it young
	play(t, r, "b", "fresh done") // which does
	play(t, r, "d", "fresh done") // a is forgotten
	play(t, r, "c", "spare")
	play(t, r, "a", "again")
	play(t, r, "e", "fresh fail") // c is; failures count
	play(t, r, "b", "spare")
	play(t, r, "c", "again")
	play(t, r, "a", "done") // b is
	play(t, r, "b", "again fail")
	play(t, r, "d", "again wait") // d was, but now it is being handled
	play(t, r, "c", "wait")
	if len(r.marks) != 5 || r.length != 3 {
		t.Errorf("%d marks, %d remembered", len(r.marks), r.length)
	}
}

func TestRecentWithoutMemory(t *testing.T) {
	for _, memory := range []int{0, -1} {
		r := newRecent(memory)
		play(t, r, "a", "fresh wait done again wait fail again done")
		if len(r.marks) != 0 {
			t.Errorf("%d marks", len(r.marks))
		}
	}
}

// waiters starts redeliveries of an id that wait. What each is told comes in the order in which they are.
func waiters(t *testing.T, r *recent, id string, n int, giveUp <-chan struct{}) <-chan string {
	told := make(chan string, n)
	for range n {
		go func() {
			handled, ok := r.begin(id, true, giveUp)
			told <- fmt.Sprintf("handled=%v ok=%v", handled, ok)
		}()
	}
	synctest.Wait()
	if len(told) != 0 {
		t.Fatal("does not wait")
	}
	return told
}

func checkTold(t *testing.T, told <-chan string, want ...string) {
	t.Helper()
	synctest.Wait()
	var got []string
	for len(told) > 0 {
		got = append(got, <-told)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

const (
	goOn     = "handled=false ok=true"
	suppress = "handled=true ok=true"
	gaveUp   = "handled=false ok=false"
)

// The ones that wait see what became of the one before, also if it is not to be remembered.
func TestRecentWaitsForTheEnd(t *testing.T) {
	for memory := range 2 {
		synctest.Test(t, func(t *testing.T) {
			r := newRecent(memory)
			play(t, r, "id", "fresh")
			told := waiters(t, r, "id", 4, nil)
			r.end("id", false)
			checkTold(t, told, goOn)
			r.end("id", false)
			checkTold(t, told, goOn)
			play(t, r, "other", "fresh done")
			r.end("id", true)
			play(t, r, "other", "fresh done")
			checkTold(t, told, suppress, suppress)
			if len(r.marks) != memory {
				t.Errorf("%d marks", len(r.marks))
			}
		})
	}
}

func TestRecentGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, giveUp := newRecent(0), make(chan struct{})
		play(t, r, "id", "fresh")
		impatient, patient := waiters(t, r, "id", 2, giveUp), waiters(t, r, "id", 1, nil)
		close(giveUp)
		checkTold(t, impatient, gaveUp, gaveUp)
		checkTold(t, patient)
		r.end("id", true)
		checkTold(t, patient, suppress)
		play(t, r, "id", "again done") // forgotten
		if len(r.marks) != 0 {
			t.Errorf("%d marks", len(r.marks))
		}
	})
}

// The one that gives up may be the last that needs the mark.
func TestRecentGivesUpAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, giveUp := newRecent(0), make(chan struct{})
		play(t, r, "id", "fresh")
		told := waiters(t, r, "id", 1, giveUp)
		close(giveUp)
		r.end("id", true)
		checkTold(t, told, gaveUp)
		if len(r.marks) != 0 {
			t.Errorf("%d marks", len(r.marks))
		}
	})
}

// A publisher that gives every message the same id keeps somebody always at work under it.
func TestRecentDoesNotWaitForThoseAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecent(10)
		play(t, r, "id", "fresh fresh")
		told := waiters(t, r, "id", 2, nil)
		play(t, r, "id", "fresh done")
		checkTold(t, told)
		play(t, r, "id", "fresh done") // the second end
		checkTold(t, told, goOn)
		play(t, r, "id", "fresh done done") // the fourth; before the one that went on, there were five
		checkTold(t, told)
		play(t, r, "id", "fresh done")
		checkTold(t, told, goOn)
	})
}

// logbook is the plainest memory: for each id, what happened since it became known.
type logbook struct {
	ids        map[string][]string
	remembered []string // the youngest last
}

func (l *logbook) atWork(id string) int {
	n := 0
	for _, step := range l.ids[id] {
		if step == "fresh" || step == "again" {
			n++
		} else {
			n--
		}
	}
	return n
}

// settled: no message of the id has failed, or there was but one, and it was handled in the end.
func (l *logbook) settled(id string) bool {
	log := l.ids[id]
	if len(log) == 0 || l.atWork(id) > 0 {
		return false
	}
	if used := slices.Index(log[1:], "fresh"); used >= 0 {
		first := log[:1+used]
		return !slices.Contains(log[1+used:], "fail") && (!slices.Contains(first, "fail") || first[len(first)-1] == "done")
	}
	return log[len(log)-1] == "done"
}

func (l *logbook) end(id, how string, memory int) {
	l.ids[id] = append(l.ids[id], how)
	l.remembered = append(slices.DeleteFunc(l.remembered, func(s string) bool { return s == id }), id)
	if len(l.remembered) > memory {
		oldest := l.remembered[0]
		l.remembered = l.remembered[1:]
		l.forget(oldest)
	}
	l.forget(id)
}

func (l *logbook) forget(id string) {
	if l.atWork(id) == 0 && !slices.Contains(l.remembered, id) {
		delete(l.ids, id)
	}
}

func TestRecentAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		memory := rapid.IntRange(0, 4).Draw(t, "memory")
		r, model, giveUp := newRecent(memory), &logbook{ids: map[string][]string{}}, noPatience()
		ids := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"})
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				id := ids.Draw(t, "id")
				redelivered := rapid.Bool().Draw(t, "redelivered")
				want, how := goOn, "fresh"
				if redelivered {
					how = "again"
					if model.atWork(id) > 0 {
						want = gaveUp
					} else if model.settled(id) {
						want = suppress
					}
				}
				handled, ok := r.begin(id, redelivered, giveUp)
				if got := fmt.Sprintf("handled=%v ok=%v", handled, ok); got != want {
					t.Fatalf("%s; want %s after %v", got, want, model.ids[id])
				}
				if want == goOn {
					model.ids[id] = append(model.ids[id], how)
				}
			},
			"end": func(t *rapid.T) {
				id, how := ids.Draw(t, "id"), rapid.SampledFrom([]string{"done", "fail"}).Draw(t, "how")
				if model.atWork(id) == 0 {
					t.Skip("nobody is at work")
				}
				r.end(id, how == "done")
				model.end(id, how, memory)
			},
			"": func(t *rapid.T) {
				if diff := cmp.Diff(model.remembered, remembered(r), equalEmpty); diff != "" || len(r.marks) != len(model.ids) {
					t.Fatalf("%d marks, want %d; remembered (-want +got):\n%s", len(r.marks), len(model.ids), diff)
				}
			},
		})
	})
}

var equalEmpty = cmp.Transformer("empty", func(ids []string) string { return fmt.Sprint(ids) })

func remembered(r *recent) (ids []string) {
	for m := r.ring.younger; m != &r.ring; m = m.younger {
		ids = append(ids, m.id)
	}
	return ids
}

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
	recent  *recent
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
		b.recent.end(m.id, ok)
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
		handled, ok = b.recent.begin(m.id, false, noPatience())
		b.check(ok && !handled, "a first delivery is suppressed", m)
		return handled, ok
	}
	var giveUp chan struct{}
	if !b.patient {
		giveUp = b.lost
	}
	b.mu.Unlock()
	handled, ok = b.recent.begin(m.id, true, giveUp)
	b.mu.Lock()
	b.check(ok || !b.patient, "gave up by itself", m)
	b.check(!handled || m.id != "", "tracked without an id", m)
	b.check(!handled || m.done > 0 || !b.large && !m.unique, "suppressed unhandled", m)
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

// Whenever the connection is lost, and whatever fails: nothing unhandled is suppressed; with an id of its
// own and a large memory, nothing is handled to its end twice; nobody waits for ever.
func TestRecentBetweenReconnects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			originals := drawOriginals(t)
			memory := rapid.SampledFrom([]int{0, 1, 3, len(originals)}).Draw(t, "memory")
			b := &plainBroker{
				recent: newRecent(memory), large: memory == len(originals), patient: rapid.Bool().Draw(t, "patient"),
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
			checkRecentIdle(t, b.recent)
		})
	})
}

func checkRecentIdle(t rapid.TB, r *recent) {
	t.Helper()
	if ids := remembered(r); len(ids) != len(r.marks) || len(ids) != r.length || len(ids) > r.memory {
		t.Errorf("%d remembered, length %d, %d marks; memory %d", len(ids), r.length, len(r.marks), r.memory)
	}
	for m := r.spare; m != nil; m = m.younger {
		if m.id != "" {
			t.Errorf("holds on to %s", m.id)
		}
	}
}

// Many at once: each id is handled to its end once, and the race detector sees that its handlers run one
// after another, without any other lock.
func TestRecentIsALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ids, redeliveries, failures = 200, 16, 3
		r, calls := newRecent(ids+1), make([]int, ids)
		var group sync.WaitGroup
		for range redeliveries {
			group.Go(func() {
				for i := range calls {
					id := fmt.Sprint(i)
					if handled, _ := r.begin(id, true, nil); !handled {
						calls[i]++
						time.Sleep(time.Millisecond)
						r.end(id, calls[i] > failures)
					}
				}
			})
			group.Go(func() { // in the way
				for range ids {
					r.begin("shared", false, nil)
					r.end("shared", true)
					if handled, ok := r.begin("shared", true, noPatience()); ok && !handled {
						r.end("shared", true)
					}
				}
			})
		}
		group.Wait()
		for i, n := range calls {
			if n != failures+1 {
				t.Fatalf("id %d: handled %d times", i, n)
			}
		}
		checkRecentIdle(t, r)
	})
}

func TestRecentAllocatesNothing(t *testing.T) {
	ids := make([]string, 10_000)
	for i := range ids {
		ids[i] = fmt.Sprint("id ", i)
	}
	r, i := newRecent(100), 0
	message := func() {
		id := ids[i%len(ids)]
		i++
		r.begin(id, false, nil)
		r.end(id, true)
		if handled, _ := r.begin(id, true, nil); !handled {
			t.Fatal("not suppressed")
		}
	}
	for range ids {
		message()
	}
	if n := testing.AllocsPerRun(len(ids), message); n != 0 {
		t.Errorf("%v allocations", n)
	}
	checkRecentIdle(t, r)
}

func BenchmarkRecent(b *testing.B) {
	ids := make([]string, 100_000)
	for i := range ids {
		ids[i] = fmt.Sprint("id ", i)
	}
	r, i := newRecent(10_000), 0
	b.ReportAllocs()
	for b.Loop() {
		id := ids[i%len(ids)]
		i++
		r.begin(id, false, nil)
		r.end(id, true)
	}
}
