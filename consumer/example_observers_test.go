package consumer_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// What has happened so far, asked for while the consumer runs: how available it was, and how often it did
// what. An observer has its own goroutine, so what it writes is shared with whoever reads it.
func ExampleConfig_observers() {
	server, err := brokertest.Start(brokertest.Config{}) // a broker in this process
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Inject(brokertest.OnMethod("basic.ack", 1), brokertest.Reset()) // which loses a connection

	happened, counts := fsm.Share(new(history.Summary)), fsm.Share(new(fsm.Summary))
	consuming := make(chan fsm.Trigger, 2)
	c, err := consumer.New(consumer.Config{
		URLs: []string{server.URL()},
		Observers: []func(fsm.Event){happened.Apply, counts.Apply, func(e fsm.Event) {
			if e.To == consumer.Consuming && e.From != consumer.HeartbeatCheck {
				consuming <- e.Trigger // Connected, then Revived
			}
		}},
		Subscriptions: []consumer.Subscription{{
			Queue:   "orders",
			Declare: &broker.QueueOptions{},
			Handler: func(context.Context, *consumer.Delivery) error { return nil },
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()
	<-consuming
	happened.Read(func(s *history.Summary) { // at any time
		if share, ok := s.Report().Availability(); ok && share > 0 {
			_ = share // for a page, say
		}
	})
	if err := server.Publish("orders", "one"); err != nil {
		log.Fatal(err)
	}
	<-consuming
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	happened.Read(func(s *history.Summary) {
		r := s.Report()
		fmt.Println(r.Outages, "outage, for", r.Longest.Cause.Trigger, "of class", r.Longest.Cause.Class)
	})
	counts.Read(func(s *fsm.Summary) {
		fmt.Println(s.State(consumer.Reviving).Visits, "time", consumer.Reviving, "in", s.Runs, "run")
	})
	// Output:
	// 1 outage, for ConnectionError of class network
	// 1 time Reviving in 1 run
}
