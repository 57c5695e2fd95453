package glass

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
	"github.com/everhop/everhop/consumer/publish"
)

// now is when all documents were made: a night.
var now = time.Date(2026, 11, 30, 3, 14, 22, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// well is a consumer of ten queues that all is well with.
func well() *health.Document {
	doc := &health.Document{
		Status: consumer.Status{
			Name: "shop", Time: now, State: consumer.Consuming, Since: ago(3*time.Hour + 12*time.Minute),
			Connections: []consumer.ConnectionStatus{{
				Home: true, Endpoint: "mq1:5672", Generation: 3, Open: true, Since: ago(3*time.Hour + 12*time.Minute),
				Silence: 300 * time.Millisecond, Subscriptions: 10,
			}},
		},
		Ready: true, Alive: true, Version: "v1.2.0",
	}
	for i, queue := range []string{"orders", "payments", "mails", "invoices", "refunds", "stock", "prices", "carts", "search", "audit"} {
		doc.Subscriptions = append(doc.Subscriptions, consumer.SubscriptionStatus{
			Queue: queue, Doing: consumer.DoingConsume, Since: doc.Since, Generation: 3, Prefetch: 64, MaxPrefetch: 64, Concurrency: 4,
			InFlight: i % 3, Waiting: 7 * i, LastDelivery: ago(time.Second), LastSettled: ago(time.Second),
			OldestInFlight: map[bool]time.Time{true: ago(80 * time.Millisecond)}[i%3 > 0],
			Stats:          consumer.Stats{Acknowledged: uint64(1000*i*i + 12)},
			Handling:       consumer.HandlingTime{Calls: 900, P50: 12 * time.Millisecond, P95: 40 * time.Millisecond, P99: 110 * time.Millisecond},
		})
	}
	return doc
}

// trouble is what ten queues can be in.
var trouble = []struct {
	name string
	make func(doc *health.Document)
}{
	{"broker_away", func(doc *health.Document) {
		doc.State, doc.Since, doc.Ready = consumer.Reviving, ago(4*time.Minute+12*time.Second), false
		doc.NotReady = []consumer.Reason{{Code: consumer.ReasonReviving, Text: "the connection is lost; attempt 15 begins in 8 s", Since: doc.Since}}
		doc.Connections[0] = consumer.ConnectionStatus{
			Home: true, Generation: 3, Since: doc.Since, Attempt: 14, NextAttempt: now.Add(8 * time.Second),
			Error: "open at mq1:5672: dial tcp 10.0.0.5:5672: connect: connection refused", Class: "network", Subscriptions: 10,
		}
		for i := range doc.Subscriptions {
			s := &doc.Subscriptions[i]
			s.Doing, s.Since, s.InFlight, s.Waiting, s.OldestInFlight = consumer.DoingRevive, doc.Since, 0, 0, time.Time{}
			s.Why = doc.Connections[0].Error
			s.LastSettled, s.Handling = doc.Since, consumer.HandlingTime{}
		}
	}},
	{"queue_deleted", func(doc *health.Document) {
		s := &doc.Subscriptions[6]
		doc.Ready = false
		doc.NotReady = []consumer.Reason{{Code: consumer.ReasonApart, Text: "on a connection of its own, and not consumed there", Queues: 1, Queue: s.Queue, Since: ago(9 * time.Minute)}}
		doc.Connections[0].Subscriptions = 9
		doc.Connections = append(doc.Connections, consumer.ConnectionStatus{
			Endpoint: "mq1:5672", Generation: 4, Open: true, Since: ago(8 * time.Minute), Silence: time.Second, Attempt: 17, NextAttempt: now.Add(21 * time.Second),
			Error: "Exception (404) Reason: \"NOT_FOUND - no queue 'prices' in vhost '/'\"", Class: "not_found", Subscriptions: 1,
		})
		s.Doing, s.Since, s.Generation, s.Class = consumer.DoingRevive, ago(9*time.Minute), 4, "not_found"
		s.Why, s.Apart = doc.Connections[1].Error, "its queue was deleted"
		s.InFlight, s.Waiting, s.OldestInFlight, s.LastSettled, s.Handling = 0, 0, time.Time{}, ago(9*time.Minute), consumer.HandlingTime{}
	}},
	{"handler_hung", func(doc *health.Document) {
		s := &doc.Subscriptions[2]
		s.InFlight, s.Waiting, s.OldestInFlight, s.LastSettled, s.LastDelivery = 4, 60, ago(25*time.Minute), ago(24*time.Minute), ago(24*time.Minute)
		s.Handling = consumer.HandlingTime{}
		s = &doc.Subscriptions[8]
		s.InFlight, s.OldestInFlight = 1, ago(3*time.Minute)
	}},
	{"breaker_open", func(doc *health.Document) {
		s := &doc.Subscriptions[1]
		doc.Ready = false
		doc.NotReady = []consumer.Reason{{Code: consumer.ReasonBreaker, Text: "its breaker is open", Queues: 1, Queue: s.Queue, Since: ago(4 * time.Minute)}}
		s.Doing, s.Since, s.InFlight, s.Waiting, s.Aside, s.OldestInFlight = consumer.DoingBreak, ago(4*time.Minute), 0, 60, 4, time.Time{}
		s.Why = "100 failures in a row, the last: dial tcp 10.0.0.7:5432: connect: connection refused; it goes on at 03:14:40"
		s.LastSettled, s.Stats.Failed, s.Stats.Kept = ago(4*time.Minute), 112, 4
	}},
	{"poison", func(doc *health.Document) {
		s := &doc.Subscriptions[0]
		s.Stats.Failed, s.Stats.Parked = 40, 5
		doc.Subscriptions[9].Stats.Rejected = 1
	}},
	{"blocked", func(doc *health.Document) {
		doc.Publisher = &publish.Status{
			Name: "shop-publisher", Time: now, State: publish.Blocked, Since: ago(3 * time.Minute), Endpoint: "mq1:5672", Generation: 1,
			BlockedReason: "low on memory", OldestUnconfirmed: ago(179 * time.Second),
			Stats: publish.Stats{Confirmed: 8812, Unconfirmed: 256, Waiting: 3, BlockedSince: ago(3 * time.Minute)},
		}
		doc.Subscriptions[4].Aside = 40
	}},
	{"permissions", func(doc *health.Document) {
		doc.Ready = false
		doc.NotReady = []consumer.Reason{{Code: consumer.ReasonGivenUp, Text: "tried now and then only", Queues: 2, Queue: "audit", Since: ago(15 * time.Minute)}}
		doc.Connections[0].Subscriptions = 8
		doc.Connections = append(doc.Connections, consumer.ConnectionStatus{
			Endpoint: "mq1:5672", Generation: 5, Open: true, Since: ago(15 * time.Minute), Silence: time.Second, Attempt: 4, NextAttempt: now.Add(4 * time.Minute), Class: "auth", Subscriptions: 2,
		})
		for _, i := range []int{8, 9} {
			s := &doc.Subscriptions[i]
			s.Doing, s.Since, s.Class, s.Generation = consumer.DoingTry, ago(15*time.Minute), "auth", 5
			s.Why = fmt.Sprintf("Exception (403) Reason: \"ACCESS_REFUSED - read access to queue '%s' in vhost '/' refused for user 'shop'\"", s.Queue)
			s.InFlight, s.Waiting, s.OldestInFlight, s.LastSettled, s.Stats, s.Handling = 0, 0, time.Time{}, time.Time{}, consumer.Stats{}, consumer.HandlingTime{}
		}
	}},
}

// document is as a consumer sends it.
func document(t *testing.T, changes ...func(*health.Document)) Look {
	t.Helper()
	doc := well()
	for _, change := range changes {
		change(doc)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return Look{Address: "127.0.0.1:9090", Doc: got, JSON: text}
}
