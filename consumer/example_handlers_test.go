package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
)

// Order is what the bodies of these examples hold.
type Order struct {
	Item  string `json:"item"`
	Count int    `json:"count"`
}

// A body that is no order is parked at once; trying again would not heal it.
func ExampleJSON() {
	server := run(consumer.Subscription{
		Handler: consumer.JSON(func(_ context.Context, order Order, _ *consumer.Delivery) error {
			fmt.Printf("%d x %s\n", order.Count, order.Item)
			return nil
		}),
	}, `{"item": "book", "count": 2}`, `{"item": "lamp", "count": "many"}`)
	defer server.Close()
	for _, m := range server.Messages("orders.parked") {
		fmt.Printf("parked after %d call: %s\n", m.Headers[consumer.HeaderAttempts], m.Body)
	}
	// Output:
	// 2 x book
	// parked after 1 call: {"item": "lamp", "count": "many"}
}

// An error that trying again cannot heal goes straight to the poison policy.
func ExamplePermanent() {
	server := run(consumer.Subscription{
		Handler: func(context.Context, *consumer.Delivery) error {
			return consumer.Permanent(errors.New("no such customer"))
		},
	}, "an order")
	defer server.Close()
	parked := server.Messages("orders.parked")[0]
	fmt.Printf("after %d call: %v\n", parked.Headers[consumer.HeaderAttempts], parked.Headers[consumer.HeaderError])
	// Output:
	// after 1 call: no such customer
}

// What a handler makes of a message is published before the message is acknowledged.
func ExampleConsumer_Publisher() {
	server, err := brokertest.Start(brokertest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	if err := errors.Join(server.DeclareQueue("orders", nil), server.DeclareQueue("invoices", nil), server.Publish("orders", "book")); err != nil {
		log.Fatal(err)
	}
	server.Inject(brokertest.OnMethod("basic.publish", 1), brokertest.Reset()) // all connections, before it is stored
	var c *consumer.Consumer
	c, err = consumer.New(consumer.Config{
		URLs: []string{server.URL()},
		Subscriptions: []consumer.Subscription{{
			Queue: "orders",
			Handler: func(ctx context.Context, d *consumer.Delivery) error {
				return c.Publisher().Publish(ctx, &broker.Message{
					RoutingKey: "invoices", Body: fmt.Append(nil, "invoice for a ", string(d.Body)), MessageID: d.MessageID,
				})
			},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go func() {
		_ = server.Await(ctx, func() bool { q, _ := server.Queue("orders"); return q.Acknowledged > 0 })
		cancel()
	}()
	if err := c.Run(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", server.Messages("invoices")[0].Body)
	// Output: invoice for a book
}

// Handlers do not wait for the broker one by one: all that they have published is confirmed before what they were given is
// acknowledged.
func ExampleConsumer_Publisher_batch() {
	server, err := brokertest.Start(brokertest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	if err := errors.Join(server.DeclareQueue("orders", nil), server.DeclareQueue("invoices", nil), server.Publish("orders", "book", "lamp")); err != nil {
		log.Fatal(err)
	}
	var c *consumer.Consumer
	var batch publish.Batch
	c, err = consumer.New(consumer.Config{
		URLs: []string{server.URL()},
		Subscriptions: []consumer.Subscription{{
			Queue: "orders",
			Handler: func(ctx context.Context, d *consumer.Delivery) error {
				return batch.Send(ctx, c.Publisher(), &broker.Message{
					RoutingKey: "invoices", Body: fmt.Append(nil, "invoice for a ", string(d.Body)), MessageID: d.MessageID,
				})
			},
			Commit: batch.Commit,
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go func() {
		_ = server.Await(ctx, func() bool { q, _ := server.Queue("orders"); return q.Acknowledged == 2 })
		cancel()
	}()
	if err := c.Run(ctx); err != nil {
		log.Fatal(err)
	}
	for _, m := range server.Messages("invoices") {
		fmt.Printf("%s\n", m.Body)
	}
	// Output:
	// invoice for a book
	// invoice for a lamp
}

// recovered makes an error of a panic. A consumer does so by itself; this is for handlers that run elsewhere, too.
func recovered(next consumer.Handler) consumer.Handler {
	return func(ctx context.Context, d *consumer.Delivery) (err error) {
		defer func() {
			if cause := recover(); cause != nil {
				err = fmt.Errorf("panic: %v", cause)
			}
		}()
		return next(ctx, d)
	}
}

// logged tells what became of each call.
func logged(next consumer.Handler) consumer.Handler {
	return func(ctx context.Context, d *consumer.Delivery) error {
		err := next(ctx, d)
		fmt.Printf("%s: %v\n", d.Body, err)
		return err
	}
}

// within limits how long a handler may take.
func within(limit time.Duration) consumer.Middleware {
	return func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d *consumer.Delivery) error {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			return next(ctx, d)
		}
	}
}

// Middleware is around a handler: here one that logs, one that recovers from panics, and one that limits its time.
func ExampleChain() {
	server := run(consumer.Subscription{
		Retry: consumer.Retry{Attempts: 1},
		Handler: consumer.Chain(func(ctx context.Context, d *consumer.Delivery) error {
			switch string(d.Body) {
			case "slow":
				<-ctx.Done()
				return ctx.Err()
			case "bad":
				panic("it is bad")
			}
			return nil
		}, logged, recovered, within(10*time.Millisecond)),
	}, "good", "slow", "bad")
	defer server.Close()
	// Output:
	// good: <nil>
	// slow: context deadline exceeded
	// bad: panic: it is bad
}

// A handle changes and looks at what consumes from a queue.
func ExampleConsumer_Subscription() {
	c, err := consumer.New(consumer.Config{
		URLs: []string{"amqp://guest:guest@localhost:5672/"},
		Subscriptions: []consumer.Subscription{{
			Queue:   "orders",
			Handler: func(context.Context, *consumer.Delivery) error { return nil },
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	orders := c.Subscription("orders")
	fmt.Println(orders.Pause()) // Run was not called yet
	fmt.Println(orders.Stats().Acknowledged)
	fmt.Println(c.Subscription("order").Resume())
	// Output:
	// consumer: not running
	// 0
	// consumer: there is no subscription of queue "order", only of: "orders"
}
