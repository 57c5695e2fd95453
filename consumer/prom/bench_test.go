package prom

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// BenchmarkScrape is what Prometheus waits for, with 1,000 subscriptions of which each has a name of its own: all series,
// as text. It fails above 50 ms.
func BenchmarkScrape(b *testing.B) {
	const allowed = 50 * time.Millisecond
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectorOf(b, busy(1000), 1000))
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	request := httptest.NewRequest("GET", "/metrics", nil)
	best, size := time.Hour, 0
	for b.Loop() {
		answer := httptest.NewRecorder()
		start := time.Now()
		handler.ServeHTTP(answer, request)
		best = min(best, time.Since(start))
		if answer.Code != 200 {
			b.Fatal(answer.Code, answer.Body)
		}
		size = answer.Body.Len()
	}
	b.ReportMetric(float64(best.Microseconds())/1e3, "best-ms")
	b.ReportMetric(float64(size)/1e6, "MB")
	if took := b.Elapsed() / time.Duration(b.N); took > allowed {
		b.Errorf("a scrape of 1,000 subscriptions takes %v, and may take %v", took, allowed)
	}
}
