package prom

import (
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// fake is a consumer that is as a test wants it.
type fake struct {
	status    consumer.Status
	subs      []consumer.SubscriptionStatus
	publisher publish.Status
}

func (f *fake) Status() consumer.Status { return f.status }

func (f *fake) PublisherStatus() (publish.Status, bool) { return f.publisher, f.publisher.Name != "" }

func (f *fake) subscriptions(consumer.Status) iter.Seq[consumer.SubscriptionStatus] {
	return slices.Values(f.subs)
}

type fakePublisher publish.Status

func (f fakePublisher) Status() publish.Status { return publish.Status(f) }

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// busy is a consumer of so many queues, of which something is to be told everywhere.
func busy(queues int) *fake {
	f := &fake{status: consumer.Status{
		Name: "shop", Time: noon, State: consumer.Consuming, Since: noon.Add(-time.Hour),
		NotReady: []consumer.Reason{{Code: consumer.ReasonApart, Queues: 1, Queue: "orders-1"}},
		Connections: []consumer.ConnectionStatus{
			{Home: true, Endpoint: "rabbit1:5672", Generation: 3, Open: true, Since: noon.Add(-time.Hour), Silence: 1500 * time.Millisecond},
			{Generation: 5, Attempt: 7, Class: "overdue", Error: "consume: timed out"},
			{Endpoint: "rabbit2:5672", Generation: 4, Open: true, BlockedSince: noon.Add(-30 * time.Second)},
		},
	}}
	for i := range queues {
		sub := consumer.SubscriptionStatus{
			Queue: fmt.Sprintf("orders-%d", i), Doing: consumer.DoingConsume, Prefetch: 32, MaxPrefetch: 64, Concurrency: 4,
			InFlight: 3, Waiting: 20, Aside: 1,
			OldestInFlight: noon.Add(-2 * time.Second), LastDelivery: noon.Add(-time.Second), LastSettled: noon.Add(-1500 * time.Millisecond),
			Stats: consumer.Stats{
				Acknowledged: 1000, Failed: 12, Kept: 3, Requeued: 4, Saved: 1, Rejected: 5, Delayed: 6, Parked: 2,
				Deduplicated: 7, ReturnedUnstarted: 8, Stale: 9,
			},
			Handling: consumer.HandlingTime{Sum: 90 * time.Second},
		}
		for i := range handlingBounds {
			sub.Handling.Histogram = append(sub.Handling.Histogram, uint64(10*i))
		}
		sub.Handling.Histogram = append(sub.Handling.Histogram, 1012)
		sub.Handling.Fine = slices.Repeat([]uint64{1, 0, 30, 0, 0, 0, 5}, 10)
		f.subs = append(f.subs, sub)
	}
	if queues > 1 {
		f.subs[1].Doing, f.subs[1].Apart, f.subs[1].OldestInFlight, f.subs[1].LastSettled = consumer.DoingRevive, "timed out", time.Time{}, time.Time{}
	}
	return f
}

// collectorOf has a consumer and a publisher, and events of both.
func collectorOf(t testing.TB, f *fake, queues int) *Collector {
	t.Helper()
	c := New(Config{Queues: queues})
	if err := c.add(f); err != nil {
		t.Fatal(err)
	}
	err := c.addPublisher(fakePublisher{
		Name: "shop", Time: noon, State: publish.Blocked, Since: noon.Add(-time.Minute), Endpoint: "rabbit1:5672", Attempt: 2, Class: "network",
		Silence: time.Second, OldestUnconfirmed: noon.Add(-time.Minute),
		Stats: publish.Stats{
			Confirmed: 100, Unroutable: 1, Refused: 2, NotSent: 3, NotKnown: 4, Resent: 5, Waiting: 6, Unconfirmed: 7,
			BlockedSince: noon.Add(-time.Minute),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range lived(t, consumer.Lifecycle(), consumer.Connect, consumer.Connected, consumer.DrainTimeout, consumer.HeartbeatOK,
		consumer.ConnectionError, consumer.ReviveFailed, consumer.Revived) {
		c.Observe(e)
	}
	for _, e := range lived(t, publish.Lifecycle(), publish.Connect, publish.Connected, publish.ConnectionBlocked) {
		c.ObservePublisher(e)
	}
	return c
}

// lived are the events of a machine named shop that these triggers were fired at, a second apart.
func lived(t testing.TB, table *fsm.Table, triggers ...fsm.Trigger) (log []fsm.Event) {
	t.Helper()
	now := noon
	ring := fsm.NewRing(1000)
	m, err := fsm.New(table, fsm.Options{Name: "shop", Journal: ring, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, trigger := range triggers {
		now = now.Add(time.Second)
		e, err := m.Fire(trigger, consumer.Evidence{Class: "network"}.Event())
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, e)
	}
	return log
}

func gather(t testing.TB, c *Collector) []*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// valueOf is a gauge or counter with these labels, which are name, value, name, value and so on.
func valueOf(t testing.TB, families []*dto.MetricFamily, name string, pairs ...string) float64 {
	t.Helper()
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			if has(m, pairs) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Errorf("there is no %s %q", name, pairs)
	return -1
}

func has(m *dto.Metric, pairs []string) bool {
	for i := 0; i < len(pairs); i += 2 {
		if !slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == pairs[i] && l.GetValue() == pairs[i+1] }) {
			return false
		}
	}
	return true
}
