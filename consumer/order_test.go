package consumer

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestLanes(t *testing.T) {
	var l lanes[int]
	begin := func(key string, item int, want bool) {
		t.Helper()
		if mine := l.begin(key, item); mine != want {
			t.Errorf("begin(%s, %d) = %v", key, item, mine)
		}
	}
	next := func(key string, want int) { // 0: none
		t.Helper()
		if item, ok := l.next(key); item != want || ok != (want != 0) {
			t.Errorf("next(%s) = %d, %v; want %d", key, item, ok, want)
		}
	}
	begin("a", 1, true)
	begin("a", 2, false)
	begin("b", 3, true)
	begin("a", 4, false)
	if l.size() != 2 {
		t.Errorf("%d wait", l.size())
	}
	next("a", 2)
	begin("a", 5, false)
	next("a", 4)
	next("b", 0)
	next("a", 5)
	begin("b", 6, true)
	next("a", 0)
	begin("a", 7, true)
	next("a", 0)
	next("b", 0)
	checkLanesEmpty(t, &l, 2)
}

// checkLanesEmpty checks that nothing is left but room for those that waited at once.
func checkLanesEmpty[T comparable](t rapid.TB, l *lanes[T], most int) {
	t.Helper()
	if l.size() != 0 || len(l.busy) != 0 {
		t.Errorf("%d wait, busy %v", l.size(), l.busy)
	}
	var none T
	for p := l.spare; p != nil; p = p.behind {
		if most--; p.item != none {
			t.Errorf("holds on to %v", p.item)
		}
	}
	if most < 0 {
		t.Errorf("%d spare places too many", -most)
	}
}

func TestLanesAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l lanes[int]
		busy, item, waiting, most := map[string][]int{}, 0, 0, 0
		keys := rapid.SampledFrom([]string{"", "a", "b", "c"})
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				key := keys.Draw(t, "key")
				queue, taken := busy[key]
				item++
				if mine := l.begin(key, item); mine == taken {
					t.Fatalf("begin: %v", mine)
				}
				if taken {
					queue = append(queue, item)
					waiting++
					most = max(most, waiting)
				}
				busy[key] = queue
			},
			"next": func(t *rapid.T) {
				key := keys.Draw(t, "key")
				queue, taken := busy[key]
				if !taken {
					t.Skip("nobody is at work on it")
				}
				got, ok := l.next(key)
				if len(queue) == 0 {
					if ok {
						t.Fatalf("next: %d", got)
					}
					delete(busy, key)
					return
				}
				if !ok || got != queue[0] {
					t.Fatalf("next: %d, %v; want %d", got, ok, queue[0])
				}
				busy[key] = queue[1:]
				waiting--
			},
			"": func(t *rapid.T) {
				if l.size() != waiting || len(l.busy) != len(busy) {
					t.Fatalf("%d wait, %d busy; want %d, %d", l.size(), len(l.busy), waiting, len(busy))
				}
			},
		})
		for key := range busy {
			for ok := true; ok; {
				_, ok = l.next(key)
			}
		}
		checkLanesEmpty(t, &l, most)
	})
}

// keyed is a message: the nth of its key.
type keyed struct {
	key   string
	nth   int
	takes time.Duration
}

// keyedQueue is a queue, and the workers that consume from it.
type keyedQueue struct {
	lanes lanes[keyed]
	turn  sync.Mutex
	todo  []keyed
}

func (q *keyedQueue) run(workers int, handle func(keyed)) {
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for q.work(handle) {
			}
		})
	}
	group.Wait()
}

func (q *keyedQueue) work(handle func(keyed)) bool {
	q.turn.Lock()
	if len(q.todo) == 0 {
		q.turn.Unlock()
		return false
	}
	p := q.todo[0]
	q.todo = q.todo[1:]
	mine := q.lanes.begin(p.key, p)
	q.turn.Unlock()
	for ok := mine; ok; p, ok = q.lanes.next(p.key) {
		handle(p)
	}
	return true
}

// Whatever the workers do, and however long each handling takes: the order of each key is kept, nothing is
// lost, and with a worker to spare no key waits for another.
func TestLanesKeepTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			keys, workers := rapid.IntRange(1, 5).Draw(t, "keys"), rapid.IntRange(1, 8).Draw(t, "workers")
			var q keyedQueue
			want, sum := map[string][]int{}, map[string]time.Duration{}
			for range rapid.IntRange(0, 40).Draw(t, "messages") {
				key := fmt.Sprint(rapid.IntRange(1, keys).Draw(t, "key"))
				p := keyed{key, len(want[key]), time.Duration(rapid.IntRange(0, 5).Draw(t, "ms")) * time.Millisecond}
				q.todo = append(q.todo, p)
				want[key] = append(want[key], p.nth)
				sum[key] += p.takes
			}
			messages := len(q.todo)

			var mu sync.Mutex
			got, atWork, faults := map[string][]int{}, map[string]bool{}, []string(nil)
			begin := time.Now()
			q.run(workers, func(p keyed) {
				mu.Lock()
				if atWork[p.key] {
					faults = append(faults, "two at once of "+p.key)
				}
				atWork[p.key] = true
				got[p.key] = append(got[p.key], p.nth)
				mu.Unlock()
				time.Sleep(p.takes)
				mu.Lock()
				atWork[p.key] = false
				mu.Unlock()
			})
			if diff := cmp.Diff(want, got); diff != "" || faults != nil {
				t.Errorf("%v (-want +got):\n%s", faults, diff)
			}
			var longest time.Duration
			for _, d := range sum {
				longest = max(longest, d)
			}
			if took := time.Since(begin); workers > keys && took != longest {
				t.Errorf("took %v, the longest key %v", took, longest)
			}
			checkLanesEmpty(t, &q.lanes, messages)
		})
	})
}

// The race detector sees that one handling of a key happens before the next one, without any other lock.
func TestLanesAreALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each = 2000
		keys := []string{"a", "b", "c"}
		var q keyedQueue
		for nth := range each {
			for _, key := range keys {
				q.todo = append(q.todo, keyed{key: key, nth: nth})
			}
		}
		seen := make([]int, len(keys))
		q.run(8, func(p keyed) {
			if n := &seen[slices.Index(keys, p.key)]; *n == p.nth {
				*n++
			}
		})
		for i, n := range seen {
			if n != each {
				t.Errorf("%s: in order up to %d", keys[i], n)
			}
		}
		checkLanesEmpty(t, &q.lanes, each*len(keys))
	})
}

func TestLanesAllocateNothing(t *testing.T) {
	keys := make([]string, 10_000)
	for i := range keys {
		keys[i] = fmt.Sprint("key ", i)
	}
	var l lanes[*int]
	item, i := new(int), 0
	for _, deep := range []int{0, 5} { // how many wait at once
		message := func() {
			key := keys[i%len(keys)]
			i++
			for range deep + 1 {
				l.begin(key, item)
			}
			for range deep + 1 {
				l.next(key)
			}
		}
		if n := testing.AllocsPerRun(len(keys), message); n != 0 {
			t.Errorf("%d waiting: %v allocations", deep, n)
		}
	}
	checkLanesEmpty(t, &l, 5)
}

func BenchmarkLanes(b *testing.B) {
	for _, deep := range []int{0, 5} {
		b.Run(fmt.Sprintf("waiting=%d", deep), func(b *testing.B) {
			var l lanes[*int]
			b.ReportAllocs()
			for b.Loop() {
				for range deep + 1 {
					l.begin("key", nil)
				}
				for range deep + 1 {
					l.next("key")
				}
			}
		})
	}
}

// size is how many items wait.
func (l *lanes[T]) size() (waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, queue := range l.busy {
		for p := queue.first; p != nil; p = p.behind {
			waiting++
		}
	}
	return waiting
}
