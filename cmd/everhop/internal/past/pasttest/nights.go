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
		Endpoint: "mq1:5672", Class: "network", Error: "connection: read: connection reset by peer", Again: 3, Note: "after publishing for 1h0m0s",
	})
	p.Fire(30*time.Millisecond, consumer.Revived, consumer.Evidence{Endpoint: "mq2:5672", Attempt: 1, Note: "revived within 30ms"})
	p.Send(time.Hour, publish.ConnectionBlocked, publish.Evidence{Endpoint: "mq2:5672", Note: "low on memory"})
	p.Send(20*time.Second, publish.ConnectionError, publish.Evidence{Endpoint: "mq2:5672", Class: "network", Error: "connection: read: connection reset by peer", Again: 1})
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
