package brokertest

import (
	"testing"

	"github.com/everhop/everhop/broker/internal/wire"
)

// suspended is a client with a channel that consumes from an ill queue, and holds a message of it, and one that
// consumes from a healthy one.
func suspended(t *testing.T, s *Server) *peer {
	t.Helper()
	p := join(t, s)
	p.channel(2)
	for id, queue := range []string{"ill", "well"} {
		ok(t, s.DeclareQueue(queue, nil))
		ok(t, s.Publish(queue, "1"))
		p.send(uint16(id+1), &wire.BasicConsume{Queue: queue, ConsumerTag: "c"})
		want[*wire.BasicConsumeOK](p)
		want[*wire.BasicDeliver](p)
		p.body()
	}
	s.SuspendQueue("ill")
	return p
}

// flows checks that the other channel works.
func (p *peer) flows() {
	p.Helper()
	ok(p.T, p.server.Publish("well", "more"))
	want[*wire.BasicDeliver](p)
	p.body()
	p.sync(2)
}

// What is asked about a suspended queue is answered when it is resumed, and what is asked on the same channel behind it;
// other channels go on.
func TestSuspendQueue(t *testing.T) {
	for _, test := range []struct {
		m      wire.Method
		answer string // that comes when the queue is resumed
	}{
		{&wire.QueueDeclare{Queue: "ill", Passive: true}, "queue.declare-ok"},
		{&wire.QueueDeclare{Queue: "ill", Durable: true}, "queue.declare-ok"},
		{&wire.QueuePurge{Queue: "ill"}, "queue.purge-ok"},
		{&wire.QueueDelete{Queue: "ill"}, "basic.cancel"}, // and delete-ok behind it
		{&wire.BasicGet{Queue: "ill"}, "basic.get-empty"},
		{&wire.BasicConsume{Queue: "ill", ConsumerTag: "d"}, "basic.consume-ok"},
		{&wire.BasicCancel{ConsumerTag: "c"}, "basic.cancel-ok"},
		{&wire.ChannelClose{}, "channel.close-ok"},
	} {
		t.Run(wire.Name(test.m), func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				p := suspended(t, s)
				p.send(1, test.m)
				if test.answer != "channel.close-ok" {
					p.send(1, &wire.BasicQos{})
				}
				p.flows()
				p.flows()
				s.ResumeQueue("ill")
				f, err := p.frame()
				ok(t, err)
				m, err := wire.ParseMethod(f.Payload)
				ok(t, err)
				if f.Channel != 1 || wire.Name(m) != test.answer {
					t.Fatalf("got %s on channel %d", wire.Name(m), f.Channel)
				}
				for test.answer != "channel.close-ok" && wire.Name(m) != "basic.qos-ok" {
					f, err = p.frame()
					ok(t, err)
					if f.Type != wire.FrameMethod {
						continue
					}
					m, err = wire.ParseMethod(f.Payload)
					ok(t, err)
				}
			})
		})
	}
}

// What does not ask the queue is answered: a prefetch, another queue, a binding, and an acknowledgement counts.
func TestSuspendQueueAnswersTheRest(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := suspended(t, s)
		p.sync(1)
		p.send(1, &wire.QueueBind{Queue: "ill", Exchange: "amq.topic", RoutingKey: "k"})
		want[*wire.QueueBindOK](p)
		p.send(1, &wire.QueueDeclare{Queue: "well", Passive: true})
		want[*wire.QueueDeclareOK](p)
	})
}

// Nothing is delivered from it, and what comes meanwhile is delivered when it is resumed. Resuming what is not
// suspended, or not there, does nothing.
func TestSuspendQueueDeliversNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		s.SuspendQueue("nobody's")
		s.ResumeQueue("nobody's")
		p := suspended(t, s)
		ok(t, s.Publish("ill", "2"))
		p.flows()
		s.ResumeQueue("ill")
		s.ResumeQueue("ill")
		if d := want[*wire.BasicDeliver](p); d.DeliveryTag != 2 || p.body() != "2" {
			t.Errorf("got %+v", d)
		}
		p.flows()
	})
}

// A queue named by "" is the one declared last.
func TestSuspendQueueDeclaredLast(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := suspended(t, s)
		s.ResumeQueue("ill")
		p.send(1, &wire.QueueDeclare{Queue: "ill", Passive: true})
		want[*wire.QueueDeclareOK](p)
		s.SuspendQueue("ill")
		p.send(1, &wire.BasicGet{})
		p.flows()
		s.ResumeQueue("ill")
		want[*wire.BasicGetEmpty](p)
	})
}

// A message on its way in behind what blocks a channel arrives whole.
func TestSuspendQueueDetainsContent(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := suspended(t, s)
		p.send(1, &wire.BasicGet{Queue: "ill"})
		p.publish(1, "other", "lost")
		p.publish(1, "well", "behind")
		p.flows()
		s.ResumeQueue("ill")
		want[*wire.BasicGetEmpty](p)
		want[*wire.BasicDeliver](p)
		if body := p.body(); body != "behind" {
			t.Errorf("got %q", body)
		}
	})
}

// The end of a connection takes along what is blocked, and its messages are there for others after the queue is resumed.
func TestSuspendQueueAndEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := suspended(t, s)
		p.send(1, &wire.BasicConsume{Queue: "ill", ConsumerTag: "d"})
		p.flows()
		p.Close()
		await(t, s, "the connection is gone", func() bool { return len(s.Connections()) == 0 })
		s.ResumeQueue("ill")
		if q := stateOf(t, s, "ill"); q.Consumers != 0 || q.Ready != 1 {
			t.Errorf("got %+v", q)
		}
		p = join(t, s)
		p.send(1, &wire.BasicGet{Queue: "ill"})
		if got := want[*wire.BasicGetOK](p); !got.Redelivered {
			t.Errorf("got %+v", got)
		}
	})
}

// A message ends each connection that it would be delivered to, and comes first for the next one. Others are
// delivered, and so is it when another body is given.
func TestEndConnectionsAt(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		s.EndConnectionsAt("nobody's", "bad")
		s.EndConnectionsAt("q", "bad")
		for _, body := range []string{"good", "bad", "behind"} {
			ok(t, s.Publish("q", body))
		}
		consume := func() *peer {
			p := join(t, s)
			p.send(1, &wire.BasicQos{PrefetchCount: 1})
			want[*wire.BasicQosOK](p)
			p.send(1, &wire.BasicConsume{Queue: "q"})
			want[*wire.BasicConsumeOK](p)
			return p
		}
		p, other := consume(), join(t, s)
		if want[*wire.BasicDeliver](p); p.body() != "good" {
			t.Error("the message in front was not delivered")
		}
		p.send(1, &wire.BasicAck{DeliveryTag: 1})
		for range 3 {
			if got := want[*wire.ConnectionClose](p); got.ReplyCode != 541 || got.ReplyText != "INTERNAL_ERROR" || got.ClassID != 0 {
				t.Fatalf("got %+v", got)
			}
			if q := stateOf(t, s, "q"); q.Ready != 2 || q.Unacknowledged != 0 || q.Consumers != 0 {
				t.Errorf("got %+v", q)
			}
			p = consume()
		}
		want[*wire.ConnectionClose](p)
		other.sync(1)
		s.EndConnectionsAt("q", "no message")
		p = consume()
		if d := want[*wire.BasicDeliver](p); !d.Redelivered || p.body() != "bad" {
			t.Errorf("got %+v", d)
		}
	})
}
