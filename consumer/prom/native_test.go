package prom

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/everhop/everhop/consumer"
)

// counted is what a consumer would say of calls that took so long.
func counted(took []time.Duration) consumer.HandlingTime {
	bounds, classic := consumer.FineBuckets(), consumer.HandlingBuckets()
	h := consumer.HandlingTime{Fine: make([]uint64, len(bounds)+1), Histogram: make([]uint64, len(classic)+1)}
	for _, d := range took {
		at, _ := slices.BinarySearch(bounds, d)
		h.Fine[at]++
		for i, bound := range classic {
			if d <= bound {
				h.Histogram[i]++
			}
		}
		h.Histogram[len(classic)]++
		h.Sum += d
	}
	return h
}

// bucket is one of a native histogram, read as Prometheus does.
type bucket struct {
	index        int
	begin, end   float64
	count, below uint64
}

func bucketsOf(h *dto.Histogram) (list []bucket) {
	below, index, count, at := h.GetZeroCount(), 0, int64(0), 0
	for _, span := range h.PositiveSpan {
		index += int(span.GetOffset())
		for range span.GetLength() {
			count += h.PositiveDelta[at]
			list = append(list, bucket{index, math.Exp2(float64(index-1) / 8), math.Exp2(float64(index) / 8), uint64(count), below})
			below += uint64(count)
			at++
			index++
		}
	}
	return list
}

func nativeQuantile(h *dto.Histogram, q float64) float64 {
	rank := q * float64(h.GetSampleCount())
	for _, b := range bucketsOf(h) {
		if float64(b.below+b.count) >= rank && b.count > 0 {
			if float64(b.below) >= rank {
				return h.GetZeroThreshold()
			}
			return b.begin * math.Pow(b.end/b.begin, (rank-float64(b.below))/float64(b.count))
		}
	}
	return math.NaN()
}

func nativeOfCalls(t *testing.T, parts ...consumer.HandlingTime) *dto.Histogram {
	t.Helper()
	m := histogramMetric{desc: handling}
	for _, part := range parts {
		m.add(part)
	}
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	h := out.Histogram
	sum := h.GetZeroCount()
	for i, b := range bucketsOf(h) {
		if sum += b.count; b.count > math.MaxInt64 {
			t.Errorf("bucket %d has fewer than none", i)
		}
	}
	if sum != h.GetSampleCount() {
		t.Errorf("%d of %d calls are in buckets", sum, h.GetSampleCount())
	}
	return h
}

// What is read from a native histogram is as far from the truth as it is said to be, at most.
func TestNativeHistogramIsNear(t *testing.T) {
	const most = 1.22 // doc.go says so
	random := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() time.Duration{
		"even":    func() time.Duration { return 2*time.Microsecond + time.Duration(random.Int64N(int64(time.Hour))) },
		"wide":    func() time.Duration { return time.Duration(2e3 * math.Pow(1e9, random.Float64())) },
		"the end": func() time.Duration { return 100 * time.Millisecond },
		"begin":   func() time.Duration { return 80*time.Millisecond + 1 },
		"two":     func() time.Duration { return []time.Duration{3 * time.Millisecond, 7 * time.Second}[random.IntN(2)] },
	} {
		t.Run(name, func(t *testing.T) {
			var took []time.Duration
			for range 5000 {
				took = append(took, draw())
			}
			half := len(took) / 3
			h := nativeOfCalls(t, counted(took[:half]), counted(took[half:]))
			slices.Sort(took)
			for _, q := range []float64{0.01, 0.1, 0.25, 0.51, 0.75, 0.9, 0.95, 0.99, 0.999} {
				truth := took[int(math.Ceil(q*float64(len(took))))-1].Seconds()
				got := nativeQuantile(h, q)
				if off := max(got/truth, truth/got); !(off <= most) {
					t.Errorf("the %v quantile is %v, and was read as %v", q, truth, got)
				}
			}
		})
	}
}

// Each fine bucket has one of its own, in order; what is in none goes to the nearest one.
func TestNativeBuckets(t *testing.T) {
	for i := 2; i < len(nativeOf); i++ {
		if nativeOf[i] <= nativeOf[i-1] {
			t.Errorf("fine buckets %d and %d are in %d and %d", i-1, i, nativeOf[i-1], nativeOf[i])
		}
	}
	if b := bucketsOf(nativeOfCalls(t, counted([]time.Duration{24 * time.Hour}))); len(b) != 1 || b[0].begin < time.Hour.Seconds() || b[0].end > 2*time.Hour.Seconds() {
		t.Errorf("a day is in %+v", b)
	}
	if h := nativeOfCalls(t, counted([]time.Duration{0, time.Microsecond})); h.GetZeroCount() != 2 || h.GetZeroThreshold() != 1e-6 {
		t.Errorf("what takes a microsecond is not zero: %v", h)
	}
	if h := nativeOfCalls(t, consumer.HandlingTime{Histogram: make([]uint64, len(handlingBounds)+1)}); h.Schema == nil || h.ZeroThreshold == nil {
		t.Errorf("before the first call it is not native: %v", h)
	}
}
