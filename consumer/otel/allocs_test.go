//go:build !race

package otel_test

import (
	"context"
	"testing"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/otel"
)

var delivery = consumer.Delivery{
	Body: make([]byte, 256), Queue: "orders", RoutingKey: "orders", MessageID: "id", DeliveryTag: 7, Generation: 1, ReceivedAt: time.Now(),
	Headers: map[string]any{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
}

func noop(t testing.TB) *otel.Telemetry {
	t.Helper()
	telemetry, err := otel.New(otel.Config{TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(), Propagator: w3c})
	if err != nil {
		t.Fatal(err)
	}
	return telemetry
}

// Where nobody looks, a message costs a few allocations: its context is passed on all the same.
func TestNoopCostsLittle(t *testing.T) {
	s := noop(t).Subscription(consumer.Subscription{Queue: "orders", Handler: func(context.Context, *consumer.Delivery) error { return nil }})
	ctx, d := context.Background(), delivery
	n := testing.AllocsPerRun(1000, func() {
		if err := s.Handler(ctx, &d); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%v allocations for a message", n)
	if n > 8 {
		t.Errorf("%v allocations for a message, and 8 are allowed", n)
	}
}

func BenchmarkHandler(b *testing.B) {
	bare := consumer.Subscription{Queue: "orders", Handler: func(context.Context, *consumer.Delivery) error { return nil }}
	for name, s := range map[string]consumer.Subscription{"bare": bare, "noop": noop(b).Subscription(bare)} {
		b.Run(name, func(b *testing.B) {
			ctx, d := context.Background(), delivery
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Handler(ctx, &d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
