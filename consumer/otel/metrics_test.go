package otel_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.consume(consumer.Subscription{
			Retry: consumer.Retry{Attempts: 3},
			Handler: func(_ context.Context, d *consumer.Delivery) error {
				if string(d.Body) == "bad" {
					return errors.New("bad")
				}
				return nil
			},
		})
		for _, body := range []string{"good", "bad", "good"} {
			r.publish(context.Background(), &broker.Message{RoutingKey: "orders", Body: []byte(body)})
		}
		c, err := r.p.Send(r.ctx, &broker.Message{RoutingKey: "nowhere"})
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(c.Wait(r.ctx), broker.ErrUnroutable) {
			t.Error(c.Err())
		}
		r.settled()
		stop()
		orders, system := semconv.MessagingDestinationName("orders"), semconv.MessagingSystemRabbitMQ
		failed := semconv.ErrorTypeKey.String("*errors.errorString")
		unroutable := semconv.ErrorTypeKey.String("unroutable")
		for what, got := range map[string][2]int64{
			"consumed":    {r.metric("messaging.client.consumed.messages", orders, system), 5},
			"processed":   {r.metric("messaging.process.duration", orders), 5},
			"failed":      {r.metric("messaging.process.duration", failed), 3},
			"sent":        {r.metric("messaging.client.sent.messages"), 4},
			"unroutable":  {r.metric("messaging.client.sent.messages", unroutable), 1},
			"operation":   {r.metric("messaging.client.operation.duration", semconv.MessagingOperationName("publish")), 4},
			"not routed":  {r.metric("messaging.client.operation.duration", unroutable), 1},
			"no metadata": {r.metric("messaging.process.duration", semconv.MessagingMessageID("x")), 0},
		} {
			if got[0] != got[1] {
				t.Errorf("%s: %d, not %d", what, got[0], got[1])
			}
		}
		for s := range r.c.Status().Subscriptions() { // which count for themselves
			if calls := s.Handling.Histogram[len(s.Handling.Histogram)-1]; calls != 5 || s.Stats.Failed != 3 {
				t.Errorf("Status has %d calls, %d of them failed", calls, s.Stats.Failed)
			}
		}
	})
}

// Who samples nothing has neither spans nor contexts that say so, and keeps nothing of what is not settled.
func TestNotSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, sdktrace.WithSampler(sdktrace.NeverSample()))
		var parent any
		stop := r.consume(consumer.Subscription{
			Handler: func(_ context.Context, d *consumer.Delivery) error { parent = d.Headers["traceparent"]; return nil },
			Commit:  func(context.Context) error { return nil },
		})
		r.publish(context.Background(), &broker.Message{RoutingKey: "orders"})
		time.Sleep(time.Second)
		stop()
		if r.tree() != "" {
			t.Errorf("spans:\n%s", r.tree())
		}
		if s, _ := parent.(string); len(s) != 55 || s[53:] != "00" {
			t.Errorf("traceparent is %v", parent)
		}
		if n := r.metric("messaging.client.consumed.messages"); n != 1 {
			t.Errorf("%d consumed", n)
		}
	})
}
