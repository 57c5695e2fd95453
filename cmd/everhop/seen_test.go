package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/cmd/everhop/internal/glass"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/consumer/otel"
	"github.com/everhop/everhop/fsm/journal"
)

// shownSums is what a window tells of a queue. What it does not tell is left zero.
type shownSums struct {
	Stats consumer.Stats
	Calls uint64 // of the handler
}

// After all outcomes, and a revival, the windows have the same numbers: Stats, /status, /metrics, the journal,
// OpenTelemetry.
func TestWindowsAgree(t *testing.T) {
	queues := []string{"orders", "mails"}
	server := brokertest.NewServer(t)
	reader := sdkmetric.NewManualReader()
	telemetry, err := otel.New(otel.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
	if err != nil {
		t.Fatal(err)
	}
	window, err := openWindow("127.0.0.1:0", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	log, err := journal.Open(dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	config := consumer.Config{Name: "shop", URLs: []string{server.URL()}, Journal: log}
	window.observe(&config)
	held, began := make(chan struct{}), make(chan struct{}, 2)
	for _, queue := range queues {
		if err := server.DeclareQueue(queue, nil); err != nil {
			t.Fatal(err)
		}
		config.Subscriptions = append(config.Subscriptions, telemetry.Subscription(consumer.Subscription{
			Queue: queue, Concurrency: 2, Handler: mixed(began, held), RequeuePause: 10 * time.Millisecond,
			Retry: consumer.Retry{Attempts: 2, Backoff: consumer.Backoff{Initial: time.Millisecond, Max: time.Millisecond}, Poison: consumer.Park},
		}))
	}
	c, err := consumer.New(config)
	if err != nil {
		t.Fatal(err)
	}
	closeWindow := window.show(c)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()

	for i, queue := range queues {
		bodies := strings.Repeat("good ", 3+i) + "reject bad panic later again permanent held"
		if err := server.Publish(queue, strings.Fields(bodies)...); err != nil {
			t.Fatal(err)
		}
	}
	for range queues {
		<-began
	}
	<-server.Inject(brokertest.Now(), brokertest.Reset()).Played
	rabbittest.Eventually(t, patience, "it has revived", func() bool {
		s := c.Status()
		return s.Ready() && s.Connections[0].Generation > 1
	})
	close(held) // what comes now is stale
	rabbittest.Eventually(t, patience, "all is done", func() bool {
		for _, queue := range queues {
			if q, _ := server.Queue(queue); q.Ready+q.Unacknowledged > 0 {
				return false
			}
		}
		return c.Status().Ready()
	})
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}

	source, err := glass.ParseSource(window.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) string {
		t.Helper()
		status, body, err := source.Get(t.Context(), path, patience)
		if err != nil || status != 200 {
			t.Fatalf("/%s: %d, %v", path, status, err)
		}
		return string(body)
	}
	look := source.Ask(t.Context(), patience)
	if look.Err != nil {
		t.Fatal(look.Err)
	}
	metrics, report := metricsOf(t, get("metrics")), reportOf(t, dir, log)
	var past struct {
		Outages []json.RawMessage `json:"outages"`
		Edges   []struct {
			Trigger string `json:"trigger"`
			Count   uint64 `json:"count"`
		} `json:"edges"`
	}
	if err := json.Unmarshal([]byte(get("history")), &past); err != nil {
		t.Fatal(err)
	}
	closeWindow()

	for i, queue := range queues {
		t.Run(queue, func(t *testing.T) {
			want := shownSums{Stats: c.Subscription(queue).Stats()}
			for s := range c.Status().Subscriptions() {
				if s.Queue == queue {
					want.Calls = s.Handling.Histogram[len(s.Handling.Histogram)-1]
				}
			}
			if s := want.Stats; s.Acknowledged < 5 || s.Rejected < 1 || s.Parked < 3 || s.Delayed < 1 || s.Kept < 1 || s.Failed < 5 || s.Stale < 1 {
				t.Errorf("not all has happened: %+v", s)
			}
			inJournal := shownSums{}
			for _, o := range report.Queues {
				if o.Queue == queue {
					inJournal = shownSums{o.Stats, o.Calls}
				}
			}
			calls, failed := callsOf(t, reader, queue)
			for window, got := range map[string]shownSums{
				"/status":       {Stats: look.Doc.Subscriptions[i].Stats, Calls: want.Calls},
				"/metrics":      metrics.of(queue),
				"the journal":   inJournal,
				"OpenTelemetry": {Stats: with(want.Stats, failed), Calls: calls},
			} {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("Status (-) and %s (+):\n%s", window, diff)
				}
			}
		})
	}
	outages := metrics[`everhop_consumer_outages_total{consumer="shop"}`]
	if outages < 1 || report.Outages != int(outages) || len(past.Outages) != int(outages) {
		t.Errorf("outages: %v in /metrics, %d in the journal, %d in /history", outages, report.Outages, len(past.Outages))
	}
	taken, counted := map[string]uint64{}, map[string]uint64{}
	for _, e := range past.Edges {
		taken[e.Trigger] += e.Count
	}
	for name, n := range metrics {
		if strings.HasPrefix(name, "everhop_consumer_transitions_total{") {
			_, trigger, _ := strings.Cut(name, `trigger="`)
			trigger, _, _ = strings.Cut(trigger, `"`)
			counted[trigger] += uint64(n)
		}
	}
	if !maps.Equal(taken, counted) || taken["Revived"] == 0 {
		t.Errorf("transitions: %v in /history, %v in /metrics", taken, counted)
	}
}

// mixed handles a message as its body says. What is held has begun before it waits.
func mixed(began chan<- struct{}, held <-chan struct{}) consumer.Handler {
	var again, first atomic.Bool
	return func(_ context.Context, d *consumer.Delivery) error {
		switch string(d.Body) {
		case "reject":
			return consumer.Reject
		case "bad":
			return errors.New("bad")
		case "panic":
			panic("bad")
		case "later":
			return consumer.RetryAfter(time.Hour)
		case "permanent":
			return consumer.Permanent(errors.New("bad"))
		case "again":
			if again.CompareAndSwap(false, true) {
				return consumer.Requeue
			}
		case "held":
			if first.CompareAndSwap(false, true) {
				began <- struct{}{}
			}
			<-held
		}
		return nil
	}
}

func with(s consumer.Stats, failed uint64) consumer.Stats {
	s.Failed = failed
	return s
}

func reportOf(t *testing.T, dir string, log *journal.Journal) history.Report {
	t.Helper()
	var s history.Summary
	if err := log.Sync(); err != nil {
		t.Fatal(err)
	}
	for e, err := range journal.Read(dir) {
		if err != nil {
			t.Fatal(err)
		}
		s.Apply(e)
	}
	return s.Report()
}

// exposed are the metrics of a scrape, by the name with its labels.
type exposed map[string]float64

func metricsOf(t *testing.T, text string) exposed {
	t.Helper()
	m := exposed{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		m[name+"}"] = n
	}
	return m
}

func (m exposed) of(queue string) shownSums {
	is := func(name string) uint64 {
		return uint64(m[fmt.Sprintf(`everhop_%s{consumer="shop",queue=%q}`, name, queue)])
	}
	became := func(outcome string) uint64 {
		return uint64(m[fmt.Sprintf(`everhop_deliveries_total{consumer="shop",outcome=%q,queue=%q}`, outcome, queue)])
	}
	return shownSums{
		Stats: consumer.Stats{
			Acknowledged: became("acknowledged"), Failed: is("handler_failures_total"), Kept: is("deliveries_kept_total"),
			Requeued: became("requeued"), Saved: became("saved"), Rejected: became("rejected"), Delayed: became("delayed"),
			Parked: became("parked"), Deduplicated: is("deliveries_deduplicated_total"),
			ReturnedUnstarted: became("returned_unstarted"), Stale: became("stale"),
		},
		Calls: is("handler_duration_seconds_count"),
	}
}

// callsOf are the calls of a queue's handler that OpenTelemetry was told of, and how many of them failed.
func callsOf(t *testing.T, reader sdkmetric.Reader, queue string) (calls, failed uint64) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != "messaging.process.duration" {
				continue
			}
			for _, p := range m.Data.(metricdata.Histogram[float64]).DataPoints {
				if v, _ := p.Attributes.Value("messaging.destination.name"); v.AsString() != queue {
					continue
				}
				calls += p.Count
				if p.Attributes.HasValue("error.type") {
					failed += p.Count
				}
			}
		}
	}
	return calls, failed
}
