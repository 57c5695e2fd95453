package consumer_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c, err := consumer.New(consumer.Config{
		URLs:   []string{"amqp://guest:guest@localhost:5672/"},
		Logger: zerolog.New(os.Stderr),
		Subscriptions: []consumer.Subscription{{
			Queue:   "orders",
			Declare: &broker.QueueOptions{Durable: true},
			Handler: func(ctx context.Context, d *consumer.Delivery) error {
				fmt.Printf("%s\n", d.Body)
				return nil // acknowledges; an error puts the message back
			},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Run(ctx); err != nil { // nil once Ctrl-C has drained it
		log.Fatal(err)
	}
}

func ExampleLifecycle() {
	state, _ := consumer.Lifecycle().Next(consumer.Consuming, consumer.DrainTimeout)
	fmt.Println(state)
	_, err := consumer.Lifecycle().Next(consumer.Disconnected, consumer.Revived)
	fmt.Println(err)
	// Output:
	// HeartbeatCheck
	// fsm: "Disconnected" does not permit "Revived", only: Connect
}
