package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
)

// A parking queue that confirms nothing for an hour gets one copy of each message, and keeps nobody from handling: neither
// the queue whose messages it is to get, nor another one, nor what is parked elsewhere.
func TestParkingQueueWithholdsConfirms(t *testing.T) {
	bad := 300
	if consumer.RaceDetector {
		bad = 60
	}
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		for _, queue := range []string{"stuck", "q", "parked", "elsewhere"} {
			if err := server.DeclareQueue(queue, nil); err != nil {
				t.Fatal(err)
			}
		}
		var handled atomic.Int64
		handler := func(_ context.Context, d *consumer.Delivery) error {
			if string(d.Body[:3]) == "bad" {
				return consumer.Permanent(errors.New("no such customer"))
			}
			handled.Add(1)
			return nil
		}
		c, err := consumer.New(consumer.Config{
			URLs: []string{server.URL()}, Dial: server.Dial,
			Subscriptions: []consumer.Subscription{
				{Queue: "stuck", Handler: handler, Retry: consumer.Retry{Poison: consumer.Park, ParkingQueue: "parked"}},
				{Queue: "q", Handler: handler, Retry: consumer.Retry{Poison: consumer.Park, ParkingQueue: "elsewhere"}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Run(context.Background()) }()
		defer func() {
			if err := errors.Join(c.Stop(context.Background()), <-ended); err != nil {
				t.Error(err)
			}
		}()
		server.WithholdConfirms("parked")
		for i := range bad {
			if err := server.Publish("stuck", fmt.Sprint("bad", i)); err != nil {
				t.Fatal(err)
			}
		}
		for minute := range 60 {
			for _, queue := range []string{"stuck", "q"} {
				if err := errors.Join(server.Publish(queue, "good"), server.Publish("q", fmt.Sprint("bad", minute))); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(30 * time.Second)
			if want := int64(2 * (minute + 1)); handled.Load() != want {
				q, _ := server.Queue("stuck")
				t.Fatalf("minute %d: %d were handled, want %d; %+v", minute, handled.Load(), want, q)
			}
			time.Sleep(30 * time.Second)
		}
		once := func(fewest, most int) {
			copies := map[string]int{}
			for _, m := range server.Messages("parked") {
				copies[string(m.Body)]++
			}
			for body, n := range copies {
				if n > 1 {
					t.Errorf("%s is there %d times", body, n)
				}
			}
			if n := len(copies); n < fewest || n > most {
				t.Errorf("%d are parked, want %d to %d", n, fewest, most)
			}
		}
		once(1, 100) // the publisher sends no more to a queue that confirms nothing
		if n := len(server.Messages("elsewhere")); n != 120 {
			t.Errorf("%d are parked elsewhere", n)
		}
		server.ReleaseConfirms("parked")
		time.Sleep(time.Hour)
		once(bad, bad)
		if q, _ := server.Queue("stuck"); q.Ready+q.Unacknowledged > 0 {
			t.Errorf("left: %+v", q)
		}
	})
}

// A publisher ends with its consumer, whichever way that is.
func TestPublisherEndsWithItsConsumer(t *testing.T) {
	for name, end := range map[string]func(c *consumer.Consumer) error{
		"Stop before Run": func(c *consumer.Consumer) error { return c.Stop(context.Background()) },
		"Run after Stop": func(c *consumer.Consumer) error {
			return errors.Join(c.Stop(context.Background()), c.Run(context.Background()))
		},
		"Run": func(c *consumer.Consumer) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return c.Run(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				c, err := consumer.New(consumer.Config{
					URLs: []string{server.URL()}, Dial: server.Dial,
					Subscriptions: []consumer.Subscription{{Queue: "q", Declare: &broker.QueueOptions{}, Handler: func(context.Context, *consumer.Delivery) error { return nil }}},
				})
				if err != nil {
					t.Fatal(err)
				}
				p := c.Publisher()
				if err := p.DeclareQueue(t.Context(), "p", broker.QueueOptions{}); err != nil {
					t.Fatal(err)
				}
				if err := p.Publish(t.Context(), &broker.Message{RoutingKey: "p"}); err != nil {
					t.Fatal(err)
				}
				if err := end(c); err != nil {
					t.Error(err)
				}
				if err := c.Publisher().Publish(t.Context(), &broker.Message{RoutingKey: "p"}); !errors.Is(err, publish.ErrStopped) || !errors.Is(err, publish.ErrNotSent) {
					t.Errorf("after the end: %v", err)
				}
				if n := len(server.Connections()); n != 0 {
					t.Errorf("%d connections are left", n)
				}
			})
		})
	}
}
