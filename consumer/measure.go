package consumer

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Each worker stamps when its handler begins and ends, in memory of its own, which others read. A stamp is nanoseconds
// on the monotonic clock since Run began.

// timing is when a worker's handler began and ended last. It is at work if it began later than it ended.
type timing struct {
	began, ended atomic.Int64
	longest      atomic.Int64 // call, since that was asked for last
	waits        atomic.Int32 // the worker has a delivery that is not with its handler: a wait

	shard *shard // the worker's, once it has handled something
}

// wait is what a worker waits for with a delivery in its hand.
type wait = int32

const (
	waitsForNothing wait = iota
	waitsForTurn         // as what no worker has received does
	waitsForRetry
)

// begin stamps that the handler is called.
func (t *timing) begin(m *measures) { t.began.Store(max(m.now(), t.ended.Load()+1)) } // or it would not be later

// end stamps that it has returned, and counts it.
func (t *timing) end(m *measures, worker int) {
	began := t.began.Load()
	at := max(m.now(), began+1)
	t.ended.Store(at)
	if took := at - began; took > t.longest.Load() {
		t.longest.Store(took)
	}
	if t.shard == nil {
		t.shard = m.shardOf(worker)
	}
	t.shard.count(at - began)
}

// wait notes what the worker waits for.
func (t *timing) wait(what wait) {
	t.waits.Store(what)
}

func (t *timing) isBusy() bool { return t.began.Load() > t.ended.Load() }

// touch stamps that something was done with that no handler was called for.
func (t *timing) touch(m *measures) {
	t.ended.Store(max(m.now(), t.began.Load()+1))
}

// measures are how long the handlers of a subscription took.
type measures struct {
	epoch  time.Time // of the stamps
	shards []atomic.Pointer[shard]
	past   atomic.Pointer[past] // nil as long as there is none

	// Of workers that have ended; guarded by dispatcher.mu.
	began, ended, longest int64
}

func newMeasures() *measures {
	const most = 8 // they take a kilobyte each
	return &measures{epoch: time.Now(), shards: make([]atomic.Pointer[shard], min(most, runtime.GOMAXPROCS(0)))}
}

func (m *measures) now() int64 { return int64(time.Since(m.epoch)) }

// shard is a part of the counts, so that workers on different processors write to different memory.
type shard struct {
	calls [buckets]atomic.Uint64
	sum   atomic.Int64 // nanoseconds
}

func (s *shard) count(took int64) {
	s.calls[bucketOf(took)].Add(1)
	s.sum.Add(took)
}

func (m *measures) shardOf(worker int) *shard {
	place := &m.shards[worker%len(m.shards)]
	place.CompareAndSwap(nil, &shard{})
	return place.Load()
}

// total is how many calls took how long, since the consumer was made.
func (m *measures) total() (calls [buckets]uint64, sum time.Duration) {
	for i := range m.shards {
		s := m.shards[i].Load()
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

// sum is how many calls there were, and how long they took together.
func (m *measures) sum() (calls uint64, took time.Duration) {
	all, took := m.total()
	for _, n := range all {
		calls += n
	}
	return calls, took
}

const (
	// lately is what "the last minutes" are, at most; it is known by the minute.
	lately = 5
)

// past is the counts as they were at the last minutes, the oldest first. It is never changed.
type past [lately]moment

// moment is the counts at one time; nil: all were zero. They are cut to 32 bits, which differences over minutes fit
// into.
type moment struct {
	at    int64
	calls *[buckets]uint32
}

// remember notes the counts once a minute. One goroutine does that; the workers know nothing of it.
func (m *measures) remember() {
	calls, _ := m.total()
	last := m.past.Load()
	if last == nil && calls == [buckets]uint64{} { // nothing was ever handled
		return
	}
	next := &past{}
	now := moment{at: m.now()}
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
	m.past.Store(next)
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
func (m *measures) lately(calls *[buckets]uint64) (recent [buckets]uint64) {
	p := m.past.Load()
	if p == nil {
		return *calls
	}
	from, oldest := p[lately-1], m.now()-int64(lately*time.Minute+lookEvery)
	for i := lately - 1; i >= 0 && p[i].at >= oldest; i-- {
		from = p[i]
	}
	for b, n := range calls {
		recent[b] = uint64(uint32(n) - from.count(b))
	}
	return recent
}

// handling is what there is to tell.
func (m *measures) handling() HandlingTime {
	calls, sum := m.total()
	recent := m.lately(&calls)
	h := HandlingTime{Sum: sum, Histogram: cumulated(&calls), Fine: fineOf(&calls)}
	for _, n := range recent {
		h.Calls += n
	}
	h.P50, h.P95, h.P99 = percentile(&recent, h.Calls, 50), percentile(&recent, h.Calls, 95), percentile(&recent, h.Calls, 99)
	return h
}
