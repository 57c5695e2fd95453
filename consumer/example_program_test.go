package consumer_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

// The program of the README.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := consumer.New(consumer.Config{
		URLs:   []string{url},
		Logger: zerolog.New(os.Stderr).Level(zerolog.InfoLevel).With().Timestamp().Logger(),
		Subscriptions: []consumer.Subscription{{
			Queue:   "orders",
			Declare: &broker.QueueOptions{Durable: true},
			Handler: func(ctx context.Context, d *consumer.Delivery) error {
				fmt.Printf("%s\n", d.Body)
				return nil // acknowledges; after an error the handler is called again
			},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Run(ctx); err != nil { // nil after Ctrl-C or SIGTERM, once the handlers have finished
		log.Fatal(err)
	}
}
