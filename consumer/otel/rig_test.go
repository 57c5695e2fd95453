package otel_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/otel"
	"github.com/everhop/everhop/consumer/publish"
)

// rig is a broker, a consumer and a publisher in synthetic time, and what they have told OpenTelemetry.
type rig struct {
	*testing.T
	server    *brokertest.Server
	spans     *tracetest.InMemoryExporter
	metrics   *sdkmetric.ManualReader
	telemetry *otel.Telemetry
	ctx       context.Context

	c *consumer.Consumer
	p *otel.Publisher
}

var w3c = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})

// newRig is to be called in a bubble.
func newRig(t *testing.T, options ...sdktrace.TracerProviderOption) *rig {
	t.Helper()
	r := &rig{T: t, server: brokertest.NewInMemoryServer(t), spans: tracetest.NewInMemoryExporter(), metrics: sdkmetric.NewManualReader()}
	provider := sdktrace.NewTracerProvider(append(options, sdktrace.WithSyncer(r.spans))...)
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.metrics))
	var err error
	r.telemetry, err = otel.New(otel.Config{TracerProvider: provider, MeterProvider: meters, Propagator: w3c})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancel)
	r.ctx = ctx
	return r
}

// consume starts a consumer of the queue orders, and a publisher. The returned function stops both.
func (r *rig) consume(s consumer.Subscription) (stop func()) {
	r.Helper()
	if s.Queue == "" {
		s.Queue = "orders"
	}
	if err := r.server.DeclareQueue(s.Queue, nil); err != nil {
		r.Fatal(err)
	}
	var err error
	r.c, err = consumer.New(consumer.Config{
		Name: "shop", URLs: []string{r.server.URL()}, Dial: r.server.Dial, Subscriptions: []consumer.Subscription{r.telemetry.Subscription(s)},
	})
	if err != nil {
		r.Fatal(err)
	}
	p, err := publish.New(publish.Config{Name: "shop", URLs: []string{r.server.URL()}, Dial: r.server.Dial})
	if err != nil {
		r.Fatal(err)
	}
	r.p = r.telemetry.Publisher(p)
	ended := make(chan error, 2)
	go func() { ended <- r.c.Run(r.ctx) }()
	go func() { ended <- p.Run(r.ctx) }()
	return func() {
		r.Helper()
		_ = p.Stop(r.ctx)
		_ = r.c.Stop(r.ctx)
		for range 2 {
			if err := <-ended; err != nil {
				r.Error(err)
			}
		}
	}
}

func (r *rig) publish(ctx context.Context, m *broker.Message) {
	r.Helper()
	if err := r.p.Publish(ctx, m); err != nil {
		r.Fatal(err)
	}
}

// settled waits until nothing is left in the queue.
func (r *rig) settled() {
	r.Helper()
	err := r.server.Await(r.ctx, func() bool {
		q, _ := r.server.Queue("orders")
		return q.Ready+q.Unacknowledged == 0
	})
	if err != nil {
		r.Fatal(err)
	}
}

// tree draws the traces: spans below their parents, in the order in which they began.
func (r *rig) tree() string {
	var b strings.Builder
	all := r.spans.GetSpans()
	slices.SortStableFunc(all, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	known := make(map[string]bool)
	for _, s := range all {
		known[s.SpanContext.SpanID().String()] = true
	}
	var draw func(parent string, depth int)
	draw = func(parent string, depth int) {
		for _, s := range all {
			id := ""
			if p := s.Parent.SpanID(); p.IsValid() && known[p.String()] {
				id = p.String()
			}
			if id != parent {
				continue
			}
			fmt.Fprintf(&b, "%s%s (%s)", strings.Repeat("  ", depth), s.Name, s.SpanKind)
			for _, name := range []attribute.Key{"everhop.redelivered", "everhop.attempts", "everhop.outcome", "error.type"} {
				if v, ok := attributeOf(s, name); ok {
					fmt.Fprintf(&b, " %s=%s", strings.TrimPrefix(string(name), "everhop."), v.String())
				}
			}
			if s.Status.Code != codes.Unset {
				fmt.Fprintf(&b, " %s", s.Status.Code)
			}
			if n := len(s.Links); n > 0 {
				fmt.Fprintf(&b, " links=%d", n)
			}
			b.WriteString("\n")
			draw(s.SpanContext.SpanID().String(), depth+1)
		}
	}
	draw("", 0)
	return b.String()
}

// want compares the tree.
func (r *rig) want(tree string) {
	r.Helper()
	lines := strings.Split(strings.Trim(tree, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.ReplaceAll(strings.TrimPrefix(lines[i], "\t\t\t"), "\t", "  ")
	}
	if got, want := strings.TrimSpace(r.tree()), strings.TrimSpace(strings.Join(lines, "\n")); got != want {
		r.Errorf("the spans are\n%s\nand not\n%s", got, want)
	}
}

func (r *rig) span(name string) tracetest.SpanStub {
	r.Helper()
	for _, s := range r.spans.GetSpans() {
		if s.Name == name {
			return s
		}
	}
	r.Fatalf("there is no span %q:\n%s", name, r.tree())
	return tracetest.SpanStub{}
}

func attributeOf(s tracetest.SpanStub, key attribute.Key) (attribute.Value, bool) {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value, true
		}
	}
	return attribute.Value{}, false
}

// metric is the sum of a counter, or how many a histogram has, of the points with these attributes.
func (r *rig) metric(name string, with ...attribute.KeyValue) (n int64) {
	r.Helper()
	var all metricdata.ResourceMetrics
	if err := r.metrics.Collect(r.ctx, &all); err != nil {
		r.Fatal(err)
	}
	matches := func(set attribute.Set) bool {
		for _, a := range with {
			if v, ok := set.Value(a.Key); !ok || v != a.Value {
				return false
			}
		}
		return true
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					if matches(p.Attributes) {
						n += p.Value
					}
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					if matches(p.Attributes) {
						n += int64(p.Count)
					}
				}
			}
		}
	}
	return n
}

// traveller is a context with baggage.
func traveller(t testing.TB) context.Context {
	t.Helper()
	member, err := baggage.NewMember("tenant", "acme")
	if err != nil {
		t.Fatal(err)
	}
	bag, err := baggage.New(member)
	if err != nil {
		t.Fatal(err)
	}
	return baggage.ContextWithBaggage(context.Background(), bag)
}
