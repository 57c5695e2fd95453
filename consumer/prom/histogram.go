package prom

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/everhop/everhop/consumer"
)

// histogram is how many durations were not longer than each bound, and how many there are.
type histogram struct {
	bounds []float64 // seconds
	counts []uint64
	count  uint64
	sum    time.Duration
	fine   []uint64 // by consumer.FineBuckets; nil: not known
}

var handlingBounds = inSeconds(consumer.HandlingBuckets())

func inSeconds(durations []time.Duration) []float64 {
	bounds := make([]float64, len(durations))
	for i, d := range durations {
		bounds[i] = d.Seconds()
	}
	return bounds
}

// add adds what a subscription has.
func (h *histogram) add(t consumer.HandlingTime) {
	if h.counts == nil {
		h.bounds, h.counts, h.fine = handlingBounds, make([]uint64, len(handlingBounds)), []uint64{}
	}
	for i, n := range t.Histogram {
		if i < len(h.counts) {
			h.counts[i] += n
		} else {
			h.count += n
		}
	}
	if missing := len(t.Fine) - len(h.fine); missing > 0 {
		h.fine = append(h.fine, make([]uint64, missing)...)
	}
	for i, n := range t.Fine {
		h.fine[i] += n
	}
	h.sum += t.Sum
}

// histogramMetric is a classic histogram, and with fine counts a native one, too: a scrape in protobuf has both.
type histogramMetric struct {
	desc   *prometheus.Desc
	labels labels
	histogram
}

func (m *histogramMetric) Desc() *prometheus.Desc { return m.desc }

func (m *histogramMetric) Write(out *dto.Metric) error {
	sum := m.sum.Seconds()
	buckets, pointers := make([]dto.Bucket, len(m.bounds)), make([]*dto.Bucket, len(m.bounds))
	for i := range m.bounds {
		buckets[i].UpperBound, buckets[i].CumulativeCount = &m.bounds[i], &m.counts[i]
		pointers[i] = &buckets[i]
	}
	out.Label, out.Histogram = m.labels, &dto.Histogram{SampleCount: &m.count, SampleSum: &sum, Bucket: pointers}
	if m.fine != nil {
		native(m.fine, out.Histogram)
	}
	return nil
}
