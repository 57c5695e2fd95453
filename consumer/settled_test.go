package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// OnSettled is told what Stats count, also if it panics each time.
func TestOnSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		if err := errors.Join(server.DeclareQueue("orders", nil), server.Publish("orders", "good", "rejected", "parked", "good", "stale")); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var told []string
		c, err := consumer.New(consumer.Config{
			URLs: []string{server.URL()}, Dial: server.Dial,
			Subscriptions: []consumer.Subscription{{
				Queue: "orders",
				Handler: func(_ context.Context, d *consumer.Delivery) error {
					switch string(d.Body) {
					case "rejected":
						return consumer.Reject
					case "parked":
						return consumer.Permanent(errors.New("bad"))
					case "stale":
						if !d.Redelivered {
							time.Sleep(time.Second) // what others have waits for no longer
							server.Inject(brokertest.Now(), brokertest.Reset())
							time.Sleep(time.Second)
						}
					}
					return nil
				},
				OnSettled: func(settled []consumer.Settlement) {
					mu.Lock()
					defer mu.Unlock()
					for _, s := range settled {
						told = append(told, fmt.Sprintf("%s %d by %q, lost: %t", s.Queue, s.DeliveryTag, s.By, s.Err != nil))
						if s.ReceivedAt.IsZero() || s.Generation == 0 {
							t.Errorf("not told when and where: %+v", s)
						}
					}
					panic("each time")
				},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		if err := server.Await(ctx, func() bool { q, _ := server.Queue("orders"); return q.Ready+q.Unacknowledged == 0 }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // until what is stale is told of: after Run nothing is
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		want := []string{
			`orders 1 by "ack", lost: false`, `orders 1 by "ack", lost: false`, `orders 2 by "reject", lost: false`,
			`orders 3 by "ack", lost: false`, `orders 4 by "ack", lost: false`, `orders 5 by "", lost: true`,
		}
		slices.Sort(told)
		if !slices.Equal(told, want) {
			t.Errorf("told of\n%q\nand not of\n%q", told, want)
		}
		if s := c.Stats(); s.Acknowledged != 3 || s.Rejected != 1 || s.Parked != 1 || s.Stale != 1 {
			t.Errorf("%+v", s)
		}
	})
}
