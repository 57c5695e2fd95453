package health_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
	"github.com/everhop/everhop/fsm"
)

// night writes events with a real machine, and a clock that only it moves.
type night struct {
	t     *testing.T
	clock time.Time
	m     *fsm.Machine
	to    *health.Events
	last  fsm.Event
}

func (n *night) Append(e fsm.Event) error {
	n.to.Observe(e)
	n.last = e
	return nil
}
func (n *night) Last() (fsm.Event, bool) { return n.last, n.last.Seq > 0 }

func (n *night) fire(trigger fsm.Trigger, why ...consumer.Evidence) {
	n.t.Helper()
	if _, err := n.m.Fire(trigger, append(why, consumer.Evidence{})[0].Event()); err != nil {
		n.t.Fatal(err)
	}
}

func (n *night) note(name string, why consumer.Evidence) {
	n.t.Helper()
	if _, err := n.m.Record(fsm.KindNote, name, why.Event()); err != nil {
		n.t.Fatal(err)
	}
}

// idle lets time pass in which nothing comes.
func (n *night) idle(d time.Duration) {
	for end := n.clock.Add(d); n.clock.Before(end); {
		n.clock = n.clock.Add(2 * time.Second)
		n.fire(consumer.DrainTimeout, consumer.Evidence{Generation: 3})
		n.clock = n.clock.Add(time.Millisecond)
		n.fire(consumer.HeartbeatOK, consumer.Evidence{Generation: 3})
	}
}

// revive has so many attempts fail before it consumes again.
func (n *night) revive(failed int, why consumer.Evidence) {
	for i := range failed {
		n.clock = n.clock.Add(min(time.Duration(100*(1<<i))*time.Millisecond, 20*time.Second))
		why.Attempt, why.BackoffMS = i+1, min(int64(100*(2<<i)), 20_000)
		n.fire(consumer.ReviveFailed, why)
	}
	n.clock = n.clock.Add(300 * time.Millisecond)
	n.fire(consumer.Revived, consumer.Evidence{Attempt: failed + 1, Endpoint: "rabbit-2.example.com:5672"})
}

// nightOf tells of some hours before now, in which the broker was away three times. It ends in Consuming.
func nightOf(t *testing.T, now time.Time) (*health.Events, *night) {
	n := &night{t: t, clock: now.Add(-5 * time.Hour), to: health.NewEvents()}
	m, err := fsm.New(consumer.Lifecycle(), fsm.Options{Name: "shop", Journal: n, Run: fmt.Sprint(now.UnixNano()), Now: func() time.Time { return n.clock }})
	if err != nil {
		t.Fatal(err)
	}
	n.m = m
	if _, err := m.Record(fsm.KindBoot, "", fsm.Evidence{Note: "everhop v1.2.3"}); err != nil {
		t.Fatal(err)
	}
	refused := consumer.Evidence{Class: "network", Endpoint: "rabbit-1.example.com:5672", Error: "dial: connect: connection refused"}
	n.fire(consumer.Connect)
	n.clock = n.clock.Add(40 * time.Millisecond)
	n.fire(consumer.Connected, consumer.Evidence{Endpoint: "rabbit-1.example.com:5672", Generation: 1})
	for _, s := range made(now, 200).Subscriptions { // what a document counts was so long ago
		if s.Stats.Failed > 0 {
			n.note(consumer.NoteOutcomes, consumer.Evidence{Queue: s.Queue, Failed: s.Stats.Failed})
		}
	}
	n.idle(70 * time.Minute)
	n.fire(consumer.ConnectionError, consumer.Evidence{
		Class: "broker_shutdown", Code: 320, Endpoint: "rabbit-1.example.com:5672", Error: "connection: CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
	})
	n.revive(12, refused)
	n.idle(50 * time.Minute)
	n.note(consumer.NoteBreakerOpen, consumer.Evidence{Queue: "mails", Error: "smtp: 421 try again later", Note: "10 failures in a row"})
	n.clock = n.clock.Add(30 * time.Second)
	n.note(consumer.NoteBreakerClosed, consumer.Evidence{Queue: "mails"})
	n.note("parked", consumer.Evidence{Queue: "invoices", Error: "no such customer"})
	n.idle(50 * time.Minute)
	n.clock = n.clock.Add(4 * time.Second)
	n.fire(consumer.DrainTimeout)
	n.clock = n.clock.Add(2 * time.Second)
	n.fire(consumer.HeartbeatFailed, consumer.Evidence{Class: "heartbeat", SilenceMS: 4000, Endpoint: "rabbit-2.example.com:5672", Error: "the peer went silent"})
	n.revive(6, refused)
	n.idle(80 * time.Minute)
	n.fire(consumer.ChannelError, consumer.Evidence{Class: "cancelled", Queue: "stock", Scope: "consumer", Error: "the broker cancelled the consumer and gave no reason (basic.cancel)"})
	n.revive(1, consumer.Evidence{Class: "not_found", Code: 404, Queue: "stock", Error: "NOT_FOUND - no queue 'stock' in vhost '/'"})
	n.idle(now.Sub(n.clock) - 5*time.Minute)
	return n.to, n
}
