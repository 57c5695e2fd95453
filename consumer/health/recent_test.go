package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
)

// What is recent is known from the events, whoever has looked meanwhile: nobody, here. Subscriptions of one queue are told
// of together.
func TestRecentMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		poison := errors.New("no such customer\nand no other one")
		r := newRig(t, health.Options{}, func(c *consumer.Config) {
			first := &c.Subscriptions[0]
			first.Retry.Poison = consumer.Park
			first.Handler = func(_ context.Context, d *consumer.Delivery) error {
				if string(d.Body) == "fine" {
					return nil
				}
				return consumer.Permanent(poison)
			}
			c.Subscriptions = append(c.Subscriptions, *first)
		}, "orders")
		defer r.run()()
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			d := r.status()
			var got []string
			for _, trouble := range d.Troubles {
				got = append(got, trouble.Queue+": "+trouble.Word+": "+trouble.Text)
			}
			if strings.Join(got, "|") != strings.Join(want, "|") {
				t.Errorf("the troubles are %q, want %q", got, want)
			}
		}
		publish := func(bodies ...string) {
			t.Helper()
			if err := r.broker.Publish("orders", bodies...); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
		}
		expect()
		publish("bad", "bad", "bad", "bad", "fine")
		expect("orders: poison: 4 messages parked in the last 10 minutes, after 4 failed calls: no such customer")
		time.Sleep(8 * time.Minute)
		publish("fine")
		expect("orders: poison: 4 messages parked in the last 10 minutes, after 4 failed calls: no such customer")
		poison = errors.New("out of stock")
		publish("bad")
		expect("orders: poison: 5 messages parked in the last 10 minutes, after 5 failed calls: out of stock")
		time.Sleep(6 * time.Minute)
		expect("orders: poison: 1 message parked in the last 10 minutes, after 1 failed call: out of stock")
		for range 12 { // all is well, and much is told
			publish("fine", "fine")
			time.Sleep(time.Minute)
		}
		expect()
	})
}

// Whoever gives no events gets nothing that may be of last week.
func TestRecentWithoutEvents(t *testing.T) {
	d := made(morning, 2)
	d.Subscriptions[1].Stats.Parked = 4
	if got := documentOf(t, d, health.NewEvents()).Troubles; len(got) > 0 {
		t.Errorf("%+v", got)
	}
}

// Another run counts anew.
func TestRecentAfterARestart(t *testing.T) {
	events, n := nightOf(t, morning)
	now := made(morning, 2)
	n.clock = morning.Add(-9 * time.Minute)
	n.note(consumer.NoteOutcomes, consumer.Evidence{Queue: "invoices", Failed: 6, Parked: 4})
	troubles := func() (list []string) {
		for _, trouble := range documentOf(t, now, events).Troubles {
			list = append(list, trouble.Queue+": "+trouble.Text)
		}
		return list
	}
	now.Subscriptions[1].Stats.Failed, now.Subscriptions[1].Stats.Parked = 1+6, 4
	if got := strings.Join(troubles(), "|"); got != "invoices: 4 messages parked in the last 10 minutes, after 6 failed calls" {
		t.Error(got)
	}
	boot := n.last
	boot.Kind, boot.Name, boot.Seq = "boot", "", boot.Seq+1
	events.Observe(boot)
	now.Subscriptions[1].Stats = consumer.Stats{Failed: 2}
	if got := strings.Join(troubles(), "|"); got != "invoices: 2 failed calls in the last 10 minutes" {
		t.Error(got)
	}
}

func documentOf(t *testing.T, d health.Document, events *health.Events) (got health.Document) {
	t.Helper()
	if err := json.Unmarshal(get(health.NewServer(fixed(d), events, health.Options{}), "/status").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	return got
}
