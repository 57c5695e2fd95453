package consumer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// What it may cost to look at 1,000 subscriptions.
const (
	mostStatus            = 20 * time.Microsecond
	mostStatusAllocations = 8
	mostScrape            = 50 * time.Millisecond // with each of them
)

// BenchmarkStatus measures what a look at a consumer with 1,000 subscriptions costs: at the whole, as a probe has, and at
// each of them, as a scrape has.
//
//	go test -run '^$' -bench Status ./consumer
func BenchmarkStatus(b *testing.B) {
	server := brokertest.NewServer(b)
	var specs []consumer.Subscription
	for i := range 1000 {
		queue := fmt.Sprintf("q%d", i)
		if err := server.DeclareQueue(queue, nil); err != nil {
			b.Fatal(err)
		}
		if err := server.Publish(queue, "a", "b"); err != nil {
			b.Fatal(err)
		}
		specs = append(specs, consumer.Subscription{Queue: queue, Handler: func(context.Context, *consumer.Delivery) error { return nil }})
	}
	c, err := consumer.New(consumer.Config{URLs: []string{server.URL()}, Subscriptions: specs})
	if err != nil {
		b.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- c.Run(context.Background()) }()
	for !c.Status().Ready() {
		time.Sleep(10 * time.Millisecond)
	}
	if err := c.Subscription("q7").Pause(); err != nil {
		b.Fatal(err)
	}
	for c.Status().Ready() {
		time.Sleep(10 * time.Millisecond)
	}
	within := func(b *testing.B, most time.Duration) {
		if each := b.Elapsed() / time.Duration(b.N); each > most {
			b.Errorf("%v, and %v are allowed", each, most)
		}
	}
	b.Run("probe", func(b *testing.B) {
		for b.Loop() {
			_ = c.Status()
		}
		within(b, mostStatus)
		if n := testing.AllocsPerRun(100, func() { _ = c.Status() }); n > mostStatusAllocations {
			b.Errorf("%v allocations, and %d are allowed", n, mostStatusAllocations)
		}
	})
	b.Run("scrape", func(b *testing.B) {
		for b.Loop() {
			var calls uint64
			for s := range c.Status().Subscriptions() {
				calls += s.Handling.Calls
			}
			if calls == 0 {
				b.Fatal("nothing was handled")
			}
		}
		within(b, mostScrape)
	})
	if err := c.Stop(context.Background()); err != nil {
		b.Error(err)
	}
	if err := <-ran; err != nil {
		b.Error(err)
	}
}
