package brokertest

import (
	"testing"

	"github.com/everhop/everhop/broker/internal/wire"
)

// publishing is a client in confirm mode, and two queues: "slow", whose confirms are withheld, and "fast". Both are bound
// to amq.fanout.
func publishing(t *testing.T, s *Server) *peer {
	t.Helper()
	p := join(t, s)
	for _, queue := range []string{"slow", "fast"} {
		ok(t, s.DeclareQueue(queue, nil))
		ok(t, s.Bind("amq.fanout", "", queue, nil))
	}
	p.send(1, &wire.ConfirmSelect{})
	want[*wire.ConfirmSelectOK](p)
	s.WithholdConfirms("slow")
	return p
}

func (p *peer) wantAck(tag uint64, multiple bool) {
	p.Helper()
	if got := want[*wire.BasicAck](p); got.DeliveryTag != tag || got.Multiple != multiple {
		p.Errorf("got %+v, want tag %d, multiple %t", got, tag, multiple)
	}
}

func TestWithholdConfirms(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		s.WithholdConfirms("nobody's")
		p := publishing(t, s)
		p.publish(1, "slow", "1")
		p.publish(1, "fast", "2")
		p.publish(1, "slow", "3")
		p.publish(1, "fast", "4")
		p.wantAck(2, false)
		p.wantAck(4, false)
		p.sync(1) // nothing else
		if got := stateOf(t, s, "slow").Ready; got != 2 {
			t.Errorf("%d messages arrived", got)
		}
		s.ReleaseConfirms("fast")
		s.ReleaseConfirms("nobody's")
		p.sync(1)
		s.ReleaseConfirms("slow")
		p.wantAck(3, true)
		s.ReleaseConfirms("slow")
		p.publish(1, "slow", "5")
		p.wantAck(5, false)
		p.sync(1)
	})
}

// What is in the queue is delivered, and acknowledging it confirms nothing.
func TestWithheldIsDelivered(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := publishing(t, s)
		p.publish(1, "slow", "1")
		p.send(1, &wire.BasicGet{Queue: "slow"})
		want[*wire.BasicGetOK](p)
		p.body()
		p.send(1, &wire.BasicAck{DeliveryTag: 1})
		p.sync(1)
		s.ReleaseConfirms("slow")
		p.wantAck(1, false)
	})
}

// What another queue withholds is not covered by the confirm of what comes behind it.
func TestReleaseConfirmsOfOneQueue(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := publishing(t, s)
		ok(t, s.DeclareQueue("other", nil))
		s.WithholdConfirms("other")
		for _, queue := range []string{"slow", "slow", "other", "slow", "fast", "slow"} {
			p.publish(1, queue, "")
		}
		p.wantAck(5, false)
		s.ReleaseConfirms("slow")
		p.wantAck(2, true)
		p.wantAck(4, false)
		p.wantAck(6, false)
		s.ReleaseConfirms("other")
		p.wantAck(3, false)
		p.sync(1)
	})
}

// A message for several queues waits for all of them, each of which may withhold anew.
func TestWithheldByTwoQueues(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := publishing(t, s)
		s.WithholdConfirms("fast")
		p.write(content(1, &wire.BasicPublish{Exchange: "amq.fanout"}, "1"))
		s.ReleaseConfirms("slow")
		p.sync(1)
		s.WithholdConfirms("slow")
		s.ReleaseConfirms("fast")
		p.wantAck(1, false)
	})
}

// Each channel has its own, and what is not in confirm mode has none.
func TestReleaseConfirmsOfEachChannel(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := publishing(t, s)
		other := join(t, s)
		other.channel(2)
		other.send(2, &wire.ConfirmSelect{})
		want[*wire.ConfirmSelectOK](other)
		other.publish(1, "slow", "")
		other.publish(2, "slow", "")
		p.publish(1, "slow", "")
		p.publish(1, "slow", "")
		other.sync(2)
		p.sync(1)
		s.ReleaseConfirms("slow")
		p.wantAck(2, true)
		other.wantAck(1, false)
		other.sync(1)
	})
}

// A queue that is full says so at once.
func TestNackIsNotWithheld(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := publishing(t, s)
		ok(t, s.DeclareQueue("full", map[string]any{"x-max-length": 0, "x-overflow": "reject-publish"}))
		ok(t, s.Bind("amq.fanout", "", "full", nil))
		s.WithholdConfirms("full")
		p.publish(1, "full", "")
		if got := want[*wire.BasicNack](p); got.DeliveryTag != 1 {
			t.Errorf("got %+v", got)
		}
		p.write(content(1, &wire.BasicPublish{Exchange: "amq.fanout"}, "2")) // slow takes it
		if got := want[*wire.BasicNack](p); got.DeliveryTag != 2 {
			t.Errorf("got %+v", got)
		}
		s.ReleaseConfirms("slow")
		s.ReleaseConfirms("full")
		p.sync(1)
	})
}

// What the end of its channel overtakes is never confirmed; the channel that comes after it counts anew.
func TestWithheldAtTheEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := publishing(t, s)
		p.publish(1, "slow", "1")
		p.write(content(1, &wire.BasicPublish{Exchange: "nobody's"}, "bad"))
		p.publish(1, "slow", "dropped")
		want[*wire.ChannelClose](p)
		s.ReleaseConfirms("slow")
		p.send(1, &wire.ChannelCloseOK{})
		p.channel(1)
		p.send(1, &wire.ConfirmSelect{})
		want[*wire.ConfirmSelectOK](p)
		p.publish(1, "slow", "2")
		p.wantAck(1, false)
		if got := s.Messages("slow"); len(got) != 2 || string(got[0].Body) != "1" || string(got[1].Body) != "2" {
			t.Errorf("got %+v", got)
		}
	})
}

// The messages of a queue that is deleted are confirmed.
func TestWithheldByADeletedQueue(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := publishing(t, s)
		p.publish(1, "slow", "1")
		p.sync(1)
		s.DeleteQueue("slow")
		p.wantAck(1, false)
	})
}

// A queue that does not answer confirms nothing either; it does when it is resumed, unless it withholds confirms.
func TestSuspendQueueWithholdsConfirms(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := publishing(t, s)
		s.SuspendQueue("fast")
		s.SuspendQueue("slow")
		s.ReleaseConfirms("fast")
		p.publish(1, "fast", "1")
		p.publish(1, "fast", "2")
		p.publish(1, "slow", "3")
		p.sync(1)
		s.ResumeQueue("fast")
		p.wantAck(2, true)
		s.ResumeQueue("slow")
		p.sync(1)
		s.ReleaseConfirms("slow")
		p.wantAck(3, false)
	})
}

// As faults, at their moments: the second message is withheld, and the third sees it confirmed.
func TestWithholdConfirmsAtItsMoment(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := publishing(t, s)
		s.ReleaseConfirms("slow")
		s.Inject(OnMethod("basic.publish", 2), WithholdConfirms("slow"))
		s.Inject(OnMethod("basic.publish", 3), ReleaseConfirms("slow"))
		p.publish(1, "slow", "1")
		p.wantAck(1, false)
		p.publish(1, "slow", "2")
		p.sync(1)
		p.publish(1, "slow", "3")
		p.wantAck(2, false)
		p.wantAck(3, false)
	})
}
