package consumer_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// Many workers finish deliveries as fast as they come, so that acknowledgements are decided while others
// finish: the broker must never be sent a tag that is settled already, for it would close the channel.
func TestAcknowledgementsUnderContention(t *testing.T) {
	t.Parallel()
	for round := range 30 {
		acknowledgeAll(t, round)
		if t.Failed() {
			return
		}
	}
}

func acknowledgeAll(t *testing.T, round int) {
	const messages = 3000
	server := brokertest.NewServer(t)
	defer server.Close()
	if err := server.DeclareQueue("work", nil); err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if err := server.Publish("work", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var handled atomic.Int64
	journal := fsm.NewRing(100)
	c, err := consumer.New(consumer.Config{
		URLs:    []string{server.URL()},
		Journal: journal,
		Subscriptions: []consumer.Subscription{{
			Queue:       "work",
			Concurrency: 16,
			Prefetch:    1 << (round % 9), // 1 to 256
			Handler: func(context.Context, *consumer.Delivery) error {
				if handled.Add(1) == messages {
					stop()
				}
				return nil
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(ctx); err != nil {
		t.Fatal(err)
	}
	q, _ := server.Queue("work")
	if got := c.Stats(); got != (consumer.Stats{Acknowledged: messages}) || q.Ready+q.Unacknowledged > 0 {
		t.Errorf("round %d: %+v, the broker has %+v", round, got, q)
		for _, e := range journal.Events() {
			t.Log(e.Kind, e.Trigger, e.Error, e.Note)
		}
	}
}
