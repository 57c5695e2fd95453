package health_test

import (
	"fmt"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
	"github.com/everhop/everhop/consumer/publish"
)

// morning is when the made-up documents are of.
var morning = time.Date(2026, 11, 30, 3, 14, 0, 0, time.UTC)

// made is a document of a consumer that is well, with so many queues.
func made(now time.Time, queues int) health.Document {
	d := health.Document{
		Status: consumer.Status{
			Name: "shop", Time: now, State: consumer.Consuming, Since: now.Add(-2 * time.Hour),
			Connections: []consumer.ConnectionStatus{{
				Home: true, Endpoint: "rabbit-1.example.com:5672", Generation: 3, Open: true, Since: now.Add(-2 * time.Hour),
				Silence: 300 * time.Millisecond, Subscriptions: queues,
			}},
		},
		Ready: true, Alive: true, Version: "v1.2.3",
	}
	names := []string{"orders", "invoices", "payments", "mails", "stock", "returns", "audit", "search-index", "thumbnails", "webhooks"}
	for i := range queues {
		name := names[i%len(names)]
		if i >= len(names) {
			name = fmt.Sprintf("%s.%d", name, i/len(names))
		}
		n := uint64(10_000 * (1 + i%7))
		d.Subscriptions = append(d.Subscriptions, consumer.SubscriptionStatus{
			Queue: name, Type: "quorum", Doing: consumer.DoingConsume, Since: now.Add(-2 * time.Hour), Generation: 3,
			Prefetch: 64, MaxPrefetch: 64, Concurrency: 4, InFlight: i % 3, Waiting: i % 5,
			LastDelivery: now, LastSettled: now,
			Stats: consumer.Stats{Acknowledged: n, Failed: uint64(i % 2)},
			Handling: consumer.HandlingTime{
				Calls: n / 10, P50: 3 * time.Millisecond, P95: 12 * time.Millisecond, P99: 80 * time.Millisecond,
			},
		})
		if s := &d.Subscriptions[i]; s.InFlight > 0 {
			s.OldestInFlight = now.Add(-20 * time.Millisecond)
		}
	}
	return d
}

// lost takes the connection away.
func lost(d *health.Document, since time.Time) {
	now := d.Time
	d.State, d.Since = consumer.Reviving, since
	d.Ready = false
	d.NotReady = []consumer.Reason{{Code: consumer.ReasonReviving, Text: "the connection is lost", Since: since}}
	d.Connections[0] = consumer.ConnectionStatus{
		Home: true, Generation: 3, Since: since, Attempt: 5, NextAttempt: now.Add(400 * time.Millisecond),
		Error: "dial: connect: connection refused", Class: "network", Subscriptions: len(d.Subscriptions),
	}
	for i := range d.Subscriptions {
		s := &d.Subscriptions[i]
		s.Doing, s.Since, s.Why = consumer.DoingRevive, since, "the connection is lost"
	}
}

// unconsumed has a subscription without a consumer at the broker.
func unconsumed(d *health.Document, i int, class, why string) {
	s := &d.Subscriptions[i]
	s.Doing, s.Since, s.Class, s.Why, s.Apart = consumer.DoingRevive, d.Time.Add(-3*time.Minute), class, why, "it cannot be consumed"
	s.Generation = 4
	d.Ready = false
	d.NotReady = []consumer.Reason{{Code: consumer.ReasonApart, Text: why, Queues: 1, Queue: s.Queue, Since: s.Since}}
	d.Connections = append(d.Connections, consumer.ConnectionStatus{
		Endpoint: "rabbit-1.example.com:5672", Generation: 4, Open: true, Since: s.Since, Attempt: 12,
		NextAttempt: d.Time.Add(21 * time.Second), Error: why, Class: class, Subscriptions: 1,
	})
}

func publisher(now time.Time) *publish.Status {
	return &publish.Status{
		Name: "shop (publishing)", Time: now, State: publish.Publishing, Since: now.Add(-time.Hour),
		Endpoint: "rabbit-1.example.com:5672", Generation: 1, Stats: publish.Stats{Confirmed: 4711, Resent: 3, Unconfirmed: 2},
		OldestUnconfirmed: now.Add(-3 * time.Millisecond),
	}
}

// trouble is one of the eight that a reader is to know at once.
type trouble struct {
	name  string
	make  func(*health.Document)
	word  string
	queue string
	why   map[string]string // by queue: of its poison
}

// eight are made of a document with ten queues, which lists nothing else.
var eight = []trouble{
	{name: "away", word: "broker away", make: func(d *health.Document) { lost(d, d.Time.Add(-4*time.Minute)) }},
	{name: "deleted", word: "queue missing", queue: "payments", make: func(d *health.Document) {
		unconsumed(d, 2, "not_found", "no queue 'payments' in vhost '/'")
	}},
	{name: "hung", word: "handler hangs", queue: "orders", make: func(d *health.Document) {
		s := &d.Subscriptions[0]
		s.OldestInFlight, s.InFlight, s.Waiting, s.LastSettled = d.Time.Add(-4*time.Minute), 4, 60, d.Time.Add(-4*time.Minute)
	}},
	{name: "breaker", word: "breaker open", queue: "mails", make: func(d *health.Document) {
		s := &d.Subscriptions[3]
		s.Until = d.Time.Add(18 * time.Second)
		s.Doing, s.Since, s.Why = consumer.DoingBreak, d.Time.Add(-12*time.Second), "10 failures in a row, the last one: smtp: connection refused"
		d.Ready = false
		d.NotReady = []consumer.Reason{{Code: consumer.ReasonBreaker, Text: s.Why, Queues: 1, Queue: s.Queue, Since: s.Since}}
	}},
	{
		name: "poison", word: "poison", queue: "invoices", make: func(d *health.Document) {
			d.Subscriptions[1].Stats.Parked, d.Subscriptions[1].Stats.Failed = 5, 41
		},
		why: map[string]string{"invoices": `insert into "invoices" violates foreign key constraint "customer"`},
	},
	{name: "blocked", word: "broker blocks", make: func(d *health.Document) {
		d.Connections[0].BlockedSince, d.Connections[0].BlockedReason = d.Time.Add(-90*time.Second), "low on memory"
	}},
	{name: "permission", word: "permission missing", queue: "audit", make: func(d *health.Document) {
		unconsumed(d, 6, "auth", "read access to queue 'audit' in vhost '/' refused for user 'shop'")
	}},
	{name: "frozen", word: "process stood still", make: func(d *health.Document) {
		d.Stalls = consumer.Stalls{Count: 1, Last: d.Time.Add(-time.Minute), Took: 42 * time.Second}
	}},
}
