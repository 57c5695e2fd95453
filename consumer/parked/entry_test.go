package parked_test

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/parked"
)

func deaths(list ...any) map[string]any { return map[string]any{"x-death": list} }

func death(queue, reason string, count int64, at time.Time) map[string]any {
	return map[string]any{"queue": queue, "reason": reason, "count": count, "time": at, "exchange": "", "routing-keys": []any{queue}}
}

func TestEntry(t *testing.T) {
	later := failedAt.Add(time.Hour)
	with := func(h map[string]any, more map[string]any) map[string]any {
		for name, value := range more {
			h[name] = value
		}
		return h
	}
	tests := []struct {
		name    string
		headers map[string]any
		want    parked.Entry
	}{
		{"nothing is known", nil, parked.Entry{}},
		{"parked", headers("orders", "bad\nexit status 1"),
			parked.Entry{Error: "bad\nexit status 1", From: "orders", Times: 4, First: failedAt.Add(-time.Minute), Last: failedAt}},
		{"parked again by a consumer of the parking queue",
			with(headers("orders.parked", "bad"), map[string]any{consumer.HeaderOriginQueue: "orders"}),
			parked.Entry{Error: "bad", From: "orders", Times: 4, First: failedAt.Add(-time.Minute), Last: failedAt}},
		{"likewise, where its name tells nothing", with(headers("bin", "bad"), map[string]any{consumer.HeaderOriginQueue: "orders"}),
			parked.Entry{Error: "bad", From: "orders", Times: 4, First: failedAt.Add(-time.Minute), Last: failedAt}},
		{"dead-lettered", deaths(death("orders", "rejected", 3, failedAt)),
			parked.Entry{Error: "rejected", From: "orders", Times: 3, First: failedAt, Last: failedAt}},
		{"dead-lettered twice", deaths(death("orders", "rejected", 2, later), death("wait", "expired", 2, failedAt)),
			parked.Entry{Error: "rejected", From: "orders", Times: 4, First: failedAt, Last: later}},
		{"parked, and dead-lettered from there", with(headers("orders", "bad"), deaths(death("orders.parked", "expired", 1, later))),
			parked.Entry{Error: "bad", From: "orders", Times: 4, First: failedAt.Add(-time.Minute), Last: failedAt}},
		{"tried again, and dead-lettered", with(headers("orders", "bad"), deaths(death("dead", "expired", 1, later), death("orders", "rejected", 1, later))),
			parked.Entry{Error: "bad", From: "orders", Times: 4, First: failedAt.Add(-time.Minute), Last: failedAt}},
		{"parked, moved, and dead-lettered from there",
			with(headers("bin", "bad"), with(deaths(death("invoices", "rejected", 1, later)), map[string]any{consumer.HeaderOriginQueue: "orders", consumer.HeaderParkingQueue: "bin"})),
			parked.Entry{Error: "rejected", From: "invoices", Times: 1, First: later, Last: later}},
		{"x-death was taken off", map[string]any{"x-first-death-queue": "orders", "x-first-death-reason": "maxlen"},
			parked.Entry{Error: "maxlen", From: "orders"}},
		{"nonsense", map[string]any{"x-death": []any{1, map[string]any{"queue": 5, "count": "x", "time": 7}}, consumer.HeaderAttempts: "a"}, parked.Entry{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &broker.Delivery{Headers: tt.headers}
			tt.want.Message = d
			if diff := cmp.Diff(&tt.want, parked.NewEntry(d)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAgain(t *testing.T) {
	full := func() *broker.Delivery {
		h := headers("orders", "bad")
		h[consumer.HeaderExchange], h[consumer.HeaderRoutingKey] = "events", "order.created"
		h[consumer.HeaderExpiration], h[consumer.HeaderUserID], h["CC"] = "60000", "app", []any{"copy"}
		h[consumer.HeaderParkingQueue] = "orders.parked"
		h[consumer.HeaderOriginQueue], h["x-delivery-count"], h[broker.HeaderPublishID] = "orders", int64(3), "p"
		return &broker.Delivery{
			Body: []byte("b"), Headers: h, ContentType: "t", ContentEncoding: "e", Priority: 3, CorrelationID: "c", ReplyTo: "r",
			MessageID: "m", Timestamp: failedAt, Type: "y", AppID: "a", RoutingKey: "orders.parked", Redelivered: true, DeliveryTag: 7,
		}
	}
	kept := func(more map[string]any) map[string]any {
		h := map[string]any{
			"own": "kept", consumer.HeaderFirstFailed: failedAt.Add(-time.Minute), consumer.HeaderExchange: "events",
			consumer.HeaderRoutingKey: "order.created", consumer.HeaderCC: []any{"copy"},
		}
		for name, value := range more {
			h[name] = value
		}
		return h
	}
	want := broker.Message{
		RoutingKey: "orders", Body: []byte("b"), ContentType: "t", ContentEncoding: "e", Priority: 3, CorrelationID: "c", ReplyTo: "r",
		MessageID: "m", Timestamp: failedAt, Type: "y", AppID: "a",
	}
	same := func(d *broker.Delivery, user string, want broker.Message) {
		t.Helper()
		got, err := parked.Again(parked.NewEntry(d), user)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	mine := want
	mine.Headers, mine.Expiration, mine.UserID = kept(nil), "60000", "app"
	same(full(), "app", mine)

	others := want
	others.Headers, others.Expiration = kept(map[string]any{consumer.HeaderUserID: "app"}), "60000"
	same(full(), "guest", others)

	deadly := full()
	deadly.Headers[consumer.HeaderExpiration] = "0"
	waits := others
	waits.Headers, waits.Expiration = kept(map[string]any{consumer.HeaderUserID: "app", consumer.HeaderExpiration: "0"}), ""
	same(deadly, "guest", waits)

	bare := &broker.Delivery{Headers: deaths(death("orders", "rejected", 1, failedAt))}
	same(bare, "guest", broker.Message{RoutingKey: "orders", Headers: map[string]any{}, NoMessageID: true, NoTimestamp: true})
}

func TestFilter(t *testing.T) {
	e := parked.NewEntry(&broker.Delivery{MessageID: "m", Headers: headers("orders", "bad price: 7")})
	tests := []struct {
		name   string
		filter parked.Filter
		want   bool
	}{
		{"all", parked.Filter{}, true},
		{"error", parked.Filter{Error: regexp.MustCompile(`price: \d$`)}, true},
		{"another error", parked.Filter{Error: regexp.MustCompile("stock")}, false},
		{"since then", parked.Filter{Since: failedAt}, true},
		{"since later", parked.Filter{Since: failedAt.Add(time.Second)}, false},
		{"from", parked.Filter{From: "orders"}, true},
		{"from elsewhere", parked.Filter{From: "billing"}, false},
		{"id", parked.Filter{ID: "m"}, true},
		{"another id", parked.Filter{ID: "n"}, false},
		{"headers", parked.Filter{Headers: map[string]string{"own": "kept", consumer.HeaderAttempts: "4"}}, true},
		{"another value", parked.Filter{Headers: map[string]string{"own": "lost"}}, false},
		{"no such header", parked.Filter{Headers: map[string]string{"missing": "<nil>"}}, false},
		{"both", parked.Filter{From: "orders", ID: "n"}, false},
	}
	for _, tt := range tests {
		if got := tt.filter.Match(e); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
	unknown := parked.NewEntry(&broker.Delivery{})
	if since := (parked.Filter{Since: failedAt}); since.Match(unknown) {
		t.Error("it matches without a time")
	}
}

func TestFold(t *testing.T) {
	for text, want := range map[string]string{
		"order 4711: no stock":                                 "order ...: no stock",
		"dial tcp 10.0.0.7:5432: refused after 1.5s":           "dial tcp ...: refused after ...s",
		"user 0b9a4f5e-7d1c-4c8a-9a55-2f0e6a9d1b11 is unknown": "user ... is unknown",
		"object 5f3e9c1ab2 of deadbeef":                        "object ... of deadbeef",
		"at 0xc000123abc: nil pointer":                         "at ...: nil pointer",
		"2026-01-31T12:00:00Z timeout":                         "...-...-...T...Z timeout",
		"exit status 7":                                        "exit status ...",
		"":                                                     "",
	} {
		if got := parked.Fold(text); got != want {
			t.Errorf("%q: %q; want %q", text, got, want)
		}
	}
}

func TestGroups(t *testing.T) {
	var groups parked.Groups
	add := func(queue, err string, at time.Time) {
		h := headers(queue, err)
		h[consumer.HeaderLastFailed] = at
		groups.Add(parked.NewEntry(&broker.Delivery{Body: []byte("b"), MessageID: err, Headers: h}))
	}
	add("orders", "no stock of 1\nmore", failedAt)
	add("orders", "bad price", failedAt)
	add("billing", "no stock of 22", failedAt.Add(time.Hour))
	list := groups.List()
	if len(list) != 2 {
		t.Fatalf("%d groups", len(list))
	}
	g := list[0]
	if g.Error != "no stock of ..." || g.Count != 2 || !g.Last.Equal(failedAt.Add(time.Hour)) || !g.First.Equal(failedAt.Add(-time.Minute)) ||
		!slices.Equal(g.From, []string{"billing", "orders"}) || g.Example.Error != "no stock of 1\nmore" || g.Example.Message.Body != nil {
		t.Errorf("%+v", g)
	}
}
