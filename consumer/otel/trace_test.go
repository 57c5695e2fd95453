package otel_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

func TestTraceOfAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var tenant string
		stop := r.consume(consumer.Subscription{Handler: func(ctx context.Context, d *consumer.Delivery) error {
			tenant = baggage.FromContext(ctx).Member("tenant").Value()
			return r.p.Publish(ctx, &broker.Message{RoutingKey: "mails", Body: d.Body})
		}})
		if err := r.server.DeclareQueue("mails", nil); err != nil {
			t.Fatal(err)
		}
		m := &broker.Message{RoutingKey: "orders", MessageID: "id-1", CorrelationID: "talk", Body: []byte("book"), Headers: map[string]any{"mine": "1"}}
		before := maps.Clone(m.Headers)
		r.publish(traveller(t), m)
		r.settled()
		stop()
		r.want(`
			publish orders (producer)
			  process orders (consumer)
			    publish mails (producer)
			    ack orders (client)`)
		if !maps.Equal(before, m.Headers) {
			t.Errorf("the caller's headers are changed: %v", m.Headers)
		}
		if tenant != "acme" {
			t.Errorf("the baggage's tenant is %q", tenant)
		}
		process, publish := r.span("process orders"), r.span("publish orders")
		if !process.Parent.IsRemote() || process.SpanContext.TraceID() != publish.SpanContext.TraceID() {
			t.Errorf("the parent is %v", process.Parent)
		}
		for _, want := range []attribute.KeyValue{
			semconv.MessagingSystemRabbitMQ, semconv.MessagingOperationTypeProcess, semconv.MessagingDestinationName("orders"),
			semconv.MessagingRabbitMQDestinationRoutingKey("orders"), semconv.MessagingRabbitMQMessageDeliveryTag(1),
			semconv.MessagingMessageID("id-1"), semconv.MessagingMessageConversationID("talk"), semconv.MessagingMessageBodySize(4),
		} {
			if got, ok := attributeOf(process, want.Key); !ok || got != want.Value {
				t.Errorf("%s is %v, not %v", want.Key, got.String(), want.Value.String())
			}
		}
		if kind, _ := attributeOf(publish, semconv.MessagingOperationTypeKey); kind.AsString() != "send" {
			t.Errorf("the operation is %q", kind.AsString())
		}
	})
}

// The connection is lost with the acknowledgement: the message is handled twice, and of the first time it is told that its
// outcome could not be sent.
func TestTraceThroughARevival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		calls := 0
		stop := r.consume(consumer.Subscription{Handler: func(context.Context, *consumer.Delivery) error {
			if calls++; calls == 1 {
				time.Sleep(time.Second) // until it is confirmed, or it would be published again
				r.server.Inject(brokertest.Now(), brokertest.Reset())
				time.Sleep(time.Second)
			}
			return nil
		}})
		if err := r.p.Ready(r.ctx); err != nil {
			t.Fatal(err)
		}
		r.publish(context.Background(), &broker.Message{RoutingKey: "orders"})
		r.settled()
		time.Sleep(time.Second) // until what is stale is told of: after Run nothing is
		stop()
		r.want(`
			publish orders (producer)
			  process orders (consumer)
			    settle orders (client) error.type=stale Error
			  process orders (consumer) redelivered=true
			    ack orders (client)`)
		if stale := r.c.Stats().Stale; stale != 1 {
			t.Errorf("%d outcomes were stale", stale)
		}
	})
}

func TestTraceOfFailures(t *testing.T) {
	mends := func(errs ...error) consumer.Handler {
		return func(context.Context, *consumer.Delivery) error {
			err := errs[0]
			if len(errs) > 1 {
				errs = errs[1:]
			}
			if err != nil && err.Error() == "panic" {
				panic("at the disco")
			}
			return err
		}
	}
	for name, test := range map[string]struct {
		handler consumer.Handler
		tree    string
	}{
		"again in place": {mends(errors.New("busy"), nil), `
			publish orders (producer)
			  process orders (consumer) error.type=*errors.errorString Error
			  process orders (consumer) attempts=1
			    ack orders (client)`},
		"panic": {mends(errors.New("panic"), nil), `
			publish orders (producer)
			  process orders (consumer) error.type=panic Error
			  process orders (consumer) attempts=1
			    ack orders (client)`},
		"put back": {mends(consumer.Requeue, nil), `
			publish orders (producer)
			  process orders (consumer) outcome=requeue
			  process orders (consumer) redelivered=true
			    ack orders (client)`},
		"rejected": {mends(consumer.Reject), `
			publish orders (producer)
			  process orders (consumer) outcome=reject
			    reject orders (client)`},
		"parked": {mends(consumer.Permanent(context.DeadlineExceeded)), `
			publish orders (producer)
			  process orders (consumer) error.type=context.deadlineExceededError Error
			    ack orders (client)`},
		"delayed": {mends(consumer.RetryAfter(time.Minute), nil), `
			publish orders (producer)
			  process orders (consumer) outcome=retry_after
			    ack orders (client)
			  process orders (consumer) attempts=1
			    ack orders (client)`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				stop := r.consume(consumer.Subscription{Handler: test.handler})
				r.publish(context.Background(), &broker.Message{RoutingKey: "orders"})
				time.Sleep(2 * time.Minute)
				stop()
				r.want(test.tree)
			})
		})
	}
}

func TestTraceOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		handled, commits := 0, 0
		stop := r.consume(consumer.Subscription{
			Handler: func(context.Context, *consumer.Delivery) error { handled++; return nil },
			Commit: func(ctx context.Context) error {
				commits++
				switch {
				case !trace.SpanContextFromContext(ctx).IsValid():
					t.Error("Commit is called without a span")
				case handled < 3:
					return consumer.CommitLater
				case commits < 3:
					return errors.New("the disk is full")
				}
				return nil
			},
		})
		r.publish(context.Background(), &broker.Message{RoutingKey: "orders"})
		time.Sleep(500 * time.Millisecond)
		r.publish(context.Background(), &broker.Message{RoutingKey: "orders"})
		r.publish(context.Background(), &broker.Message{RoutingKey: "orders"})
		r.settled()
		stop()
		r.want(`
			publish orders (producer)
			  process orders (consumer)
			    ack orders (client)
			commit orders (consumer) outcome=commit_later links=1
			publish orders (producer)
			  process orders (consumer)
			    ack orders (client)
			publish orders (producer)
			  process orders (consumer)
			    ack orders (client)
			commit orders (consumer) error.type=*errors.errorString Error links=3
			commit orders (consumer) links=3`)
	})
}

// What is passed on keeps its trace.
func TestForeignContextIsKept(t *testing.T) {
	const foreign = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var came any
		stop := r.consume(consumer.Subscription{Handler: func(_ context.Context, d *consumer.Delivery) error {
			came = d.Headers["traceparent"]
			return nil
		}})
		r.publish(context.Background(), &broker.Message{RoutingKey: "orders", Headers: map[string]any{"traceparent": []byte(foreign)}})
		r.settled()
		stop()
		process := r.span("process orders")
		if string(came.([]byte)) != foreign || process.Parent.TraceID().String() != foreign[3:35] || len(r.span("publish orders").Links) != 1 {
			t.Errorf("it came with %q, and its parent is %v", came, process.Parent)
		}
	})
}

func TestDestinations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.consume(consumer.Subscription{
			Handler:   func(context.Context, *consumer.Delivery) error { return nil },
			Exchanges: []broker.Exchange{{Name: "shop", Kind: "topic"}},
			Bindings:  []broker.Binding{{Exchange: "shop", RoutingKey: "order.#"}},
			Declare:   &broker.QueueOptions{},
		})
		time.Sleep(time.Second)
		r.publish(context.Background(), &broker.Message{Exchange: "shop", RoutingKey: "order.4711"})
		r.settled()
		stop()
		for name, want := range map[string][2]string{
			"publish shop": {"shop:order.4711", "shop"}, "process orders": {"shop:order.4711:orders", "orders"},
		} {
			s := r.span(name)
			full, _ := attributeOf(s, semconv.MessagingDestinationNameKey)
			template, _ := attributeOf(s, semconv.MessagingDestinationTemplateKey)
			if full.AsString() != want[0] || template.AsString() != want[1] {
				t.Errorf("%s: the destination is %q, and its template %q", name, full.AsString(), template.AsString())
			}
		}
	})
}
