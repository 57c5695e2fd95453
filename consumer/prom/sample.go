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

// labels are a metric's, sorted by name. Those that stay the same are made once, and shared as far as they can be: a scrape
// of 1,000 queues is 20,000 metrics and more.
type labels []*dto.LabelPair

// pair is one label.
func pair(name, value string) *dto.LabelPair {
	value = valid(value)
	return &dto.LabelPair{Name: &name, Value: &value}
}

// and adds some.
func (l labels) and(more ...*dto.LabelPair) labels {
	all := append(slices.Clone(l), more...)
	slices.SortFunc(all, func(a, b *dto.LabelPair) int { return cmp.Compare(*a.Name, *b.Name) })
	return all
}

// with adds one.
func (l labels) with(name, value string) labels { return l.and(pair(name, value)) }

// valid makes UTF-8 of a name: with a label that is none, nothing at all would be shown.
func valid(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }

// sink takes what a scrape shows.
type sink struct {
	to   chan<- prometheus.Metric
	free []sample // many at a time are cheaper
}

func (s *sink) show(d *prometheus.Desc, value float64, isCounter bool, l labels) {
	const many = 256
	if len(s.free) == 0 {
		s.free = make([]sample, many)
	}
	m := &s.free[0]
	s.free = s.free[1:]
	m.desc, m.labels, m.value, m.isCounter = d, l, value, isCounter
	s.to <- m
}

func (s *sink) gauge(d *prometheus.Desc, value float64, l labels) { s.show(d, value, false, l) }

func (s *sink) counter(d *prometheus.Desc, value uint64, l labels) {
	s.show(d, float64(value), true, l)
}

// flag is 1 or 0.
func (s *sink) flag(d *prometheus.Desc, is bool, l labels) {
	value := 0.0
	if is {
		value = 1
	}
	s.gauge(d, value, l)
}

// moment is when something was last so; what never was has no such metric.
func (s *sink) moment(d *prometheus.Desc, at time.Time, l labels) {
	if !at.IsZero() {
		s.gauge(d, float64(at.UnixNano())/1e9, l)
	}
}

// age is for how long something has been so; 0 if it is not.
func (s *sink) age(d *prometheus.Desc, since, now time.Time, l labels) {
	age := 0.0
	if !since.IsZero() {
		age = max(0, now.Sub(since).Seconds())
	}
	s.gauge(d, age, l)
}

func (s *sink) buildInfo() {
	s.gauge(buildInfo, 1, labels{pair("go_version", runtime.Version()), pair("version", broker.Version())})
}

// sample is a metric with a number.
type sample struct {
	desc      *prometheus.Desc
	labels    labels
	value     float64
	isCounter bool

	gauge   dto.Gauge
	counter dto.Counter
}

func (s *sample) Desc() *prometheus.Desc { return s.desc }

func (s *sample) Write(out *dto.Metric) error {
	out.Label = s.labels
	if s.isCounter {
		s.counter.Value, out.Counter = &s.value, &s.counter
	} else {
		s.gauge.Value, out.Gauge = &s.value, &s.gauge
	}
	return nil
}
