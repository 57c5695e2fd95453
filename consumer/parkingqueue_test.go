package consumer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// A message that fails again when it is consumed from a parking queue is parked in that one, and what it was when it was
// parked first is still to be seen; round after round.
func TestParkedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		if err := errors.Join(server.DeclareQueue("orders", nil), server.Publish("orders", "m")); err != nil {
			t.Fatal(err)
		}
		fail := func(queue string) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			c, err := consumer.New(consumer.Config{
				URLs: []string{server.URL()}, Dial: server.Dial, Name: "test",
				Subscriptions: []consumer.Subscription{{
					Queue: queue, Prefetch: 1, Retry: consumer.Retry{Attempts: 1},
					Handler: func(context.Context, *consumer.Delivery) error {
						cancel()
						return errors.New("failed in " + queue)
					},
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Run(ctx); err != nil {
				t.Fatal(err)
			}
			cancel()
		}
		for _, queue := range []string{"orders", "orders.parked", "orders.parked"} {
			fail(queue)
			messages := server.Messages("orders.parked")
			if len(messages) != 1 {
				t.Fatalf("after %s: %d messages are parked", queue, len(messages))
			}
			h := messages[0].Headers
			if h[consumer.HeaderQueue] != queue || h[consumer.HeaderRoutingKey] != "orders" || h[consumer.HeaderError] != "failed in "+queue {
				t.Errorf("after %s: %v", queue, h)
			}
			origin, again := h[consumer.HeaderOriginQueue]
			if again != (queue != "orders") || again && origin != "orders" {
				t.Errorf("after %s: origin %v", queue, origin)
			}
		}
		if err := errors.Join(server.DeclareQueue("w.parked", nil), server.PublishMessage("w.parked", brokertest.Message{
			Headers: map[string]any{consumer.HeaderQueue: "second", consumer.HeaderOriginQueue: "first"},
		})); err != nil {
			t.Fatal(err)
		}
		fail("w.parked")
		if h := server.Messages("w.parked")[0].Headers; h[consumer.HeaderOriginQueue] != "first" {
			t.Errorf("written again: %v", h)
		}
		if _, there := server.Queue("orders.parked.parked"); there {
			t.Error("there is an orders.parked.parked")
		}
	})
}
