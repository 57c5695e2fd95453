package measure

import (
	"math/bits"
	"slices"
	"time"
)

// Durations are counted in buckets that are a fifth wide, from a microsecond to about an hour.

const (
	perDecade = 13
	decades   = 9
	// buckets is how many there are: the one up to 1 us, those of each decade, two that reach over the hour, and what
	// is longer.
	buckets = 1 + perDecade*decades + perDecade - 5 + 1
)

// steps are where the buckets of a decade end, in tenths of it, so that round durations are ends of buckets.
var steps = [perDecade]int64{12, 15, 18, 20, 25, 30, 35, 40, 50, 60, 70, 80, 100}

// ends are the longest durations of the buckets but the last one, in nanoseconds.
var ends = func() (ends [buckets - 1]int64) {
	ends[0] = int64(time.Microsecond)
	decade := ends[0]
	for i := 1; i < len(ends); i++ {
		step := (i - 1) % perDecade
		ends[i] = decade / 10 * steps[step]
		if step == perDecade-1 {
			decade *= 10
		}
	}
	return ends
}()

// firsts is the first bucket that a duration of so many bits may be in.
var firsts = func() (firsts [65]uint8) {
	for n := range firsts {
		least := int64(0)
		if n > 0 {
			least = int64(1) << min(n-1, 62)
		}
		at, _ := slices.BinarySearch(ends[:], least)
		firsts[n] = uint8(at)
	}
	return firsts
}()

// bucketOf is where a duration is counted.
func bucketOf(took int64) int {
	i := int(firsts[bits.Len64(uint64(took))])
	for i < len(ends) && ends[i] < took {
		i++
	}
	return i
}

// percentile is the middle of the bucket in which it is.
func percentile(calls *[buckets]uint64, all uint64, percent uint64) time.Duration {
	if all == 0 {
		return 0
	}
	rank := (all*percent + 99) / 100
	for i, n := range calls {
		if n >= rank {
			return middle(i)
		}
		rank -= n
	}
	return middle(buckets - 1)
}

func middle(bucket int) time.Duration {
	switch bucket {
	case 0:
		return time.Duration(ends[0])
	case buckets - 1:
		return time.Duration(ends[buckets-2])
	}
	return time.Duration((ends[bucket-1] + ends[bucket]) / 2)
}

// Ends are the durations that Summary.Fine counts by, the shortest first. Each is at most a quarter longer than the one
// before, from a microsecond to 67 minutes.
func Ends() []time.Duration {
	list := make([]time.Duration, len(ends))
	for i, end := range ends {
		list[i] = time.Duration(end)
	}
	return list
}

// fine is the counts by Ends, as far as there are any.
func fine(calls *[buckets]uint64) []uint64 {
	n := buckets
	for n > 0 && calls[n-1] == 0 {
		n--
	}
	return slices.Clone(calls[:n])
}

// bounds are ends of buckets.
var bounds = []time.Duration{
	time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond,
	5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute,
}

// Bounds are the durations that Summary.Histogram counts by, the shortest first.
func Bounds() []time.Duration { return slices.Clone(bounds) }

// cumulated is the counts by bounds.
func cumulated(calls *[buckets]uint64) []uint64 {
	counts := make([]uint64, 0, len(bounds)+1)
	var sum uint64
	next := 0
	for i, n := range calls {
		sum += n
		if next < len(bounds) && i < len(ends) && ends[i] == int64(bounds[next]) {
			counts = append(counts, sum)
			next++
		}
	}
	return append(counts, sum)
}
