package fsm

import (
	"maps"
	"math"
	"math/bits"
	"time"
)

// Durations counts durations in constant memory, however many there are: those
// below 64 milliseconds exactly, to the millisecond, longer ones to a thirty-second
// of their value. The zero value is empty. It is not safe for concurrent use. A copy
// shares its counts; what a [Summary] returns does not.
type Durations struct {
	// Count is how many there are, Total their exact sum and Max the exact longest.
	Count uint64
	Total time.Duration
	Max   time.Duration

	buckets map[int]uint64 // how many are in each
}

// Add counts v; a negative one counts as 0.
func (d *Durations) Add(v time.Duration) { d.add(v, 1) }

// add counts n durations that have the given sum, as if they were alike.
func (d *Durations) add(sum time.Duration, n uint64) {
	if n == 0 {
		return
	}
	sum = max(sum, 0)
	each := sum / time.Duration(min(n, math.MaxInt64))
	d.Count += n
	d.Total += sum
	d.Max = max(d.Max, each)
	if d.buckets == nil {
		d.buckets = make(map[int]uint64)
	}
	d.buckets[bucket(uint64(each/time.Millisecond))] += n
}

// clone returns a copy that shares nothing.
func (d Durations) clone() Durations {
	d.buckets = maps.Clone(d.buckets)
	return d
}

// Quantile returns the shortest of them that at least the share q of all does not
// exceed: 0.5 is the median, 0 the shortest, 1 the longest. It is 0 when there are none.
func (d *Durations) Quantile(q float64) time.Duration {
	if d.Count == 0 || q >= 1 {
		return d.Max
	}
	var seen uint64
	for i := range buckets {
		if seen += d.buckets[i]; seen > 0 && float64(seen)/float64(d.Count) >= q {
			return min(time.Duration(middle(i))*time.Millisecond, d.Max)
		}
	}
	return d.Max
}

// Buckets are one millisecond wide up to 64, and from there on 32 to each power of two.
const (
	exactBits = 6
	exact     = 1 << exactBits
	perPow    = exact / 2
	buckets   = exact + perPow*(64-exactBits)
)

func bucket(ms uint64) int {
	if ms < exact {
		return int(ms)
	}
	shift := bits.Len64(ms) - exactBits // leaves 32 to 63
	return exact + perPow*(shift-1) + int(ms>>shift) - perPow
}

// middle is the value that stands for a bucket.
func middle(i int) uint64 {
	if i < exact {
		return uint64(i)
	}
	shift := (i-exact)/perPow + 1
	return uint64((i-exact)%perPow+perPow)<<shift + 1<<(shift-1)
}
