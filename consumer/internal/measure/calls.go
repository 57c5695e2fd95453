// Package measure counts how long calls of handlers take: workers do, without a lock, and whoever wants to know reads what
// they have written.
package measure

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Calls are those of a subscription's handler. A stamp is nanoseconds on the monotonic clock since they were made.
type Calls struct {
	epoch  time.Time
	shards []atomic.Pointer[shard]
	past   atomic.Pointer[past] // nil as long as there is none
}

// New has none yet.
func New() *Calls {
	const most = 8 // they take a kilobyte each
	return &Calls{epoch: time.Now(), shards: make([]atomic.Pointer[shard], min(most, runtime.GOMAXPROCS(0)))}
}

func (c *Calls) now() int64 { return int64(time.Since(c.epoch)) }

// Since is how long ago a stamp was made.
func (c *Calls) Since(stamp int64) time.Duration { return time.Duration(c.now() - stamp) }

// shard is a part of the counts, so that workers on different processors write to different memory.
type shard struct {
	calls [buckets]atomic.Uint64
	sum   atomic.Int64 // nanoseconds
}

func (s *shard) count(took int64) {
	s.calls[bucketOf(took)].Add(1)
	s.sum.Add(took)
}

func (c *Calls) shardOf(worker int) *shard {
	place := &c.shards[worker%len(c.shards)]
	place.CompareAndSwap(nil, &shard{})
	return place.Load()
}

// total is how many calls took how long.
func (c *Calls) total() (calls [buckets]uint64, sum time.Duration) {
	for i := range c.shards {
		s := c.shards[i].Load()
		if s == nil {
			continue
		}
		for b := range calls {
			calls[b] += s.calls[b].Load()
		}
		sum += time.Duration(s.sum.Load())
	}
	return calls, sum
}

// Sum is how many calls have returned, and how long they took together.
func (c *Calls) Sum() (calls uint64, took time.Duration) {
	all, took := c.total()
	for _, n := range all {
		calls += n
	}
	return calls, took
}

// lately is how many minutes "the last minutes" are, at most; it is known by the minute. slack is how late it may be noted.
const (
	lately = 5
	slack  = 5 * time.Second
)

// past is the counts as they were at the last minutes, the oldest first. It is never changed.
type past [lately]moment

// moment is the counts at one time; nil: all were zero. They are cut to 32 bits, which differences over minutes fit
// into.
type moment struct {
	at    int64
	calls *[buckets]uint32
}

// Remember notes the counts. One goroutine calls it once a minute; the workers know nothing of it.
func (c *Calls) Remember() {
	calls, _ := c.total()
	last := c.past.Load()
	if last == nil && calls == [buckets]uint64{} { // nothing was ever handled
		return
	}
	next := &past{}
	now := moment{at: c.now()}
	if last == nil {
		for i := range next {
			next[i].at = now.at
		}
	} else {
		copy(next[:], last[1:])
		now.calls = last[lately-1].calls
	}
	if !now.is(&calls) {
		now.calls = new([buckets]uint32)
		for b, n := range calls {
			now.calls[b] = uint32(n)
		}
	}
	next[lately-1] = now
	c.past.Store(next)
}

func (p moment) is(calls *[buckets]uint64) bool {
	for b, n := range calls {
		if p.count(b) != uint32(n) {
			return false
		}
	}
	return true
}

func (p moment) count(b int) uint32 {
	if p.calls == nil {
		return 0
	}
	return p.calls[b]
}

// lately is what was counted in the last minutes: since the oldest moment that is not older, or the newest one, if the
// process stood still.
func (c *Calls) lately(calls *[buckets]uint64) (recent [buckets]uint64) {
	p := c.past.Load()
	if p == nil {
		return *calls
	}
	from, oldest := p[lately-1], c.now()-int64(lately*time.Minute+slack)
	for i := lately - 1; i >= 0 && p[i].at >= oldest; i-- {
		from = p[i]
	}
	for b, n := range calls {
		recent[b] = uint64(uint32(n) - from.count(b))
	}
	return recent
}

// Summary is what there is to tell.
type Summary struct {
	// Calls and the percentiles are of the last minutes.
	Calls         uint64
	P50, P95, P99 time.Duration
	// What follows is of all calls: how many took no longer than each of [Bounds], and then all; how many took no longer
	// than each of [Ends], and longer than the one before; and their sum.
	Histogram []uint64
	Fine      []uint64
	Sum       time.Duration
}

// Summary is that of now.
func (c *Calls) Summary() Summary {
	calls, sum := c.total()
	recent := c.lately(&calls)
	s := Summary{Sum: sum, Histogram: cumulated(&calls), Fine: fine(&calls)}
	for _, n := range recent {
		s.Calls += n
	}
	s.P50, s.P95, s.P99 = percentile(&recent, s.Calls, 50), percentile(&recent, s.Calls, 95), percentile(&recent, s.Calls, 99)
	return s
}
