package measure

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Each duration is counted where it belongs, and a fifth away at most from what is told of it.
func TestBuckets(t *testing.T) {
	if last := time.Duration(ends[len(ends)-1]); last < time.Hour {
		t.Fatalf("the buckets end at %v", last)
	}
	check := func(took int64) {
		i := bucketOf(took)
		if i > 0 && ends[i-1] >= took || i < len(ends) && ends[i] < took {
			t.Fatalf("%d ns is counted in bucket %d", took, i)
		}
		if off := float64(middle(i)) / float64(took); took > ends[0] && took <= ends[len(ends)-1] && (off < 0.875 || off > 1.126) {
			t.Fatalf("of %v is told %v", time.Duration(took), middle(i))
		}
	}
	for _, end := range ends {
		for d := int64(-1); d <= 1; d++ {
			check(end + d)
		}
	}
	for range 100_000 {
		check(rand.Int64N(1 << (1 + rand.IntN(61))))
	}
	check(0)
	for i, end := range ends[1:] {
		if r := float64(end) / float64(ends[i]); r > 1.2501 {
			t.Errorf("%v to %v is a wide bucket", ends[i], end)
		}
	}
	for _, b := range Bounds() {
		if !slices.Contains(ends[:], int64(b)) {
			t.Errorf("no bucket ends at %v", b)
		}
	}
}

// Percentiles are those of the last minutes, and the histogram of all.
func TestMeasures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New()
		handled := func(worker, n int, took time.Duration) {
			for range n {
				m.shardOf(worker).count(int64(took))
			}
		}
		check := func(calls uint64, p50, p95, p99 time.Duration) {
			t.Helper()
			h := m.Summary()
			near := func(got, want time.Duration) bool { return got >= want*88/100 && got <= want*112/100 }
			if h.Calls != calls || !near(h.P50, p50) || !near(h.P95, p95) || !near(h.P99, p99) {
				t.Errorf("after %v: %d calls, %v, %v, %v; want %d, %v, %v, %v", time.Since(m.epoch), h.Calls, h.P50, h.P95, h.P99, calls, p50, p95, p99)
			}
		}
		pass := func(minutes int) {
			for range minutes {
				time.Sleep(time.Minute)
				m.Remember()
			}
		}
		check(0, 0, 0, 0)
		pass(10)
		if m.past.Load() != nil {
			t.Error("who has handled nothing takes memory for that")
		}
		handled(0, 90, 10*time.Millisecond)
		handled(1, 8, time.Second)
		handled(7, 2, 100*time.Second)
		check(100, 10*time.Millisecond, time.Second, 100*time.Second)
		pass(4)
		check(100, 10*time.Millisecond, time.Second, 100*time.Second)
		handled(0, 100, time.Microsecond)
		pass(1)
		check(100, time.Microsecond, time.Microsecond, time.Microsecond)
		pass(4)
		check(0, 0, 0, 0)
		quiet := m.past.Load()[lately-1].calls
		pass(3)
		if m.past.Load()[lately-1].calls != quiet {
			t.Error("a quiet minute takes memory")
		}
		time.Sleep(time.Hour) // the process stood still
		handled(0, 1, time.Second)
		check(1, time.Second, time.Second, time.Second)

		h := m.Summary()
		want := make([]uint64, len(bounds)+1)
		for i, b := range bounds {
			want[i] = 100 // a microsecond
			if b >= 10*time.Millisecond {
				want[i] += 90
			}
			if b >= time.Second {
				want[i] += 9
			}
			if b >= 100*time.Second {
				want[i] += 2
			}
		}
		want[len(bounds)] = 201
		if sum := 900*time.Millisecond + 209*time.Second + 100*time.Microsecond; !slices.Equal(h.Histogram, want) || h.Sum != sum {
			t.Errorf("all: %v, %v; want %v, %v", h.Histogram, h.Sum, want, sum)
		}
		fine, bounds := map[time.Duration]uint64{}, Ends()
		for i, n := range h.Fine {
			if n > 0 {
				fine[bounds[i]] = n
			}
		}
		if want := map[time.Duration]uint64{time.Microsecond: 100, 10 * time.Millisecond: 90, time.Second: 9, 100 * time.Second: 2}; !maps.Equal(fine, want) {
			t.Errorf("fine: %v, want %v", fine, want)
		}
		handled(0, 1, 2*time.Hour)
		if fine := m.Summary().Fine; len(fine) != len(bounds)+1 || fine[len(bounds)] != 1 {
			t.Errorf("hours are not in the last one: %v", fine)
		}
	})
}

func TestTiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New()
		var w Timing
		for n, took := range []time.Duration{time.Second, time.Minute, 0} {
			w.Begin(m)
			if !w.IsBusy() {
				t.Fatal("it has begun, and is not busy")
			}
			time.Sleep(took)
			w.End(m, 0)
			if w.IsBusy() {
				t.Fatal("it has ended, and is busy")
			}
			if got := time.Duration(w.ended.Load() - w.began.Load()); (got - took).Abs() > time.Microsecond {
				t.Errorf("call %d took %v, want %v", n, got, took)
			}
		}
		if calls, sum := m.Sum(); calls != 3 || sum.Round(time.Second) != 61*time.Second || time.Duration(w.longest.Load()).Round(time.Microsecond) != time.Minute {
			t.Errorf("%d calls, %v, the longest %v", calls, sum, time.Duration(w.longest.Load()))
		}
	})
}

// Nothing is allocated for a message.
func TestTimingAllocatesNothing(t *testing.T) {
	m, w := New(), Timing{}
	w.Begin(m)
	w.End(m, 0)
	if n := testing.AllocsPerRun(1000, func() { w.Begin(m); w.End(m, 0) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkTiming measures what is added to each message so that its handler can be looked at.
func BenchmarkTiming(b *testing.B) {
	m, w := New(), Timing{}
	for b.Loop() {
		w.Begin(m)
		w.End(m, 0)
	}
}
