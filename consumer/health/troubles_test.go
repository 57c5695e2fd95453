package health_test

import (
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
	"github.com/everhop/everhop/consumer/publish"
)

func statsOf(d *health.Document) (stats []consumer.Stats) {
	for _, s := range d.Subscriptions {
		stats = append(stats, s.Stats)
	}
	return stats
}

// The worst trouble names the queue, and says what it is and why.
func TestTroublesThatMatter(t *testing.T) {
	for _, c := range eight {
		t.Run(c.name, func(t *testing.T) {
			d := made(morning, 10)
			before := statsOf(&d)
			c.make(&d)
			got := health.Troubles(&d, before)
			if len(got) != 1 || got[0].Word != c.word || got[0].Queue != c.queue || got[0].Level == health.Note || got[0].Text == "" {
				t.Errorf("got %+v", got)
			}
		})
	}
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
		}, "bad payments breaker open 10 failures|warn invoices poison 0 messages parked, 1 rejected in the last 10 minutes; 0 calls of the handler failed|note orders paused by the caller"},
		{"failures that are tried again", func(d *health.Document) { d.Subscriptions[1].Stats.Failed++ },
			"note invoices failures 1 call of the handler failed in the last 10 minutes"},
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
		{"one of several handlers hangs", func(d *health.Document) {
			s := &d.Subscriptions[0]
			s.OldestInFlight, s.InFlight = d.Time.Add(-4*time.Minute), 1
		}, "warn orders handler at work 1 of 4 busy, 0 messages waiting"},
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
			before := statsOf(&d)
			c.make(&d)
			var got []string
			for _, trouble := range health.Troubles(&d, before) {
				got = append(got, strings.Join([]string{string(trouble.Level), trouble.Queue, trouble.Word, trouble.Text}, " "))
			}
			if got := strings.Join(got, "|"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
