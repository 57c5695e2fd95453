//go:build unix

package consumer_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

const (
	subscriptions = 1000
	// What a subscription may take beyond a channel of amqp091-go, and all of them to be there again.
	addedMemory = 16 << 10
	allRevived  = 5 * time.Second
)

// BenchmarkThousandSubscriptions measures a consumer with 1,000 subscriptions on its connection to RabbitMQ: the
// heap and the stacks that each takes beyond a channel of amqp091-go that consumes, and the time from a reset
// of the connection until all are confirmed again.
//
//	go test -run '^$' -bench ThousandSubscriptions -benchtime 1x -timeout 10m ./consumer
func BenchmarkThousandSubscriptions(b *testing.B) {
	node := rabbittest.Shared(b)
	declareThousand(b, node.URL())
	channel := inChild[uint64](b, "TestSubscriber", subscriber{URL: node.URL(), Bare: true})
	everhop := inChild[uint64](b, "TestSubscriber", subscriber{URL: node.URL()})
	added := (float64(everhop) - float64(channel)) / subscriptions
	took := reviveThousand(b, node)

	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(channel)/subscriptions/1024, "KiB/channel")
	b.ReportMetric(added/1024, "added-KiB/subscription")
	b.ReportMetric(took.Seconds(), "s-revived")
	if added > addedMemory {
		b.Errorf("%.1f KiB per subscription are added, and %d KiB are allowed", added/1024, addedMemory/1024)
	}
	if took > allRevived {
		b.Errorf("all were revived after %v, and %v are allowed", took, allRevived)
	}
}

func subscriptionQueue(i int) string { return fmt.Sprintf("subscription.%d", i) }

func declareThousand(b *testing.B, url string) {
	connection, err := amqp.Dial(url)
	if err != nil {
		b.Fatal(err)
	}
	channel, err := connection.Channel()
	if err != nil {
		b.Fatal(err)
	}
	for i := range subscriptions {
		if _, err := channel.QueueDeclare(subscriptionQueue(i), false, false, false, false, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.Cleanup(func() {
		for i := range subscriptions {
			if _, err := channel.QueueDelete(subscriptionQueue(i), false, false, false); err != nil {
				b.Error(err)
			}
		}
		connection.Close()
	})
}

// subscriber is a program with 1,000 subscriptions, by means of amqp091-go alone if Bare.
type subscriber struct {
	URL  string
	Bare bool
}

// TestSubscriber measures the memory that a subscriber takes, in a process of its own.
func TestSubscriber(t *testing.T) {
	var s subscriber
	if !isChild(t, &s) {
		return
	}
	subscribe := subscribeEverhop
	if s.Bare {
		subscribe = subscribeBare
	}
	before := inUse()
	unsubscribe := subscribe(t, s.URL)
	after := inUse()
	unsubscribe()
	reply(t, after-before)
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC() // for what the first one only put aside: pools, finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// subscribeBare leaves out what every program would have: a goroutine for each channel.
func subscribeBare(t *testing.T, url string) func() {
	connection, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	for i := range subscriptions {
		channel, err := connection.Channel()
		if err != nil {
			t.Fatal(err)
		}
		if err := channel.Qos(consumer.DefaultPrefetch, 0, false); err != nil {
			t.Fatal(err)
		}
		if _, err := channel.Consume(subscriptionQueue(i), "", false, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	return func() { connection.Close() }
}

func subscribeEverhop(t *testing.T, url string) func() {
	entered, stop := runThousand(t, url, ignore)
	awaitConsuming(t, entered)
	return stop
}

// runThousand runs a consumer, and sends the time of each transition into Consuming from a state in which not
// everything is subscribed.
func runThousand(tb testing.TB, url string, handler consumer.Handler) (entered <-chan time.Time, stop func()) {
	list := make([]consumer.Subscription, subscriptions)
	for i := range list {
		list[i] = consumer.Subscription{Queue: subscriptionQueue(i), Handler: handler}
	}
	times := make(chan time.Time, 100)
	c, err := consumer.New(consumer.Config{
		URLs:          []string{url},
		Subscriptions: list,
		Observers: []func(fsm.Event){func(e fsm.Event) {
			if e.Trigger == consumer.Connected || e.Trigger == consumer.Revived {
				times <- time.Now()
			}
		}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- c.Run(ctx) }()
	return times, func() {
		cancel()
		if err := <-result; err != nil {
			tb.Error(err)
		}
	}
}

func awaitConsuming(tb testing.TB, entered <-chan time.Time) time.Time {
	tb.Helper()
	select {
	case at := <-entered:
		return at
	case <-time.After(patience):
		tb.Fatalf("not within %v: %s", patience, consumer.Consuming)
		return time.Time{}
	}
}

// reviveThousand returns how long it takes from the reset of the connection until the consumer is in Consuming
// again, and checks that every queue is then consumed from.
func reviveThousand(b *testing.B, node *rabbittest.Node) time.Duration {
	proxy, err := rabbittest.NewProxy(node.Addr())
	if err != nil {
		b.Fatal(err)
	}
	defer proxy.Close()
	handled := make(chan string, subscriptions)
	entered, stop := runThousand(b, proxy.URL(node.URL()), func(_ context.Context, d *consumer.Delivery) error {
		handled <- d.Queue
		return nil
	})
	defer stop()
	awaitConsuming(b, entered)
	began := time.Now()
	proxy.Reset()
	took := awaitConsuming(b, entered).Sub(began)
	checkThousand(b, node.URL(), handled)
	return took
}

func checkThousand(b *testing.B, url string, handled <-chan string) {
	connection, err := amqp.Dial(url)
	if err != nil {
		b.Fatal(err)
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		b.Fatal(err)
	}
	for i := range subscriptions {
		err := channel.PublishWithContext(context.Background(), "", subscriptionQueue(i), false, false, amqp.Publishing{})
		if err != nil {
			b.Fatal(err)
		}
	}
	queues, late := map[string]bool{}, time.After(patience)
	for len(queues) < subscriptions {
		select {
		case queue := <-handled:
			queues[queue] = true
		case <-late:
			b.Fatalf("messages of %d queues were handled, want %d", len(queues), subscriptions)
		}
	}
}
