package prom

import (
	"cmp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/everhop/everhop/broker"
)

// labels are a metric's, sorted by name. Those that stay the same are made once: a scrape of 1,000 queues is 10,000
// metrics and more.
type labels []*dto.LabelPair

// with adds pairs of a name and a value.
func (l labels) with(pairs ...string) labels {
	all := slices.Clone(l)
	for i := 0; i < len(pairs); i += 2 {
		pairs[i+1] = valid(pairs[i+1])
		all = append(all, &dto.LabelPair{Name: &pairs[i], Value: &pairs[i+1]})
	}
	slices.SortFunc(all, func(a, b *dto.LabelPair) int { return cmp.Compare(*a.Name, *b.Name) })
	return all
}

// valid makes UTF-8 of a name: with a label that is none, nothing at all would be shown.
func valid(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }

// sink takes what a scrape shows.
type sink struct{ to chan<- prometheus.Metric }

func (s sink) gauge(d *prometheus.Desc, value float64, l labels) {
	s.to <- &sample{desc: d, labels: l, value: value}
}

func (s sink) counter(d *prometheus.Desc, value uint64, l labels) {
	s.to <- &sample{desc: d, labels: l, value: float64(value), isCounter: true}
}

// flag is 1 or 0.
func (s sink) flag(d *prometheus.Desc, is bool, l labels) {
	value := 0.0
	if is {
		value = 1
	}
	s.gauge(d, value, l)
}

// moment is when something was last so; what never was has no such metric.
func (s sink) moment(d *prometheus.Desc, at time.Time, l labels) {
	if !at.IsZero() {
		s.gauge(d, float64(at.UnixNano())/1e9, l)
	}
}

// age is for how long something has been so; 0 if it is not.
func (s sink) age(d *prometheus.Desc, since, now time.Time, l labels) {
	age := 0.0
	if !since.IsZero() {
		age = max(0, now.Sub(since).Seconds())
	}
	s.gauge(d, age, l)
}

func (s sink) buildInfo() {
	s.gauge(buildInfo, 1, labels{}.with("version", broker.Version(), "go_version", runtime.Version()))
}

// sample is a metric with a number.
type sample struct {
	desc      *prometheus.Desc
	labels    labels
	value     float64
	isCounter bool
}

func (s *sample) Desc() *prometheus.Desc { return s.desc }

func (s *sample) Write(out *dto.Metric) error {
	out.Label = s.labels
	if s.isCounter {
		out.Counter = &dto.Counter{Value: &s.value}
	} else {
		out.Gauge = &dto.Gauge{Value: &s.value}
	}
	return nil
}
