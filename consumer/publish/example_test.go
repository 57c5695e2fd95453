package publish_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer/publish"
)

// The program of the README.
func publishOrders(ctx context.Context, url string) error {
	p, err := publish.New(publish.Config{URLs: []string{url}})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()

	for _, order := range []string{"tea", "coffee"} {
		m := broker.Message{RoutingKey: "orders", Body: []byte(order)}
		if err := p.Publish(ctx, &m); err != nil { // nil: the broker has it
			return errors.Join(err, p.Stop(ctx))
		}
	}
	return errors.Join(p.Stop(ctx), <-ended)
}

func Example() {
	server, err := brokertest.Start(brokertest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	_ = server.DeclareQueue("orders", nil)
	if err := publishOrders(context.Background(), server.URL()); err != nil {
		log.Fatal(err)
	}
	for _, m := range server.Messages("orders") {
		fmt.Printf("%s\n", m.Body)
	}
	// Output:
	// tea
	// coffee
}
