package history_test

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// What a consumer logs is read as what its observers see.
func TestParseLogOfConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		var mu sync.Mutex
		var log bytes.Buffer
		var seen []fsm.Event
		revived := make(chan struct{})
		c, err := consumer.New(consumer.Config{
			URLs:   []string{server.URL()},
			Dial:   server.Dial,
			Name:   "orders",
			Logger: zerolog.New(zerolog.SyncWriter(&log)).With().Timestamp().Str("service", "shop").Logger(),
			Observers: []func(fsm.Event){func(e fsm.Event) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, e)
				if e.Trigger == consumer.Connected {
					go server.Inject(brokertest.Now().Of("orders"), brokertest.Reset())
				}
				if e.Trigger == consumer.Revived {
					close(revived)
				}
			}},
			Subscriptions: []consumer.Subscription{{Queue: "orders", Declare: &broker.QueueOptions{Durable: true}, Handler: ignore}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Run(t.Context()) }()
		<-revived
		if err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		var read []fsm.Event
		for line := range bytes.Lines(log.Bytes()) {
			if e, ok := history.ParseLog(line); ok {
				read = append(read, e)
			}
		}
		if diff := cmp.Diff(seen, read, byValue, cmpopts.IgnoreFields(fsm.Event{}, "Time")); diff != "" || len(seen) < 5 {
			t.Errorf("%s\n%s", diff, &log)
		}
	})
}

func ignore(context.Context, *consumer.Delivery) error { return nil }
