package parked_test

import (
	"context"
	"fmt"
	"log"
	"regexp"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/parked"
)

// What was parked while a dependency was away is retried; the rest stays.
func ExampleRetry() {
	server, err := brokertest.Start(brokertest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	for _, queue := range []string{"orders", "orders.parked"} {
		if err := server.DeclareQueue(queue, nil); err != nil {
			log.Fatal(err)
		}
	}
	for _, failure := range []string{"dial tcp: connection refused", "no such customer"} {
		if err := server.PublishMessage("orders.parked", brokertest.Message{
			Body: []byte(failure), Headers: map[string]any{consumer.HeaderQueue: "orders", consumer.HeaderError: failure},
		}); err != nil {
			log.Fatal(err)
		}
	}

	tally, err := parked.Retry(context.Background(), parked.Config{
		URLs: []string{server.URL()}, Queue: "orders.parked",
		Filter: parked.Filter{Error: regexp.MustCompile("refused|timeout")},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d of %d retried\n", tally.Done, tally.Waiting)
	// Output: 1 of 2 retried
}
