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

// A handler may stop its consumer: Stop does not wait for the handler then, and Run returns when it is done.
func ExampleConsumer_Stop() {
	server, err := brokertest.Start(brokertest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	if err := errors.Join(server.DeclareQueue("orders", nil), server.Publish("orders", "one", "two", "the last")); err != nil {
		log.Fatal(err)
	}
	var c *consumer.Consumer
	c, err = consumer.New(consumer.Config{
		URLs: []string{server.URL()},
		Subscriptions: []consumer.Subscription{{
			Queue: "orders",
			Handler: func(ctx context.Context, d *consumer.Delivery) error {
				fmt.Printf("%s\n", d.Body)
				if string(d.Body) == "the last" {
					return c.Stop(ctx)
				}
				return nil
			},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Run(context.Background()))
	fmt.Println(c.Stats().Acknowledged, "acknowledged")
	// Output:
	// one
	// two
	// the last
	// <nil>
	// 3 acknowledged
}

// The connection is lost before the acknowledgement arrives, and the message comes again: its handler is not
// called again.
func ExampleDedup() {
	server, err := brokertest.Start(brokertest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	if err := errors.Join(server.DeclareQueue("orders", nil), server.PublishMessage("orders", brokertest.Message{MessageID: "order 1"})); err != nil {
		log.Fatal(err)
	}
	server.Inject(brokertest.OnMethod("basic.ack", 1), brokertest.Reset())
	c, err := consumer.New(consumer.Config{
		URLs: []string{server.URL()},
		Subscriptions: []consumer.Subscription{{
			Queue: "orders",
			Dedup: consumer.Dedup{Window: 1000},
			Handler: func(_ context.Context, d *consumer.Delivery) error {
				fmt.Println("handled:", d.MessageID)
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
		_ = server.Await(ctx, func() bool { return server.Count("basic.ack") == 2 })
		cancel()
	}()
	if err := c.Run(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("deduplicated:", c.Stats().Deduplicated)
	// Output:
	// handled: order 1
	// deduplicated: 1
}

// A stream is read from where it is asked for.
func ExampleStream() {
	for _, offset := range []any{"first", 4711, time.Now().Add(-time.Hour), "2h", 1.5} {
		_, err := consumer.New(consumer.Config{
			URLs: []string{"amqp://guest:guest@localhost:5672/"},
			Subscriptions: []consumer.Subscription{{
				Queue:   "events",
				Stream:  &consumer.Stream{Offset: offset},
				Handler: func(context.Context, *consumer.Delivery) error { return nil },
			}},
		})
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// <nil>
	// consumer: Subscriptions[0].Stream.Offset: a float64 is no offset: string, int, int64 or time.Time
}
