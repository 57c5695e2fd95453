// Package contest compares contestants of a benchmark that take turns: what a round does to one it does to the other, so
// that the ratios within the rounds say more than the figures themselves.
package contest

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Ratio is how many times as much one contestant has as another, and by how much that may be off.
type Ratio struct{ Median, Doubt float64 }

// RatioOf takes the ratio that each round has.
func RatioOf(ratios []float64) Ratio {
	var sum, squares float64
	for _, r := range ratios {
		sum += r
	}
	n := float64(len(ratios))
	for _, r := range ratios {
		squares += (r - sum/n) * (r - sum/n)
	}
	// A median is off by 1.25 times as much as a mean would be.
	return Ratio{Median(ratios), 1.25 * math.Sqrt(squares/max(n-1, 1)/n)}
}

func (r Ratio) String() string {
	if r.Doubt == 0 {
		return fmt.Sprintf("%.2f", r.Median)
	}
	return fmt.Sprintf("%.2f ± %.2f", r.Median, r.Doubt)
}

// Median leaves the values as they are.
func Median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half]
	}
	return (values[half-1] + values[half]) / 2
}

// Percentile is what p hundredths of the times are below. It leaves them as they are.
func Percentile(times []time.Duration, p int) time.Duration {
	times = slices.Sorted(slices.Values(times))
	return times[len(times)*p/100]
}
