package prom

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Gather implements [prometheus.Gatherer]. It returns what a registry makes of Collect, without its checks, which take about
// half of the time of a scrape: promhttp.HandlerFor(collector, ...) is for very many queues.
func (c *Collector) Gather() ([]*dto.MetricFamily, error) {
	g := gathering{families: make(map[*prometheus.Desc]*dto.MetricFamily)}
	c.collect(&sink{put: g.put})
	families := make([]*dto.MetricFamily, 0, len(g.families))
	for _, f := range g.families {
		families = append(families, f)
	}
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return cmp.Compare(*a.Name, *b.Name) })
	return families, nil
}

// gathering puts metrics into their families.
type gathering struct {
	families map[*prometheus.Desc]*dto.MetricFamily
	last     *prometheus.Desc // of most metrics it is that of the one before
	family   *dto.MetricFamily
	free     []dto.Metric
}

func (g *gathering) put(m prometheus.Metric) {
	if len(g.free) == 0 {
		g.free = make([]dto.Metric, many)
	}
	out := &g.free[0]
	g.free = g.free[1:]
	_ = m.Write(out) // ours never fail
	if d := m.Desc(); d != g.last {
		if g.families[d] == nil {
			g.families[d] = familyOf(d, out)
		}
		g.last, g.family = d, g.families[d]
	}
	g.family.Metric = append(g.family.Metric, out)
}

func familyOf(d *prometheus.Desc, first *dto.Metric) *dto.MetricFamily {
	kind := dto.MetricType_GAUGE
	switch {
	case first.Counter != nil:
		kind = dto.MetricType_COUNTER
	case first.Histogram != nil:
		kind = dto.MetricType_HISTOGRAM
	}
	i := slices.Index(all, d)
	return &dto.MetricFamily{Name: &said[i].name, Help: &said[i].help, Type: &kind}
}
