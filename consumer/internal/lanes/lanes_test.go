package lanes

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
	var l Lanes[int]
	begin := func(key string, item int, want bool) {
		t.Helper()
		if mine := l.Begin(key, item); mine != want {
			t.Errorf("begin(%s, %d) = %v", key, item, mine)
		}
	}
	next := func(key string, want int) { // 0: none
		t.Helper()
		if item, ok := l.Next(key); item != want || ok != (want != 0) {
			t.Errorf("next(%s) = %d, %v; want %d", key, item, ok, want)
		}
	}
	begin("a", 1, true)
	begin("a", 2, false)
	begin("b", 3, true)
	begin("a", 4, false)
	if keys, waiting := l.Size(); keys != 2 || waiting != 2 {
		t.Errorf("%d keys are taken, %d items wait", keys, waiting)
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

// What is taken out of a lane leaves the rest in its order, and the key taken.
func TestLanesRemove(t *testing.T) {
	var l Lanes[int]
	for item := range 8 {
		l.Begin("a", item)
	}
	if got := l.Remove(func(item int) bool { return item%2 == 1 }); !slices.Equal(got, []int{1, 3, 5, 7}) {
		t.Errorf("removed %v", got)
	}
	if l.Begin("a", 8) {
		t.Error("the key was free")
	}
	var rest []int
	for item, ok := l.Next("a"); ok; item, ok = l.Next("a") {
		rest = append(rest, item)
	}
	if !slices.Equal(rest, []int{2, 4, 6, 8}) {
		t.Errorf("left are %v", rest)
	}
	checkLanesEmpty(t, &l, 8)
}

// checkLanesEmpty checks that nothing is left but room for those that waited at once.
func checkLanesEmpty[T comparable](t rapid.TB, l *Lanes[T], most int) {
	t.Helper()
	if keys, waiting := l.Size(); keys+waiting != 0 {
		t.Errorf("%d keys are taken, %d items wait", keys, waiting)
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
		var l Lanes[int]
		busy, item, waiting, most := map[string][]int{}, 0, 0, 0
		keys := rapid.SampledFrom([]string{"", "a", "b", "c"})
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				key := keys.Draw(t, "key")
				queue, taken := busy[key]
				item++
				if mine := l.Begin(key, item); mine == taken {
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
				got, ok := l.Next(key)
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
			"remove": func(t *rapid.T) {
				third := rapid.IntRange(0, 2).Draw(t, "third")
				goes := func(item int) bool { return item%3 == third }
				got, want := l.Remove(goes), []int(nil)
				for key, queue := range busy {
					for _, item := range queue {
						if goes(item) {
							want = append(want, item)
						}
					}
					busy[key] = slices.DeleteFunc(queue, goes)
				}
				waiting -= len(want)
				slices.Sort(got) // the keys come in any order
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Fatalf("removed %v, want %v", got, want)
				}
			},
			"": func(t *rapid.T) {
				if keys, wait := l.Size(); wait != waiting || keys != len(busy) {
					t.Fatalf("%d wait, %d keys are taken; want %d, %d", wait, keys, waiting, len(busy))
				}
			},
		})
		for key := range busy {
			for ok := true; ok; {
				_, ok = l.Next(key)
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
	lanes Lanes[keyed]
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
	mine := q.lanes.Begin(p.key, p)
	q.turn.Unlock()
	for ok := mine; ok; p, ok = q.lanes.Next(p.key) {
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
	var l Lanes[*int]
	item, i := new(int), 0
	for _, deep := range []int{0, 5} { // how many wait at once
		message := func() {
			key := keys[i%len(keys)]
			i++
			for range deep + 1 {
				l.Begin(key, item)
			}
			for range deep + 1 {
				l.Next(key)
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
			var l Lanes[*int]
			b.ReportAllocs()
			for b.Loop() {
				for range deep + 1 {
					l.Begin("key", nil)
				}
				for range deep + 1 {
					l.Next("key")
				}
			}
		})
	}
}
