package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// What can never be parked is told once, and then ever more seldom, however many messages that are; so is what cannot be
// for an hour, and is tried each second.
func TestUnpublishedIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t, brokertest.MaxMessageSize(1000))
		if err := server.DeclareQueue("q", nil); err != nil {
			t.Fatal(err)
		}
		log := &lines{}
		c, err := consumer.New(consumer.Config{
			URLs: []string{server.URL()}, Dial: server.Dial, Logger: zerolog.New(log),
			Subscriptions: []consumer.Subscription{{
				Queue: "q", Retry: consumer.Retry{Poison: consumer.Park, ParkingQueue: "parked"},
				Handler: func(context.Context, *consumer.Delivery) error { return consumer.Permanent(errors.New("bad")) },
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Run(context.Background()) }()
		told := func() int { return strings.Count(log.String(), "could not be parked") }
		publish := func(n int) {
			t.Helper()
			for i := range n { // of sizes that differ
				if err := server.PublishMessage("q", brokertest.Message{Body: make([]byte, 1001+i)}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute)
		}
		publish(60)
		if n := told(); n < 1 || n > 6 { // 1, 2, 4, 8, 16, 32
			t.Errorf("told %d times:\n%s", n, log)
		}
		before := told()
		if err := server.DeclareQueue("parked", map[string]any{"x-max-length": int64(0), "x-overflow": "reject-publish"}); err != nil {
			t.Fatal(err)
		}
		if err := server.Publish("q", "small"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // it is tried each second
		if n := told() - before; n < 12 || n > 20 {
			t.Errorf("in an hour, %d times:\n%s", n, log)
		}
		if err := errors.Join(c.Stop(context.Background()), <-ended); err != nil {
			t.Error(err)
		}
	})
}
