package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// Each subscription's Commit hangs when its queue is deleted: they are given a second together, and not one
// after another.
func TestHangingCommitsHangTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, hangingCommitsHangTogether)
}

func hangingCommitsHangTogether(t *testing.T) {
	const subscriptions = 12
	server := brokertest.NewInMemoryServer(t)
	journal := fsm.NewRing(1 << 10)
	config := consumer.Config{URLs: []string{server.URL()}, Dial: server.Dial, Journal: journal}
	var hanging atomic.Int64
	let := make(chan struct{})
	for i := range subscriptions {
		config.Subscriptions = append(config.Subscriptions, consumer.Subscription{
			Queue:   fmt.Sprint("q", i),
			Declare: &broker.QueueOptions{},
			Handler: func(context.Context, *consumer.Delivery) error { return nil },
			Commit: func(context.Context) error {
				hanging.Add(1)
				<-let
				return nil
			},
		})
	}
	c, err := consumer.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()
	rabbittest.Eventually(t, patience, "consumers", func() bool { return c.State() == consumer.Consuming })
	for i := range subscriptions {
		if err := server.Publish(fmt.Sprint("q", i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	rabbittest.Eventually(t, patience, "each Commit to hang", func() bool { return hanging.Load() == subscriptions })
	began := time.Now()
	for i := range subscriptions {
		server.DeleteQueue(fmt.Sprint("q", i))
	}
	rabbittest.Eventually(t, patience, "all to be revived", func() bool {
		last, _ := journal.Last()
		return last.Trigger == consumer.Revived
	})
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	close(let)
	if err := errors.Join(c.Stop(context.Background()), <-ended); err != nil {
		t.Error(err)
	}
}
