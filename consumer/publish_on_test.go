package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
)

// passing is a consumer that publishes all that it consumes into another queue: from "one.in" to "one.out" message by
// message, and from "batch.in" to "batch.out" in batches that Commit confirms.
type passing struct {
	*consumer.Consumer
	batch publish.Batch
}

// passings are the ways from one queue to another.
var passings = []string{"one", "batch"}

const (
	passingName = "passing" // of its connection at the broker
	passingKeys = 5         // whose order is kept
)

// passingArguments are those of the queues that are consumed. Without a single active consumer, RabbitMQ may give the
// next connection what is behind before it has noticed that the last one is gone, and taken back what that had.
var passingArguments = map[string]any{"x-single-active-consumer": true}

// newPassing needs its connection to be configured. A handler takes a while.
func newPassing(t *testing.T, config consumer.Config, while time.Duration) *passing {
	t.Helper()
	p := &passing{}
	config.Name = passingName
	for _, way := range passings {
		s := consumer.Subscription{
			Queue: way + ".in", Concurrency: passingKeys, Declare: &broker.QueueOptions{Durable: true, Arguments: passingArguments},
			OrderingKey: func(d *consumer.Delivery) string { return d.CorrelationID },
			Handler: func(ctx context.Context, d *consumer.Delivery) error {
				time.Sleep(while)
				return p.Publisher().Publish(ctx, passedOn(d, way))
			},
		}
		if way == "batch" {
			s.Handler = func(ctx context.Context, d *consumer.Delivery) error {
				time.Sleep(while)
				return p.batch.Send(ctx, p.Publisher(), passedOn(d, way))
			}
			s.Commit = p.batch.Commit
		}
		config.Subscriptions = append(config.Subscriptions, s)
	}
	var err error
	if p.Consumer, err = consumer.New(config); err != nil {
		t.Fatal(err)
	}
	return p
}

// start runs it until it is stopped; more than once does no harm.
func (p *passing) start() (stop func() error) {
	ended := make(chan error, 1)
	go func() { ended <- p.Run(context.Background()) }()
	return sync.OnceValue(func() error { return errors.Join(p.Stop(context.Background()), <-ended) })
}

func passedOn(d *consumer.Delivery, way string) *broker.Message {
	return &broker.Message{RoutingKey: way + ".out", Body: d.Body, MessageID: d.MessageID, CorrelationID: d.CorrelationID}
}

// keyOf is the key of the nth message.
func keyOf(n int) string { return fmt.Sprint("key", n%passingKeys) }

// arrivals are what came out of a queue, in its order.
type arrivals struct {
	seen  map[string]bool
	last  map[string]int // by key
	twice int
}

func newArrivals() *arrivals { return &arrivals{seen: map[string]bool{}, last: map[string]int{}} }

// take holds the first copy of each message against the order of its key.
func (a *arrivals) take(t *testing.T, body, key string) {
	t.Helper()
	if a.seen[body] {
		a.twice++
		return
	}
	a.seen[body] = true
	n, err := strconv.Atoi(body)
	if before, there := a.last[key]; there && before > n || err != nil {
		t.Errorf("%s: %q comes behind %d", key, body, before)
	}
	a.last[key] = n
}

// Handlers that publish on, through 200 cuts of both connections or of either, 10 broker kills and an alarm of 20 s:
// every message arrives, in order for each key, and none is acknowledged before the broker has confirmed what was made
// of it.
func TestPublishOn(t *testing.T) {
	messages, most := 5000, 200
	if consumer.RaceDetector {
		messages, most = 500, 40
	}
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		p := newPassing(t, consumer.Config{URLs: []string{server.URL()}, Dial: server.Dial}, 20*time.Millisecond)
		for _, way := range passings {
			if err := errors.Join(server.DeclareQueue(way+".in", passingArguments), server.DeclareQueue(way+".out", nil)); err != nil {
				t.Fatal(err)
			}
			for i := range messages {
				if err := server.PublishMessage(way+".in", brokertest.Message{Body: fmt.Append(nil, i), CorrelationID: keyOf(i)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		stop := p.start()
		defer stop()
		targets := []brokertest.Moment{brokertest.Now(), brokertest.Now().Of(passingName), brokertest.Now().Of(passingName + " (publishing)")}
		began, kills := time.Now(), 0
		for cuts := 1; cuts <= most; cuts++ {
			time.Sleep(100 * time.Millisecond)
			server.Inject(targets[cuts%len(targets)], brokertest.Reset())
			switch {
			case cuts%20 == 10:
				server.Inject(brokertest.Now(), brokertest.Reset()) // without a word
				server.StopApp()
				time.Sleep(500 * time.Millisecond)
				if err := server.StartApp(); err != nil {
					t.Fatal(err)
				}
				kills++
			case cuts%20 == 19:
				wantNoAckUnconfirmed(t, server)
			case cuts == 25:
				server.Alarm("disk")
				time.Sleep(20 * time.Second)
				server.ClearAlarm()
			}
			wantAckedStored(t, server)
		}
		for left := 1; left > 0; time.Sleep(100 * time.Millisecond) {
			left = 0
			for _, way := range passings {
				q, _ := server.Queue(way + ".in")
				left += q.Ready + q.Unacknowledged
			}
			if time.Since(began) > time.Hour {
				t.Fatalf("%d are left", left)
			}
		}
		wantAckedStored(t, server)
		if err := stop(); err != nil {
			t.Error(err)
		}
		for _, way := range passings {
			a := newArrivals()
			for _, m := range server.Messages(way + ".out") {
				a.take(t, string(m.Body), m.CorrelationID)
			}
			t.Logf("%s: %d cuts, %d kills, %d of %d messages twice", way, most, kills, a.twice, messages)
			if len(a.seen) != messages {
				t.Errorf("%s: %d of %d are there", way, len(a.seen), messages)
			}
		}
	})
}

// wantAckedStored: what was acknowledged is stored where it was to go.
func wantAckedStored(t *testing.T, server *brokertest.Server) {
	t.Helper()
	settled := server.Settlements() // before it is looked at what is stored
	stored := map[string]bool{}
	for _, way := range passings {
		for _, m := range server.Messages(way + ".out") {
			stored[way+string(m.Body)] = true
		}
	}
	for _, s := range settled {
		way := strings.TrimSuffix(s.Queue, ".in")
		if s.Method == "basic.ack" && !stored[way+string(s.Body)] {
			t.Fatalf("%s was acknowledged in %s, and is not stored", s.Body, s.Queue)
		}
	}
}

// wantNoAckUnconfirmed: as long as the broker confirms nothing, nothing is acknowledged, though it is stored.
func wantNoAckUnconfirmed(t *testing.T, server *brokertest.Server) {
	t.Helper()
	count := func() (acked, stored int) {
		for _, way := range passings {
			q, _ := server.Queue(way + ".in")
			acked += q.Acknowledged
			stored += len(server.Messages(way + ".out"))
		}
		return acked, stored
	}
	_, before := count()
	for _, way := range passings {
		server.WithholdConfirms(way + ".out")
		defer server.ReleaseConfirms(way + ".out")
	}
	time.Sleep(100 * time.Millisecond) // what is confirmed is acknowledged
	acked, _ := count()
	time.Sleep(2 * time.Second)
	now, stored := count()
	if now != acked {
		t.Fatalf("%d were acknowledged while nothing was confirmed", now-acked)
	}
	if q, _ := server.Queue("one.in"); q.Ready > 0 && stored == before {
		t.Error("nothing was published meanwhile")
	}
}

// What is refused is sent again by the next Commit, until it is taken; nothing is acknowledged before, and that is told
// ever more seldom.
func TestBatchRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		log := &lines{}
		p := newPassing(t, consumer.Config{URLs: []string{server.URL()}, Dial: server.Dial, Logger: zerolog.New(log)}, 0)
		if err := errors.Join(server.DeclareQueue("one.in", passingArguments), server.DeclareQueue("batch.in", passingArguments)); err != nil {
			t.Fatal(err)
		}
		bodies := []string{"0", "1", "2", "3"}
		if err := server.Publish("batch.in", bodies...); err != nil {
			t.Fatal(err)
		}
		stop := p.start()
		defer stop()
		time.Sleep(time.Minute)
		if q, _ := server.Queue("batch.in"); q.Acknowledged != 0 || q.Unacknowledged != len(bodies) {
			t.Errorf("nothing was stored: %+v", q)
		}
		if n := strings.Count(log.String(), "commit failed"); n < 1 || n > 6 { // of 60
			t.Errorf("told %d times:\n%s", n, log)
		}
		if err := server.DeclareQueue("batch.out", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if q, _ := server.Queue("batch.in"); q.Acknowledged != len(bodies) {
			t.Errorf("all could be stored: %+v", q)
		}
		var got []string
		for _, m := range server.Messages("batch.out") {
			got = append(got, string(m.Body))
		}
		if !slices.Equal(got, bodies) {
			t.Errorf("%v, want %v", got, bodies)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
