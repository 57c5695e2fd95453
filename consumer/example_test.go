package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

var url = "amqp://guest:guest@localhost:5672/"

func ExampleLifecycle() {
	state, _ := consumer.Lifecycle().Next(consumer.Consuming, consumer.DrainTimeout)
	fmt.Println(state)
	_, err := consumer.Lifecycle().Next(consumer.Disconnected, consumer.Revived)
	fmt.Println(err)
	// Output:
	// HeartbeatCheck
	// fsm: "Disconnected" does not permit "Revived", only: Connect
}

// A handler's test: the broker runs in the test's process, and loses the first acknowledgement
// together with the connection.
func ExampleNew() {
	server, err := brokertest.Start(brokertest.Config{}) // in a test: brokertest.NewServer(t)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	if err := errors.Join(server.DeclareQueue("orders", nil), server.Publish("orders", "one")); err != nil {
		log.Fatal(err)
	}
	server.Inject(brokertest.OnMethod("basic.ack", 1), brokertest.Reset())

	c, err := consumer.New(consumer.Config{
		URLs: []string{server.URL()},
		Subscriptions: []consumer.Subscription{{
			Queue: "orders",
			Handler: func(ctx context.Context, d *consumer.Delivery) error {
				fmt.Printf("%s, redelivered: %t\n", d.Body, d.Redelivered)
				return nil
			},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go func() {
		// The acknowledgement that was lost counts too.
		_ = server.Await(ctx, func() bool { return server.Count("basic.ack") == 2 })
		cancel()
	}()
	if err := c.Run(ctx); err != nil {
		log.Fatal(err)
	}
	orders, _ := server.Queue("orders")
	fmt.Println("left in the queue:", orders.Ready+orders.Unacknowledged)
	// Output:
	// one, redelivered: false
	// one, redelivered: true
	// left in the queue: 0
}
