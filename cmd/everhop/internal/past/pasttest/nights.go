package pasttest

import (
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// Night has what a night may have: a reset, a frozen peer, a crash, a long outage, a stop.
func Night(t testing.TB) *Log {
	refused := consumer.Evidence{Endpoint: "mq1:5672", Class: "network", Error: "dial: connect: connection refused"}
	p := New(t, "orders").Connect().Idle(1200)
	p.Fire(time.Second, consumer.ConnectionError, consumer.Evidence{
		Endpoint: "mq1:5672", Class: "network", Error: "connection: read: connection reset by peer", Note: "after consuming for 40m2s",
	})
	p.Fire(30*time.Millisecond, consumer.Revived, consumer.Evidence{Endpoint: "mq2:5672", Attempt: 1, Note: "revived within 30ms"})
	p.Idle(300).Fire(2*time.Second, consumer.DrainTimeout, consumer.Evidence{})
	p.Fire(2*time.Second, consumer.HeartbeatFailed, consumer.Evidence{Endpoint: "mq2:5672", Class: "heartbeat", Error: "probe: the peer went silent: no byte came in for 4s"})
	p.Fire(time.Second, consumer.ReviveFailed, consumer.Evidence{Attempt: 1, Endpoint: "mq1:5672", Class: "network", Error: refused.Error})
	p.Fire(time.Second, consumer.Revived, consumer.Evidence{Endpoint: "mq2:5672", Attempt: 2})
	p.Record(fsm.KindStale, consumer.StaleOutcome, consumer.Evidence{Queue: "orders", Note: "a handler finished after its channel was gone"})
	p.Reject(consumer.Connected)
	p.Idle(1500)
	p.Clock = p.Clock.Add(90 * time.Second)
	p.Begin().Connect().Idle(3000)
	p.Fire(time.Second, consumer.ChannelError, consumer.Evidence{
		Endpoint: "mq1:5672", Queue: "orders", Class: "cancelled", Error: "consuming: the broker cancelled the consumer (queue deleted or moved)",
	})
	for n := range 200 {
		why := refused
		if n%3 == 0 {
			why = consumer.Evidence{Endpoint: "mq1:5672", Queue: "orders", Class: "not_found", Code: 404, Error: "consume: NOT_FOUND - no queue 'orders' in vhost '/'"}
		}
		why.Attempt = n + 1
		p.Fire(3*time.Second, consumer.ReviveFailed, why)
	}
	p.Fire(time.Second, consumer.Revived, consumer.Evidence{Attempt: 201, Endpoint: "mq1:5672"})
	return p.Idle(600).Fire(time.Second, consumer.Stop, consumer.Evidence{})
}

// Published is a publisher's: a reset, an alarm in which the connection is lost, a message that is refused, a stop.
func Published(t testing.TB) *Log {
	refused := consumer.Evidence{Endpoint: "mq1:5672", Class: "network", Error: "dial: connect: connection refused"}
	p := NewPublisher(t, "sent").Connect()
	p.Send(time.Hour, publish.ConnectionError, publish.Evidence{
		Endpoint: "mq1:5672", Class: "network", Error: "connection: read: connection reset by peer", Resent: 3, Note: "after publishing for 1h0m0s",
	})
	p.Fire(30*time.Millisecond, consumer.Revived, consumer.Evidence{Endpoint: "mq2:5672", Attempt: 1, Note: "revived within 30ms"})
	p.Send(time.Hour, publish.ConnectionBlocked, publish.Evidence{Endpoint: "mq2:5672", Note: "low on memory"})
	p.Send(20*time.Second, publish.ConnectionError, publish.Evidence{Endpoint: "mq2:5672", Class: "network", Error: "connection: read: connection reset by peer", Resent: 1})
	for n := range 40 {
		refused.Attempt = n + 1
		p.Fire(time.Second, consumer.ReviveFailed, refused)
	}
	p.Fire(time.Second, consumer.Revived, consumer.Evidence{Endpoint: "mq1:5672", Attempt: 41})
	p.Send(time.Second, publish.ConnectionBlocked, publish.Evidence{Endpoint: "mq1:5672", Note: "low on memory"})
	p.Send(30*time.Second, publish.ConnectionUnblocked, publish.Evidence{Endpoint: "mq1:5672", Note: "after 30s"})
	p.Clock = p.Clock.Add(time.Hour)
	for _, at := range []publish.Evidence{{Exchange: "events", RoutingKey: "user.created"}, {RoutingKey: "mails"}} {
		at.Endpoint, at.Scope, at.Class, at.Code, at.Error = "mq1:5672", "channel", "not_found", 404, "publish: 404 NOT_FOUND"
		p.record(fsm.KindNote, publish.NoteRefused, at.Event())
	}
	return p.Fire(time.Second, consumer.Stop, consumer.Evidence{})
}

// Troubled is a night in which some messages could not be handled, and many could.
func Troubled(t testing.TB) *Log {
	p := New(t, "orders").Connect()
	minute := func(orders, mails consumer.Evidence) {
		p.Clock = p.Clock.Add(29 * time.Second)
		p.Fire(0, consumer.DrainTimeout, consumer.Evidence{}).Fire(time.Millisecond, consumer.HeartbeatOK, consumer.Evidence{})
		p.Clock = p.Clock.Add(31*time.Second - time.Millisecond)
		for _, e := range []consumer.Evidence{orders, mails} {
			if e.PeriodMS = 60_000; e.Calls > 0 {
				p.Record(fsm.KindNote, consumer.NoteOutcomes, e)
			}
		}
	}
	calm := consumer.Evidence{Queue: "orders", Acknowledged: 600, Calls: 603, Failed: 3, HandlingUS: 603_000, LongestUS: 20_000}
	mails := consumer.Evidence{Queue: "mails", Acknowledged: 2, Calls: 2, HandlingUS: 900, LongestUS: 500, OldestMS: 1500}
	for n := range 30 {
		if n%3 != 0 {
			mails.Calls = 0
		} else {
			mails.Calls = 2
		}
		if n < 14 || n >= 17 {
			minute(calm, mails)
			continue
		}
		for i := range 2 {
			e := consumer.Evidence{
				Queue: "orders", MessageID: "order-" + string(rune('a'+n-14)) + string(rune('0'+i)), Attempt: 4,
				Error: "FK violation: article 7", Note: "parked in orders.parked",
			}
			if i == 1 {
				e.Attempt, e.Cause, e.Error = 1, consumer.NotePermanent, "no such customer"
			}
			p.Clock = p.Clock.Add(time.Millisecond)
			p.Record(fsm.KindNote, consumer.NoteParked, e)
		}
		bad := calm
		bad.Parked, bad.LeftOut = 5, 3
		minute(bad, mails)
	}
	p.Record(fsm.KindNote, consumer.NoteOutcomes, consumer.Evidence{Queue: "orders", PeriodMS: 7000, Acknowledged: 4, Calls: 4, HandlingUS: 4000, LongestUS: 1000})
	p.Fire(0, consumer.ConnectionError, consumer.Evidence{Endpoint: "mq1:5672", Class: "network", Error: "connection: read: connection reset by peer"})
	p.Fire(time.Second, consumer.Revived, consumer.Evidence{Attempt: 1, Endpoint: "mq1:5672"})
	p.Record(fsm.KindStale, consumer.StaleOutcome, consumer.Evidence{Queue: "orders", Error: "broker: stale delivery", Note: "2 outcomes of delivery tags 7 to 8 dropped"})
	p.Clock = p.Clock.Add(50 * time.Second)
	p.Record(fsm.KindNote, consumer.NoteStalled, consumer.Evidence{StalledMS: 50_000, Note: "the process stood still for 50s"})
	p.Clock = p.Clock.Add(10 * time.Second)
	p.Record(fsm.KindNote, consumer.NoteDeadLettered, consumer.Evidence{Queue: "mails", Attempt: 1, Error: "rejected\a[31m", Note: "dead-lettered"})
	p.Record(fsm.KindNote, consumer.NoteOutcomes, consumer.Evidence{Queue: "mails", PeriodMS: 61_000, Rejected: 1, Calls: 1, HandlingUS: 400, LongestUS: 400, Stale: 2})
	return p.Fire(time.Second, consumer.Stop, consumer.Evidence{})
}

// Outage has one, and ends.
func Outage(t testing.TB) *Log {
	p := New(t, "orders").Connect().Idle(2)
	p.Fire(time.Second, consumer.ConnectionError, consumer.Evidence{}).Fire(time.Second, consumer.Revived, consumer.Evidence{Attempt: 1})
	return p.Fire(time.Second, consumer.Stop, consumer.Evidence{})
}

// Uneasy stood still twice, was lost again and again at once, and then lost its machine for an hour.
func Uneasy(t testing.TB) *Log {
	reset := consumer.Evidence{Endpoint: "mq1:5672", Class: "network", Error: "connection: read: connection reset by peer"}
	p := New(t, "orders").Connect().Idle(100)
	p.Clock = p.Clock.Add(50 * time.Second)
	p.Record(fsm.KindNote, consumer.NoteStalled, consumer.Evidence{StalledMS: 50_000, Note: "the process stood still for 50s"}).Idle(100)
	for range 40 {
		p.Fire(300*time.Millisecond, consumer.ConnectionError, reset).Fire(20*time.Millisecond, consumer.Revived, consumer.Evidence{Attempt: 1})
	}
	p.Idle(100).Fire(2*time.Second, consumer.DrainTimeout, consumer.Evidence{})
	p.Fire(2*time.Second, consumer.HeartbeatFailed, consumer.Evidence{Endpoint: "mq1:5672", Class: "heartbeat", Error: "probe: the peer went silent", SilenceMS: 4000})
	p.Fire(time.Second, consumer.Revived, consumer.Evidence{Attempt: 1}).Idle(100)
	before := len(p.Events)
	p.Record(fsm.KindNote, consumer.NoteStalled, consumer.Evidence{StalledMS: 3_600_000, Note: "the process stood still for 1h0m0s"})
	p.Fire(10*time.Millisecond, consumer.ConnectionError, reset).Fire(20*time.Millisecond, consumer.Revived, consumer.Evidence{Attempt: 1})
	p.Idle(10).Fire(time.Second, consumer.Stop, consumer.Evidence{})
	for i := range p.Events[before:] { // the run's clock has stood still, too
		p.Events[before+i].Time = p.Events[before+i].Time.Add(time.Hour)
	}
	return p
}
