package prom

import (
	"math"

	dto "github.com/prometheus/client_model/go"

	"github.com/everhop/everhop/consumer"
)

// A native histogram has bounds that are powers of a root of 2, and consumer.FineBuckets are round numbers. So the calls of
// a fine bucket go where its middle is: no call is counted in a bucket that is more than an eighth away from it.

const (
	// schema has 8 buckets for each power of 2: each is 9 % wider than the one before. No two fine ones share one.
	schema = 3
)

var (
	// nativeZero is what counts as no time at all: what the first fine bucket has.
	nativeZero = fineBounds[0]
	fineBounds = inSeconds(consumer.FineBuckets())
	// nativeOf are the native buckets of the fine ones, and of what is longer than they are.
	nativeOf = func() (indexes []int32) {
		indexes = append(indexes, math.MinInt32) // that of zero
		for i, end := range fineBounds[1:] {
			indexes = append(indexes, nativeIndex(math.Sqrt(fineBounds[i]*end)))
		}
		return append(indexes, nativeIndex(fineBounds[len(fineBounds)-1])+1)
	}()
)

// nativeIndex is the bucket of a number of seconds. That with the index i ends at 2^(i/8).
func nativeIndex(seconds float64) int32 {
	return int32(math.Ceil(math.Log2(seconds) * (1 << schema)))
}

// native adds a native histogram: spans of buckets that follow one another, and for each what it has more than the one
// before.
func native(fine []uint64, to *dto.Histogram) {
	const gap = 2 // so many empty buckets are cheaper than another span
	zero, kind := uint64(0), int32(schema)
	if len(fine) > 0 {
		zero = fine[0]
	}
	to.Schema, to.ZeroThreshold, to.ZeroCount = &kind, &nativeZero, &zero
	var next int32 // index, behind the last bucket
	var last int64 // count
	for i := 1; i < len(fine); i++ {
		if fine[i] == 0 {
			continue
		}
		index, n := nativeOf[i], int64(fine[i])
		offset := index - next
		if len(to.PositiveSpan) == 0 || offset > gap {
			length := uint32(0)
			to.PositiveSpan = append(to.PositiveSpan, &dto.BucketSpan{Offset: &offset, Length: &length})
		} else {
			for range offset {
				*to.PositiveSpan[len(to.PositiveSpan)-1].Length++
				to.PositiveDelta, last = append(to.PositiveDelta, -last), 0
			}
		}
		*to.PositiveSpan[len(to.PositiveSpan)-1].Length++
		to.PositiveDelta, last = append(to.PositiveDelta, n-last), n
		next = index + 1
	}
}
