package brokertest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

// Block tells a client that never published, and holds all it sends; deliveries go on.
func TestBlock(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		p := join(t, s)
		p.send(1, &wire.BasicConsume{Queue: "q"})
		want[*wire.BasicConsumeOK](p)
		s.Inject(Now(), Block("low on disk"))
		s.Inject(Now(), Block("again")) // changes nothing
		if got := want[*wire.ConnectionBlocked](p); got.Reason != "low on disk" {
			t.Errorf("got %+v", got)
		}
		if got := s.Connections(); !got[0].Blocked {
			t.Errorf("not blocked: %+v", got)
		}
		p.send(1, &wire.BasicQos{})
		ok(t, s.Publish("q", "1"))
		want[*wire.BasicDeliver](p)
		p.body()
		if s.Count("basic.qos") != 0 {
			t.Error("it is listened to")
		}
		s.Inject(Now(), Unblock())
		s.Inject(Now(), Unblock()) // changes nothing
		want[*wire.ConnectionUnblocked](p)
		want[*wire.BasicQosOK](p)
	})
}

func TestBlockUntold(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := greet(t, s, 0, nil) // without the capability
		p.channel(1)
		s.Inject(Now(), Block("low on disk"))
		p.send(1, &wire.BasicQos{})
		s.Inject(Now(), Unblock())
		want[*wire.BasicQosOK](p)
	})
}

// The silence of a client that is not listened to is the broker's own doing.
func TestBlockedClientIsNotDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewInMemoryServer(t)
		p := greet(t, s, 10*time.Second, able)
		s.Inject(Now(), Block(""))
		go func() {
			for {
				if _, err := p.frames.Next(); err != nil {
					return
				}
			}
		}()
		time.Sleep(time.Hour)
		if len(s.Connections()) != 1 {
			t.Error("dropped while it was blocked")
		}
		s.Inject(Now(), Unblock())
		time.Sleep(time.Minute)
		if len(s.Connections()) != 0 {
			t.Error("silent, and not dropped")
		}
	})
}

func TestAlarm(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		publisher, other := join(t, s), join(t, s)
		s.Alarm("")
		other.sync(1)
		publisher.publish(1, "q", "1")
		if got := want[*wire.ConnectionBlocked](publisher); got.Reason != "low on memory" {
			t.Errorf("got %+v", got)
		}
		if q := stateOf(t, s, "q"); q.Ready != 0 {
			t.Error("the message was routed")
		}
		s.ClearAlarm()
		want[*wire.ConnectionUnblocked](publisher)
		await(t, s, "the message is routed", func() bool { return stateOf(t, s, "q").Ready == 1 })
		other.sync(1) // nobody told it anything
	})
}

// A connection that ends while it is blocked ends at once.
func TestEndWhileBlocked(t *testing.T) {
	t.Parallel()
	for _, end := range []Fault{Reset(), HangUp(), CloseConnection(320, "")} {
		t.Run(end.String(), func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				p := join(t, s)
				s.Inject(Now(), Block(""))
				want[*wire.ConnectionBlocked](p)
				p.send(1, &wire.BasicQos{})
				s.Inject(Now(), end)
				await(t, s, "the end", func() bool { return len(s.Connections()) == 0 })
			})
		})
	}
}
