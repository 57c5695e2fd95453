package consumer_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// What is confirmed is handled, also if it is consumed while another subscription is asked how its queue differs.
func TestConsumingIsHandling(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			server := brokertest.NewInMemoryServer(t)
			handled := make(chan string, 10)
			config := consumer.Config{URLs: []string{server.URL()}, Dial: server.Dial}
			for i := range 8 {
				queue := fmt.Sprint("q", i)
				if err := server.DeclareQueue(queue, nil); err != nil {
					t.Fatal(err)
				}
				config.Subscriptions = append(config.Subscriptions, consumer.Subscription{Queue: queue, Declare: &broker.QueueOptions{Durable: true}, Handler: func(_ context.Context, d *consumer.Delivery) error {
					handled <- d.Queue
					return nil
				}})
			}
			c, err := consumer.New(config)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- c.Run(context.Background()) }()
			time.Sleep(time.Second)
			for i := range 8 {
				_ = server.Publish(fmt.Sprint("q", i), "x")
			}
			time.Sleep(time.Second)
			if len(handled) != 8 {
				t.Errorf("%d of 8 were handled, and it is %s: %+v", len(handled), c.State(), server.Queues())
			}
			_ = c.Stop(context.Background())
			<-done
		})
		if t.Failed() {
			return
		}
	}
}
