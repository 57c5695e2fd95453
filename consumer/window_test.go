package consumer

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/everhop/everhop/broker"
)

// windowOf makes a window of a queue that is no stream, and what it wakes.
func windowOf(concurrency, prefetch int, bytes int64) (*window, chan struct{}) {
	wake, kind := make(chan struct{}, 1), new(queueKind)
	return newWindow(Subscription{Concurrency: concurrency, Prefetch: prefetch, PrefetchBytes: bytes}, kind, wake), wake
}

func (w *window) receive(n int, bytes int64) {
	for range n {
		w.arrived(&Delivery{}, bytes)
	}
}

// obey does what the supervisor does: it asks for what is wanted, again and again.
func (w *window) obey(sizes ...int64) (asked []int) {
	for _, bytes := range sizes {
		w.receive(1, bytes)
		if next := w.next(); next != w.size {
			w.opened(broker.Intake{Prefetch: next})
			asked = append(asked, next)
		}
	}
	return asked
}

func times(n int, bytes int64) []int64 {
	sizes := make([]int64, n)
	for i := range sizes {
		sizes[i] = bytes
	}
	return sizes
}

func TestWindowSizes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                  string
		concurrency, prefetch int
		limit                 int64
		sizes                 []int64
		want                  string // what is asked for, after the concurrency
	}{
		{"nothing came", 3, 64, 1000, nil, "[]"},
		{"small ones: the whole prefetch", 1, 64, 1000, times(200, 1), "[2 4 8 16 32 64]"},
		{"the last step is what is left", 3, 64, 1000, times(200, 1), "[6 12 24 48 64]"},
		{"as many as came, before each step", 4, 64, 1000, times(11, 1), "[8]"},
		{"as many as fit", 1, 64, 1000, times(200, 200), "[2 4]"},
		{"no step of less than a half", 1, 64, 1000, times(200, 180), "[2 4]"},
		{"large ones: the concurrency", 3, 64, 1000, times(200, 900), "[]"},
		{"larger than all of it", 3, 64, 1000, times(200, 5000), "[]"},
		{"concurrency beyond the prefetch", 100, 64, 1000, times(200, 1), "[]"},
		{"they get larger", 1, 64, 1000, append(times(100, 1), 250), "[2 4 8 16 32 64 4]"},
		{"and a little larger", 1, 64, 1000, append(times(200, 10), 20, 21, 22, 23, 24), "[2 4 8 16 32 64 44 38]"},
		{"one large among many small", 1, 64, 1000, append(append(times(100, 1), 250), times(500, 1)...), "[2 4 8 16 32 64 4]"},
		{"they differ by little", 1, 64, 1000, append(append(times(100, 100), 111, 100), times(100, 111)...), "[2 4 8]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, _ := windowOf(c.concurrency, c.prefetch, c.limit)
			if got := fmt.Sprint(w.obey(c.sizes...)); got != c.want {
				t.Errorf("it asked for %s, want %s", got, c.want)
			}
		})
	}
}

// It wakes the supervisor once for each size that it wants.
func TestWindowWakes(t *testing.T) {
	t.Parallel()
	w, wake := windowOf(1, 64, 1000)
	wants := func(when string, want int) {
		t.Helper()
		if got := len(wake); got != want {
			t.Fatalf("%s: woken %d times, want %d", when, got, want)
		}
		for len(wake) > 0 {
			<-wake
		}
	}
	wants("at first", 0)
	w.receive(1, 1)
	wants("to grow", 1)
	w.receive(10, 1)
	wants("nothing new", 0)
	w.receive(1, 1000)
	wants("not to grow", 1)
	w.receive(10, 1000)
	wants("nothing new", 0)
	w.handled()
	wants("nothing is held", 0)
	if !w.hold() || w.hold() {
		t.Error("hold does not tell what is news")
	}
	w.handled()
	w.handled()
	wants("it is held", 1)
}

// A message that could be a stream's changes nothing: to consume a stream again might pass messages over.
func TestWindowWaitsForTheKindOfQueue(t *testing.T) {
	t.Parallel()
	w, wake := windowOf(1, 64, 1000)
	w.arrived(&Delivery{Unreadable: &broker.UnreadableError{}}, 1)
	if len(wake) > 0 || w.next() != 1 {
		t.Errorf("it wants %d", w.next())
	}
	w.arrived(&Delivery{Headers: map[string]any{streamOffset: int64(0)}}, 1)
	if !w.kind.isStream() {
		t.Error("it has not seen that it is a stream")
	}
}

// The caller's changes are limits from then on.
func TestWindowLimits(t *testing.T) {
	t.Parallel()
	w, _ := windowOf(1, 64, 1000)
	w.obey(times(100, 1)...)
	for _, step := range []struct {
		what string
		do   func()
		want int
	}{
		{"a smaller prefetch", func() { w.setMost(10) }, 10},
		{"a larger one, nothing came since", func() { w.setMost(1000) }, 64},
		{"large messages", func() { w.receive(1, 500) }, 2},
		{"more handlers", func() { w.setLeast(5) }, 5},
		{"and fewer again", func() { w.setLeast(1) }, 2},
	} {
		step.do()
		if got := w.next(); got != step.want {
			t.Errorf("%s: it wants %d, want %d", step.what, got, step.want)
		}
	}
}

// What has come and is asked for must fit together.
func TestWindowAdmits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		bytes      int64
		unfinished int
		prefetch   int
		now        bool
	}{
		{"four fit, and as many handlers are busy", 250, 2, 4, true},
		{"one waits", 250, 3, 4, false},
		{"sixty wait, and are small, but the Prefetch is used up", 1, 62, 64, false},
		{"none fits", 5000, 2, 2, true},
		{"none fits, one waits", 5000, 3, 2, false},
	} {
		w, _ := windowOf(2, 64, 1000)
		w.obey(times(200, 1)...)
		w.receive(1, c.bytes)
		if prefetch, now := w.admits(c.unfinished); prefetch != c.prefetch || now != c.now {
			t.Errorf("%s: %d, %t; want %d, %t", c.name, prefetch, now, c.prefetch, c.now)
		}
	}
}

// A large message is forgotten when many others came, and some time has passed; never by time alone.
func TestRecentForgets(t *testing.T) {
	t.Parallel()
	var r recent
	now := time.Now()
	see := func(n int, size int64, pace time.Duration) {
		for range n {
			r.see(size, func() time.Time { return now })
			now = now.Add(pace)
		}
	}
	want := func(when string, size int64) {
		t.Helper()
		if got := r.largest(); got != size {
			t.Errorf("%s the largest is %d, want %d", when, got, size)
		}
	}
	see(1, 500, 0)
	see(100, 1, time.Hour)
	want("after a few in a long time", 500)
	see(100_000, 1, 0)
	want("after many at once", 500)
	see(3*periodDeliveries, 1, periodTime/periodDeliveries)
	want("after many in a long time", 1)
}

// Whatever comes: what is asked for is within its bounds, fits, and at most doubles.
func TestWindowKeepsItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		concurrency, prefetch := rapid.IntRange(1, 20).Draw(t, "concurrency"), rapid.IntRange(1, 200).Draw(t, "prefetch")
		limit := rapid.Int64Range(1, 10_000).Draw(t, "limit")
		w, wake := windowOf(concurrency, prefetch, limit)
		came := 0
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				concurrency = rapid.IntRange(1, 20).Draw(t, "concurrency")
				w.setLeast(concurrency)
			case 1:
				prefetch = rapid.IntRange(1, 200).Draw(t, "prefetch")
				w.setMost(prefetch)
			default:
				n := rapid.IntRange(1, 50).Draw(t, "deliveries")
				before := w.next()
				w.receive(n, rapid.Int64Range(1, 5000).Draw(t, "size"))
				came += n
				if w.next() != before && w.next() != w.size && len(wake) == 0 && w.told != w.next() {
					t.Fatalf("it wants %d instead of %d, and nobody is told", w.next(), before)
				}
			}
			least, next := min(concurrency, prefetch), w.next()
			switch largest := w.recent.largest(); {
			case next < least || next > prefetch:
				t.Fatalf("%d is not between %d and %d", next, least, prefetch)
			case next > least && int64(next)*largest > limit:
				t.Fatalf("%d of %d are more than %d", next, largest, limit)
			case next > max(2*w.size, least):
				t.Fatalf("%d is more than twice %d", next, w.size)
			case next > max(w.size, least) && came < w.size:
				t.Fatalf("it grows from %d after %d", w.size, came)
			}
			unfinished := rapid.IntRange(0, 300).Draw(t, "unfinished")
			if size, now := w.admits(unfinished); now && size > least {
				if waiting := int64(max(0, unfinished-concurrency) + size); waiting*w.recent.largest() > limit {
					t.Fatalf("%d and %d are admitted: more than %d", unfinished, size, limit)
				}
			}
			if next != w.size && rapid.Bool().Draw(t, "carried out") {
				w.opened(broker.Intake{Prefetch: next})
				came = 0
			}
			for len(wake) > 0 {
				<-wake
			}
		}
	})
}

// A window costs no allocation, with PrefetchBytes or without.
func TestWindowAllocatesNothing(t *testing.T) {
	w, _ := windowOf(1, 64, 0)
	if n := testing.AllocsPerRun(100, func() { w.handled(); _ = w.isHeld() }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	w, _ = windowOf(1, 64, 1000)
	d := &Delivery{}
	if n := testing.AllocsPerRun(1000, func() { w.arrived(d, 10) }); n > 0 {
		t.Errorf("%v allocations for a delivery", n)
	}
}

// Without PrefetchBytes it is the prefetch, but after losses in a row, which it grows from.
func TestWindowAfterLosses(t *testing.T) {
	w, _ := windowOf(4, 64, 0)
	if n := w.next(); n != 64 || w.watches() {
		t.Errorf("%d, watches: %t", n, w.watches())
	}
	w.setMost(20)
	if n := w.next(); n != 20 {
		t.Errorf("%d of 20", n)
	}
	w.setMost(64)
	if !w.restart() || w.restart() || !w.watches() {
		t.Error("it begins anew, once")
	}
	for _, want := range []int{4, 8, 16, 32, 64} {
		if n := w.next(); n != want {
			t.Errorf("%d, want %d", n, want)
		}
		w.opened(broker.Intake{Prefetch: want})
		for i := range want {
			if n := w.next(); n != want {
				t.Errorf("%d after %d of %d", n, i, want)
			}
			w.arrived(&Delivery{}, 1<<30)
		}
	}
	if w.watches() || w.next() != 64 {
		t.Error("it goes on watching")
	}
}

func TestInBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{7: "7 B", 1 << 10: "1 KiB", 5<<20 + 1: "5120 KiB", 16<<20 + 512: "16 MiB"} {
		if got := inBytes(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
