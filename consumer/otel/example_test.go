package otel_test

import (
	"context"
	"fmt"
	"log"
	"slices"
	"time"

	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/otel"
)

// A trace goes from the publisher to the handler, and to what the handler publishes. A program has a provider that exports to
// somewhere, and usually a global one: then otel.Config{} is enough.
func Example() {
	server, err := brokertest.Start(brokertest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	for _, queue := range []string{"orders", "mails"} {
		if err := server.DeclareQueue(queue, nil); err != nil {
			log.Fatal(err)
		}
	}
	spans := tracetest.NewInMemoryExporter()
	telemetry, err := otel.New(otel.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)),
		Propagator:     propagation.TraceContext{},
	})
	if err != nil {
		log.Fatal(err)
	}

	var publisher *otel.Publisher
	c, err := consumer.New(consumer.Config{
		URLs: []string{server.URL()},
		Subscriptions: []consumer.Subscription{telemetry.Subscription(consumer.Subscription{
			Queue: "orders",
			Handler: func(ctx context.Context, d *consumer.Delivery) error {
				return publisher.Publish(ctx, &broker.Message{RoutingKey: "mails", Body: d.Body})
			},
		})},
	})
	if err != nil {
		log.Fatal(err)
	}
	publisher = telemetry.Publisher(c.Publisher())

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go func() {
		if err := publisher.Publish(ctx, &broker.Message{RoutingKey: "orders", Body: []byte("a book")}); err != nil {
			log.Print(err)
		}
		_ = server.Await(ctx, func() bool { q, _ := server.Queue("orders"); return q.Ready+q.Unacknowledged == 0 })
		cancel()
	}()
	if err := c.Run(ctx); err != nil {
		log.Fatal(err)
	}

	all := spans.GetSpans()
	slices.SortFunc(all, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	names := make(map[string]string) // by the span's id
	for _, s := range all {
		names[s.SpanContext.SpanID().String()] = s.Name
	}
	for _, s := range all {
		fmt.Printf("%s, within %q\n", s.Name, names[s.Parent.SpanID().String()])
	}
	// Output:
	// publish orders, within ""
	// process orders, within "publish orders"
	// publish mails, within "process orders"
	// ack orders, within "process orders"
}
