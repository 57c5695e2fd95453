package prom

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/everhop/everhop/consumer"
)

// BenchmarkScrape is what Prometheus waits for, with 1,000 subscriptions of which each has a queue of its own: all series,
// as text, without a registry. It fails above 50 ms, for the median.
func BenchmarkScrape(b *testing.B) {
	const subscriptions = 1000
	b.Run("made up", func(b *testing.B) { // all that there can be
		benchmarkScrape(b, collectorOf(b, busy(subscriptions), subscriptions))
	})
	b.Run("live", func(b *testing.B) {
		config := consumer.Config{URLs: []string{"amqp://broker.invalid"}}
		for i := range subscriptions {
			config.Subscriptions = append(config.Subscriptions, consumer.Subscription{
				Queue: fmt.Sprintf("orders-%d", i), Handler: func(context.Context, *consumer.Delivery) error { return nil },
			})
		}
		live, err := consumer.New(config)
		if err != nil {
			b.Fatal(err)
		}
		c := New(Config{Queues: subscriptions})
		if err := c.Add(live); err != nil {
			b.Fatal(err)
		}
		benchmarkScrape(b, c)
	})
}

func benchmarkScrape(b *testing.B, c *Collector) {
	const allowed = 50 * time.Millisecond
	handler := promhttp.HandlerFor(c, promhttp.HandlerOpts{})
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	var took []time.Duration
	answer := httptest.NewRecorder()
	for b.Loop() {
		answer.Body.Reset()
		start := time.Now()
		handler.ServeHTTP(answer, request)
		took = append(took, time.Since(start))
		if answer.Code != 200 {
			b.Fatal(answer.Code, answer.Body)
		}
	}
	slices.Sort(took)
	median := took[len(took)/2]
	b.ReportMetric(float64(took[0].Microseconds())/1e3, "best-ms")
	b.ReportMetric(float64(median.Microseconds())/1e3, "median-ms")
	b.ReportMetric(float64(answer.Body.Len())/1e6, "MB")
	if median > allowed {
		b.Errorf("a scrape of 1,000 subscriptions takes %v (the quickest %v), and may take %v", median, took[0], allowed)
	}
}
