package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
)

// Handlers that publish on, while their connections are cut, both or one of them, the broker is killed and an alarm blocks
// what is published: every message arrives, in order for each key, and none is acknowledged before its confirm. In
// each of EVERHOP_TEST_ROUNDS (1) there are 20 cuts and a kill; the alarm lasts 2 s for each round. make publish-on
// plays 10.
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
	b := newBrokenPassing(t)
	stop := b.start()
	defer stop()
	stopFilling := b.fill()
	for range rounds {
		for i := range 20 {
			time.Sleep(100 * time.Millisecond)
			switch i % 3 {
			case 0:
				b.proxy.Reset()
				b.cuts["both"]++
			case 1:
				b.cut(passingName)
			case 2:
				b.cut(passingName + " (publishing)")
			}
		}
		b.must(b.node.Kill())
		b.must(b.node.Restart(t.Context()))
	}
	b.alarm(time.Duration(rounds) * 2 * time.Second)
	published := stopFilling()
	rabbittest.Eventually(t, 2*time.Minute, "all to be passed on", func() bool { return len(b.left()) == 0 })
	b.must(stop())
	for _, way := range passings {
		twice := b.wantAll(way, published)
		t.Logf("RabbitMQ %s, %s: cuts of %v, %d kills, an alarm of %d s: all of %d messages have arrived in order, %d of them twice",
			b.node.Version(), way, b.cuts, rounds, 2*rounds, published, twice)
	}
}

// brokenPassing is a passing on RabbitMQ, and what breaks it.
type brokenPassing struct {
	*testing.T
	*passing
	node  *rabbittest.Node
	proxy *rabbittest.Proxy
	cuts  map[string]int // by connection
}

func newBrokenPassing(t *testing.T) *brokenPassing {
	t.Helper()
	b := &brokenPassing{T: t, cuts: map[string]int{}}
	var err error
	b.node, err = rabbittest.Start(t.Context())
	b.must(err)
	t.Cleanup(func() { _ = b.node.Stop() })
	b.proxy, err = rabbittest.NewProxy(b.node.Addr())
	b.must(err)
	t.Cleanup(b.proxy.Close)
	log := &lines{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log:\n%s", log)
		}
	})
	b.passing = newPassing(t, consumer.Config{
		URLs: []string{b.proxy.URL(b.node.URL())}, Logger: zerolog.New(log).Level(zerolog.InfoLevel).With().Timestamp().Logger(),
	}, 5*time.Millisecond)
	return b
}

func (b *brokenPassing) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// fill publishes to both ways, through the same cuts, until it is told to stop.
func (b *brokenPassing) fill() (stop func() (each int)) {
	for queue, arguments := range map[string]map[string]any{
		"one.in": passingArguments, "batch.in": passingArguments, "one.out": nil, "batch.out": {"x-queue-type": "quorum"},
	} {
		b.must(b.Publisher().DeclareQueue(b.Context(), queue, broker.QueueOptions{Durable: true, Arguments: arguments}))
	}
	b.must(b.node.Sync(b.Context()))
	over := make(chan struct{})
	var sent []*publish.Confirmation
	var filling sync.WaitGroup
	filling.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-over:
				return
			case <-time.After(5 * time.Millisecond):
			}
			for _, way := range passings {
				c, err := b.Publisher().Send(context.Background(), &broker.Message{
					RoutingKey: way + ".in", Body: fmt.Append(nil, n), CorrelationID: keyOf(n),
				})
				if err != nil {
					b.Error(err)
					return
				}
				sent = append(sent, c)
			}
		}
	})
	return func() int {
		close(over)
		filling.Wait()
		for _, c := range sent {
			b.must(c.Wait(context.Background()))
		}
		return len(sent) / len(passings)
	}
}

// cutConnections ends the processes of a client's connections at the broker, and gives how many those were.
const cutConnections = `
length([exit(Pid, kill) || [{pid, Pid}, {client_properties, Properties}] <- rabbit_networking:connection_info_all([pid, client_properties]),
	lists:keymember(<<"%s">>, 3, Properties)]).
`

// cut ends the connection of a name, as soon as there is one.
func (b *brokenPassing) cut(name string) {
	b.Helper()
	rabbittest.Eventually(b, patience, "a connection of "+name, func() bool {
		n, err := b.node.Eval(b.Context(), fmt.Sprintf(cutConnections, name))
		return err == nil && n != "0"
	})
	b.cuts[name]++
}

// alarm lasts a while, in which nothing can be confirmed, and nothing may be acknowledged, though there is much to handle.
func (b *brokenPassing) alarm(lasts time.Duration) {
	b.Helper()
	for _, way := range passings {
		b.must(b.Subscription(way + ".in").Pause())
	}
	const enough = 50 // to be consumed under the alarm
	rabbittest.Eventually(b, patience, "messages wait", func() bool {
		left := b.left()
		return left["one"] > enough && left["batch"] > enough
	})
	b.must(b.node.MemoryAlarm(b.Context(), true))
	rabbittest.Eventually(b, patience, "the publisher is blocked", func() bool { return b.Publisher().State() == publish.Blocked })
	before := b.left()
	for now := (map[string]int)(nil); !maps.Equal(now, before); before = b.left() { // until what was confirmed is acknowledged
		now = before
		time.Sleep(time.Second)
	}
	for _, way := range passings {
		b.must(b.Subscription(way + ".in").Resume())
	}
	time.Sleep(lasts)
	now := b.left()
	for _, way := range passings {
		if now[way] != before[way] || now[way] < enough {
			b.Errorf("%s: %d messages were left, and %d under the alarm", way, before[way], now[way])
		}
	}
	b.must(b.node.MemoryAlarm(b.Context(), false))
}

// left is how many messages are not acknowledged.
func (b *brokenPassing) left() map[string]int {
	b.Helper()
	left := map[string]int{}
	for _, way := range passings {
		ready, unacked, err := b.node.Depth(b.Context(), way+".in")
		b.must(err)
		if n := ready + unacked; n > 0 {
			left[way] = n
		}
	}
	return left
}

// wantAll has all messages wait at the end of a way, the first of each in its key's order.
func (b *brokenPassing) wantAll(way string, n int) (twice int) {
	b.Helper()
	a := newArrivals()
	arrived := make(chan bool) // whether all are there; how many a quorum queue holds it tells seconds later
	reader, err := consumer.New(consumer.Config{
		URLs: []string{b.node.URL()},
		Subscriptions: []consumer.Subscription{{Queue: way + ".out", Handler: func(ctx context.Context, d *consumer.Delivery) error {
			a.take(b.T, string(d.Body), way+" "+d.CorrelationID)
			select {
			case arrived <- len(a.seen) == n:
			case <-ctx.Done():
			}
			return nil
		}}},
	})
	b.must(err)
	ended := make(chan error, 1)
	go func() { ended <- reader.Run(context.Background()) }()
	for patience := patience; patience > 0; {
		select {
		case all := <-arrived:
			if all {
				patience = 2 * time.Second // for what is there twice
			}
		case <-time.After(patience):
			patience = 0
		}
	}
	b.must(errors.Join(reader.Stop(context.Background()), <-ended))
	if len(a.seen) != n {
		b.Errorf("%s: %d of %d messages have arrived", way, len(a.seen), n)
	}
	return a.twice
}
