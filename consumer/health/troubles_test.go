package health_test

import (
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
	"github.com/everhop/everhop/consumer/publish"
)

// The worst trouble names the queue, and says what it is and why.
func TestTroublesThatMatter(t *testing.T) {
	for _, c := range eight {
		t.Run(c.name, func(t *testing.T) {
			d := made(morning, 10)
			c.make(&d)
			got := health.Troubles(&d, made(morning, 10), c.why)
			if len(got) != 1 || got[0].Word != c.word || got[0].Queue != c.queue || got[0].Level == health.Note || got[0].Text == "" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// took is the histogram of so many calls.
func took(each time.Duration, n uint64) (counts []uint64) {
	for _, bound := range consumer.HandlingBuckets() {
		if each <= bound {
			counts = append(counts, n)
		} else {
			counts = append(counts, 0)
		}
	}
	return append(counts, n)
}

func TestTroubles(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(*health.Document)
		want string // level, queue, word, text of each
	}{
		{"none", func(*health.Document) {}, ""},
		{"the worst first", func(d *health.Document) {
			d.Subscriptions[0].Doing, d.Subscriptions[0].Why = consumer.DoingPause, "by the caller"
			d.Subscriptions[1].Stats.Rejected++
			d.Subscriptions[2].Doing, d.Subscriptions[2].Why = consumer.DoingBreak, "10 failures"
		}, "bad payments breaker open 10 failures|warn invoices poison 1 message rejected in the last 10 minutes|note orders paused by the caller"},
		{"both ends of poison", func(d *health.Document) { d.Subscriptions[1].Stats.Parked, d.Subscriptions[1].Stats.Rejected = 2, 3 },
			"warn invoices poison 2 messages parked, 3 rejected in the last 10 minutes"},
		{"failures that are tried again", func(d *health.Document) { d.Subscriptions[1].Stats.Failed++ },
			"note invoices failures 1 failed call in the last 10 minutes"},
		{"the first connect", func(d *health.Document) {
			d.State = consumer.Connecting
			d.Connections[0] = consumer.ConnectionStatus{Home: true, Attempt: 1}
		}, "note  connecting "},
		{"the first connect fails", func(d *health.Document) {
			d.State = consumer.Connecting
			d.Connections[0] = consumer.ConnectionStatus{Home: true, Attempt: 1, Error: "refused", Class: "network"}
		}, "bad  broker away refused"},
		{"the password is wrong", func(d *health.Document) {
			d.State = consumer.Reviving
			d.Connections[0] = consumer.ConnectionStatus{Home: true, Attempt: 3, Error: "ACCESS_REFUSED", Class: "auth"}
		}, "bad  login refused ACCESS_REFUSED"},
		{"a queue is lost, and the connection is not", func(d *health.Document) {
			d.State = consumer.Reviving
			s := &d.Subscriptions[1]
			s.Doing, s.Class, s.Why = consumer.DoingRevive, "cancelled", "the broker cancelled the consumer"
		}, "bad invoices queue deleted or moved the broker cancelled the consumer"},
		{"long handlers that always are", func(d *health.Document) {
			s := &d.Subscriptions[0]
			s.OldestInFlight, s.Handling.P99 = d.Time.Add(-4*time.Minute), 3*time.Minute
		}, ""},
		{"long handlers of which none has ended lately", func(d *health.Document) {
			s := &d.Subscriptions[0]
			s.OldestInFlight, s.Handling = d.Time.Add(-20*time.Minute), consumer.HandlingTime{Histogram: took(10*time.Minute, 40)}
		}, ""},
		{"a handler hangs since long", func(d *health.Document) {
			s := &d.Subscriptions[0]
			s.OldestInFlight, s.InFlight, s.Handling = d.Time.Add(-20*time.Minute), 4, consumer.HandlingTime{Histogram: took(time.Second, 40)}
		}, "bad orders handler hangs 4 of 4 busy, 0 messages waiting"},
		{"the first handler hangs", func(d *health.Document) {
			s := &d.Subscriptions[0]
			s.OldestInFlight, s.InFlight, s.LastSettled, s.Handling = d.Time.Add(-2*time.Minute), 4, time.Time{}, consumer.HandlingTime{Histogram: took(0, 0)}
		}, "bad orders handler hangs 4 of 4 busy, 0 messages waiting; none has come to its end yet"},
		{"one of several handlers hangs", func(d *health.Document) {
			s := &d.Subscriptions[0]
			s.OldestInFlight, s.InFlight = d.Time.Add(-4*time.Minute), 1
		}, "warn orders handler hangs 1 of 4 busy, 0 messages waiting"},
		{"apart, and consuming", func(d *health.Document) { d.Subscriptions[0].Apart = "its calls are overdue" },
			"note orders apart its calls are overdue"},
		{"not alive", func(d *health.Document) {
			d.NotAlive = []consumer.Reason{{Code: consumer.ReasonStuck, Text: "nothing for 31 s"}}
		}, "bad  stuck nothing for 31 s"},
		{"it stops", func(d *health.Document) {
			d.NotReady = []consumer.Reason{{Code: consumer.ReasonStopping, Text: "handlers may finish"}}
		}, "note  stopping handlers may finish"},
		{"publishing is blocked", func(d *health.Document) {
			d.Publisher.State, d.Publisher.BlockedReason = publish.Blocked, "low on disk"
		}, "bad  publishing is blocked the broker reads nothing: low on disk"},
		{"the publisher has no broker", func(d *health.Document) { d.Publisher.State, d.Publisher.Error = publish.Reviving, "refused" },
			"bad  publisher without a broker refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := made(morning, 3)
			d.Publisher = publisher(morning)
			c.make(&d)
			var got []string
			for _, trouble := range health.Troubles(&d, made(morning, 3), nil) {
				got = append(got, strings.Join([]string{string(trouble.Level), trouble.Queue, trouble.Word, trouble.Text}, " "))
			}
			if got := strings.Join(got, "|"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
