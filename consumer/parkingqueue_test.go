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

// failing consumes one message from a queue, for which the handler returns an error, until it is parked.
func failing(t *testing.T, server *brokertest.Server, queue, parkingQueue string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	c, err := consumer.New(consumer.Config{
		URLs: []string{server.URL()}, Dial: server.Dial, Name: "test",
		Subscriptions: []consumer.Subscription{{
			Queue: queue, Prefetch: 1, Retry: consumer.Retry{Attempts: 1, ParkingQueue: parkingQueue},
			Handler: func(context.Context, *consumer.Delivery) error {
				return errors.New("failed in " + queue)
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for ctx.Err() == nil && c.Stats().Parked == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if err := c.Run(ctx); err != nil || c.Stats().Parked == 0 {
		t.Fatalf("consuming from %s: %v, %+v", queue, err, c.Stats())
	}
}

// A message that fails again when it is consumed from the queue in which it was parked, whatever that is called, is parked in
// that one again, and what it was when it was parked first is still to be seen; round after round.
func TestParkedAgain(t *testing.T) {
	for _, bin := range []string{"orders.parked", "bin"} {
		t.Run(bin, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				if err := errors.Join(server.DeclareQueue("orders", nil), server.Publish("orders", "m")); err != nil {
					t.Fatal(err)
				}
				for round, queue := range []string{"orders", bin, bin, bin} {
					said := ""
					if round == 0 {
						said = bin
					}
					failing(t, server, queue, said)
					if q, _ := server.Queue(bin); q.Ready != 1 || len(server.Queues()) != 2 {
						t.Fatalf("after %s: %+v", queue, server.Queues())
					}
					h := server.Messages(bin)[0].Headers
					if h[consumer.HeaderQueue] != queue || h[consumer.HeaderRoutingKey] != "orders" || h[consumer.HeaderError] != "failed in "+queue ||
						h[consumer.HeaderParkingQueue] != bin {
						t.Errorf("after %s: %v", queue, h)
					}
					origin, again := h[consumer.HeaderOriginQueue]
					if again != (round > 0) || again && origin != "orders" {
						t.Errorf("after %s: origin %v", queue, origin)
					}
				}
			})
		})
	}
}

// What comes from a parking queue, and what is known about it.
func TestParkedElsewhere(t *testing.T) {
	for _, tt := range []struct {
		name    string
		headers map[string]any
		queue   string
		said    string // Retry.ParkingQueue
		want    string // where it is parked then
		origin  any
	}{
		{"the origin is written once", map[string]any{consumer.HeaderQueue: "second", consumer.HeaderOriginQueue: "first"}, "w.parked", "", "w.parked", "first"},
		{"another one was asked for", map[string]any{consumer.HeaderQueue: "orders", consumer.HeaderParkingQueue: "bin"}, "bin", "hopeless", "hopeless", "orders"},
		{"the default was asked for", map[string]any{consumer.HeaderQueue: "orders", consumer.HeaderParkingQueue: "bin"}, "bin", "bin.parked", "bin.parked", "orders"},
		{"never parked", nil, "bin", "", "bin.parked", nil},
		{"parked elsewhere, and moved", map[string]any{consumer.HeaderQueue: "orders", consumer.HeaderParkingQueue: "bin"}, "work", "", "work.parked", nil},
		{"parked twice, and moved", map[string]any{
			consumer.HeaderQueue: "bin", consumer.HeaderOriginQueue: "orders", consumer.HeaderParkingQueue: "bin",
		}, "work", "", "work.parked", nil},
		{"nonsense", map[string]any{consumer.HeaderParkingQueue: []any{"bin"}}, "bin", "", "bin.parked", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				if err := errors.Join(server.DeclareQueue(tt.queue, nil), server.PublishMessage(tt.queue, brokertest.Message{Headers: tt.headers})); err != nil {
					t.Fatal(err)
				}
				failing(t, server, tt.queue, tt.said)
				parked := server.Messages(tt.want)
				if len(parked) != 1 {
					t.Fatalf("it is not in %s: %+v", tt.want, server.Queues())
				}
				h := parked[0].Headers
				if h[consumer.HeaderOriginQueue] != tt.origin || h[consumer.HeaderQueue] != tt.queue || h[consumer.HeaderParkingQueue] != tt.want {
					t.Errorf("%v", h)
				}
			})
		})
	}
}

// What is parked in the queue from which it came, and comes again, is not handled as fast as that can be, and is there once.
func TestParkedWhereItCameFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		if err := errors.Join(server.DeclareQueue("orders.parked", nil), server.Publish("orders.parked", "m"), server.Publish("orders.parked", "fine")); err != nil {
			t.Fatal(err)
		}
		const hour, slowest = time.Hour, 10 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), hour)
		defer cancel()
		calls, others, seen := 0, 0, 0
		c, err := consumer.New(consumer.Config{
			URLs: []string{server.URL()}, Dial: server.Dial, Name: "test",
			Subscriptions: []consumer.Subscription{{
				Queue: "orders.parked", Prefetch: 1, Retry: consumer.Retry{Attempts: 2, Backoff: consumer.Backoff{Initial: time.Second, Max: slowest}},
				Handler: func(_ context.Context, d *consumer.Delivery) error {
					if string(d.Body) == "fine" {
						others++
						return nil
					}
					calls, seen = calls+1, consumer.Attempts(d)
					return errors.New("not this one")
				},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if least, most := int(hour/slowest), int(hour/(slowest/2))+10; calls < least || calls > most || seen < least/2 || others != 1 {
			t.Errorf("%d calls, want %d to %d, and so many attempts: %d; %d others were handled", calls, least, most, seen, others)
		}
		if q, _ := server.Queue("orders.parked"); q.Ready != 1 {
			t.Errorf("%+v", q)
		}
	})
}
