package consumer_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// run consumes the bodies from a queue "orders" of a broker in this process, until nothing of them is
// left there, and returns that broker.
func run(s consumer.Subscription, bodies ...string) *brokertest.Server {
	server, err := brokertest.Start(brokertest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(server.DeclareQueue("orders", nil), server.Publish("orders", bodies...)); err != nil {
		log.Fatal(err)
	}
	s.Queue = "orders"
	c, err := consumer.New(consumer.Config{URLs: []string{server.URL()}, Subscriptions: []consumer.Subscription{s}})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go func() {
		_ = server.Await(ctx, func() bool {
			q, _ := server.Queue("orders")
			return q.Ready+q.Unacknowledged == 0
		})
		cancel()
	}()
	if err := c.Run(ctx); err != nil {
		log.Fatal(err)
	}
	return server
}

// A message that fails again and again is parked, with headers that tell why.
func ExampleRetry() {
	server := run(consumer.Subscription{
		Handler: func(_ context.Context, d *consumer.Delivery) error {
			if string(d.Body) == "bad" {
				fmt.Printf("%s, handled %d times before\n", d.Body, consumer.Attempts(d))
				return errors.New("no such customer")
			}
			fmt.Printf("%s\n", d.Body)
			return nil
		},
		Retry: consumer.Retry{Attempts: 3, Backoff: consumer.Backoff{Initial: time.Millisecond}},
	}, "good", "bad", "also good")
	defer server.Close()
	parked := server.Messages("orders.parked")[0]
	fmt.Printf("parked: %s after %v attempts: %v\n", parked.Body, parked.Headers[consumer.HeaderAttempts], parked.Headers[consumer.HeaderError])
	// Output:
	// good
	// bad, handled 0 times before
	// bad, handled 1 times before
	// bad, handled 2 times before
	// also good
	// parked: bad after 3 attempts: no such customer
}

// A handler that cannot go on now asks for the message again later.
func ExampleRetryAfter() {
	server := run(consumer.Subscription{
		Handler: func(_ context.Context, d *consumer.Delivery) error {
			if consumer.Attempts(d) < 2 {
				return fmt.Errorf("rate limit: %w", consumer.RetryAfter(10*time.Millisecond))
			}
			fmt.Printf("%s, handled %d times before\n", d.Body, consumer.Attempts(d))
			return nil
		},
	}, "order 1")
	defer server.Close()
	// Output:
	// order 1, handled 2 times before
}

// Messages of one customer are handled in their order, those of others meanwhile.
func ExampleSubscription_key() {
	customer := func(d *consumer.Delivery) string { return string(d.Body[:1]) }
	var mu sync.Mutex
	orders := map[string]string{}
	server := run(consumer.Subscription{
		Concurrency: 8,
		OrderingKey: customer,
		Handler: func(_ context.Context, d *consumer.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			orders[customer(d)] += string(d.Body[1:])
			return nil
		},
	}, "A1", "B1", "A2", "C1", "B2", "A3", "C2", "B3", "C3")
	defer server.Close()
	fmt.Println(orders)
	// Output:
	// map[A:123 B:123 C:123]
}

// What handlers gather is made to last before it is acknowledged.
func ExampleSubscription_commit() {
	var file bytes.Buffer
	var mu sync.Mutex
	buffer := bufio.NewWriter(&file)
	server := run(consumer.Subscription{
		Handler: func(_ context.Context, d *consumer.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			_, err := fmt.Fprintf(buffer, "%s\n", d.Body)
			return err
		},
		Commit: func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			return buffer.Flush()
		},
	}, "one", "two")
	defer server.Close()
	fmt.Print(file.String())
	// Output:
	// one
	// two
}

// What a handler needs for any message is not there: the message is not blamed for it, and waits.
func ExampleUnavailable() {
	mounted := false
	server := run(consumer.Subscription{
		Handler: func(_ context.Context, d *consumer.Delivery) error {
			if !mounted {
				mounted = true // by somebody else, meanwhile
				return consumer.Unavailable(errors.New("the disk is not mounted"))
			}
			fmt.Printf("%s, %d attempts before\n", d.Body, consumer.Attempts(d))
			return nil
		},
		RequeuePause: time.Millisecond,
		Retry:        consumer.Retry{Attempts: 1},
		Breaker:      consumer.Breaker{Pause: 10 * time.Millisecond}, // the longest
	}, "photo")
	defer server.Close()
	// Output:
	// photo, 0 attempts before
}
