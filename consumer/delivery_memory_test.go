package consumer_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// While one handler of a key takes long, the connection is lost again and again, and what waited for it comes
// each time: no more is kept in memory than what the last connections delivered.
func TestLostDeliveriesAreFreed(t *testing.T) {
	t.Parallel()
	const prefetch, resets = 64, 10
	server := brokertest.NewServer(t)
	if err := errors.Join(server.DeclareQueue("work", nil), server.Publish("work", slices.Repeat([]string{"x"}, prefetch)...)); err != nil {
		t.Fatal(err)
	}
	var came, freed atomic.Int64
	let := make(chan struct{})
	c, err := consumer.New(consumer.Config{
		URLs: []string{server.URL()},
		Subscriptions: []consumer.Subscription{{
			Queue: "work", Concurrency: 4, Prefetch: prefetch,
			OrderingKey: func(d *consumer.Delivery) string {
				runtime.AddCleanup(d, func(struct{}) { freed.Add(1) }, struct{}{})
				came.Add(1)
				return "same"
			},
			Handler: func(context.Context, *consumer.Delivery) error { <-let; return nil },
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()
	for nth := range int64(resets) {
		rabbittest.Eventually(t, patience, "everything to be delivered again", func() bool { return came.Load() >= (nth+1)*prefetch })
		<-server.Inject(brokertest.Now(), brokertest.Reset()).Played
	}
	rabbittest.Eventually(t, patience, "what is lost to be freed", func() bool {
		runtime.GC()
		return came.Load() >= (resets+1)*prefetch && came.Load()-freed.Load() <= 2*prefetch
	})
	close(let)
	if err := errors.Join(c.Stop(context.Background()), <-ended); err != nil {
		t.Error(err)
	}
}
