package prom

import (
	"cmp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/everhop/everhop/broker"
)

// labels are a metric's, sorted by name. Those that stay the same are made once, and shared as far as they can be: a scrape
// of 1,000 queues is 20,000 metrics and more.
type labels []*dto.LabelPair

// names of labels are shared, too: whoever compares labels reads few places in memory.
var names sync.Map // of *string by string

func pairName(name string) *string {
	shared, ok := names.Load(name)
	if !ok {
		shared, _ = names.LoadOrStore(name, &name)
	}
	return shared.(*string)
}

// pair is one label, in one place.
func pair(name, value string) *dto.LabelPair {
	p := &struct {
		dto.LabelPair
		value string
	}{value: valid(value)}
	p.Name, p.Value = pairName(name), &p.value
	return &p.LabelPair
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
	put      func(prometheus.Metric)
	gauges   []gaugeMetric // not in use yet; many at a time are cheaper
	counters []counterMetric
}

const many = 256

func (s *sink) gauge(d *prometheus.Desc, value float64, l labels) {
	if len(s.gauges) == 0 {
		s.gauges = make([]gaugeMetric, many)
	}
	m := &s.gauges[0]
	s.gauges = s.gauges[1:]
	m.desc, m.labels, m.value = d, l, value
	s.put(m)
}

func (s *sink) counter(d *prometheus.Desc, value uint64, l labels) {
	if len(s.counters) == 0 {
		s.counters = make([]counterMetric, many)
	}
	m := &s.counters[0]
	s.counters = s.counters[1:]
	m.desc, m.labels, m.value = d, l, float64(value)
	s.put(m)
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
	desc   *prometheus.Desc
	labels labels
	value  float64
}

func (s *sample) Desc() *prometheus.Desc { return s.desc }

type gaugeMetric struct {
	sample
	gauge dto.Gauge
}

func (m *gaugeMetric) Write(out *dto.Metric) error {
	m.gauge.Value = &m.value
	out.Label, out.Gauge = m.labels, &m.gauge
	return nil
}

type counterMetric struct {
	sample
	counter dto.Counter
}

func (m *counterMetric) Write(out *dto.Metric) error {
	m.counter.Value = &m.value
	out.Label, out.Counter = m.labels, &m.counter
	return nil
}
