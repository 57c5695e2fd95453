package consumer_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// A program consumes from a, and publishes to b, while both of its connections are cut, the broker is killed and an alarm
// blocks it: every message of a is in b, in order for each key, and none was acknowledged before its confirm. In each
// of EVERHOP_TEST_ROUNDS (1) there are 20 cuts, a kill and an alarm of 2 s.
func TestPublishOnThroughKills(t *testing.T) {
	rabbittest.NeedsControl(t)
	if testing.Short() {
		t.Skip("takes seconds")
	}
	rounds := 1
	if text := os.Getenv("EVERHOP_TEST_ROUNDS"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	node, err := rabbittest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer node.Stop()
	proxy, err := rabbittest.NewProxy(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()

	const keys = 5
	var c *consumer.Consumer
	c, err = consumer.New(consumer.Config{
		URLs: []string{proxy.URL(node.URL())},
		Subscriptions: []consumer.Subscription{{
			Queue: "a", Declare: &broker.QueueOptions{Durable: true}, Concurrency: keys,
			OrderingKey: func(d *consumer.Delivery) string { return d.CorrelationID },
			Handler: func(ctx context.Context, d *consumer.Delivery) error {
				time.Sleep(5 * time.Millisecond)
				return c.Publisher().Publish(ctx, &broker.Message{RoutingKey: "b", Body: d.Body, MessageID: d.MessageID, CorrelationID: d.CorrelationID})
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	publisher := c.Publisher() // what fills a goes through the same cuts
	for _, queue := range []string{"a", "b"} {
		must(publisher.DeclareQueue(t.Context(), queue, broker.QueueOptions{Durable: true}))
	}
	published := 0
	publish := func(n int) {
		for range n {
			must(publisher.Publish(t.Context(), &broker.Message{
				RoutingKey: "a", Body: []byte(strconv.Itoa(published)), CorrelationID: strconv.Itoa(published % keys),
			}))
			published++
		}
	}
	for range rounds {
		var filling sync.WaitGroup
		filling.Go(func() { publish(500) })
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			proxy.Reset()
		}
		must(node.Kill())
		must(node.Restart(t.Context()))
		must(node.MemoryAlarm(t.Context(), true))
		time.Sleep(2 * time.Second)
		must(node.MemoryAlarm(t.Context(), false))
		filling.Wait()
	}
	rabbittest.Eventually(t, 2*time.Minute, "a to be empty", func() bool {
		ready, unacked, err := node.Depth(t.Context(), "a")
		return err == nil && ready+unacked == 0
	})
	must(errors.Join(c.Stop(context.Background()), <-ended))

	seen, last, twice := map[string]bool{}, map[string]int{}, 0
	all := make(chan struct{})
	reader, err := consumer.New(consumer.Config{
		URLs: []string{node.URL()},
		Subscriptions: []consumer.Subscription{{Queue: "b", Handler: func(_ context.Context, d *consumer.Delivery) error {
			if seen[string(d.Body)] {
				twice++
				return nil
			}
			seen[string(d.Body)] = true
			n, err := strconv.Atoi(string(d.Body))
			if before, there := last[d.CorrelationID]; there && before > n || err != nil {
				t.Errorf("key %s: %d comes behind %d (%v)", d.CorrelationID, n, before, err)
			}
			last[d.CorrelationID] = n
			if len(seen) == published {
				close(all)
			}
			return nil
		}}},
	})
	must(err)
	go func() { ended <- reader.Run(context.Background()) }()
	select {
	case <-all:
	case <-time.After(time.Minute):
	}
	must(errors.Join(reader.Stop(context.Background()), <-ended))
	t.Logf("%d cuts, %d kills: %d of %d messages are in b, %d twice", 20*rounds, rounds, len(seen), published, twice)
	if len(seen) != published {
		t.Errorf("%d of %d are in b", len(seen), published)
	}
}
