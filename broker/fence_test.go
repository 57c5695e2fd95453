package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

// The broker does not know yet that the channel is closed, and would take the tag.
func TestNothingIsSettledWhileTheChannelCloses(t *testing.T) {
	settling := map[string]func(*Consumer, uint64) error{
		"Ack":     (*Consumer).Ack,
		"AckUpTo": (*Consumer).AckUpTo,
		"Nack":    (*Consumer).Nack,
		"Reject":  func(c *Consumer, tag uint64) error { return c.Reject(tag, false) },
		"requeue": func(c *Consumer, tag uint64) error { return c.Reject(tag, true) },
	}
	for name, settle := range settling {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t, Subscription{Queue: "q", Declare: &QueueOptions{}, Prefetch: 1})
				s := begin(t, plan)
				c := subscribe(t, s, 0)
				publishTo(t, server, "q", "one")
				d := take(t, c)
				server.Inject(brokertest.Now(), brokertest.Freeze(brokertest.FromClient))
				closed := make(chan error, 1)
				go func() { closed <- c.Close(t.Context()) }()
				<-c.Lost()
				if err := settle(c, d.DeliveryTag); !errors.Is(err, ErrStale) {
					t.Errorf("during Close: %v", err)
				}
				server.Inject(brokertest.Now(), brokertest.Thaw())
				if err := <-closed; err != nil {
					t.Error(err)
				}
				if err := settle(c, d.DeliveryTag); !errors.Is(err, ErrStale) {
					t.Errorf("after Close: %v", err)
				}
				synctest.Wait()
				if settled := server.Settlements(); len(settled) != 0 {
					t.Errorf("settled: %+v", settled)
				}
				if q, _ := server.Queue("q"); q.Ready != 1 || q.Unacknowledged != 0 {
					t.Errorf("the queue: %+v", q)
				}
				wantNoMoreLosses(t, s)
			})
		})
	}
}

// The new channel has the number of the old one, and its own delivery the same tag.
func TestAnOldTagIsNotSettledOnTheNextChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, Subscription{Queue: "q", Declare: &QueueOptions{}, Prefetch: 1})
		s := begin(t, plan)
		old := subscribe(t, s, 0)
		publishTo(t, server, "q", "one")
		stale := take(t, old)
		if err := old.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		fresh := subscribe(t, s, 0)
		d := take(t, fresh)
		if d.DeliveryTag != stale.DeliveryTag || !d.Redelivered {
			t.Errorf("got %+v", d)
		}
		if err := old.Ack(stale.DeliveryTag); !errors.Is(err, ErrStale) {
			t.Errorf("the old one: %v", err)
		}
		synctest.Wait()
		if settled := server.Settlements(); len(settled) != 0 {
			t.Errorf("the old one settled %+v", settled)
		}
		if err := fresh.Ack(d.DeliveryTag); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if settled := server.Settlements(); len(settled) != 1 || settled[0].Method != "basic.ack" || settled[0].Multiple {
			t.Errorf("settled: %+v", settled)
		}
		wantNoMoreLosses(t, s)
	})
}

// Neither Close nor what comes after an overdue answer frees the channel's number under an acknowledgement that is being
// written. Not in a bubble, whose clock a mutex stops.
func TestTheNumberIsKeptWhileAnAcknowledgementIsWritten(t *testing.T) {
	closing := func(t *testing.T, c *Consumer, _ *stuck) {
		go func() { _ = c.Close(context.Background()) }()
		<-c.Lost()
	}
	answering := func(t *testing.T, c *Consumer, wire *stuck) {
		wire.hold("basic.cancel")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		wantError(t, c.Cancel(ctx), Overdue, ScopeChannel)
		wire.release(t)
	}
	for name, end := range map[string]func(*testing.T, *Consumer, *stuck){"closed": closing, "abandoned": answering} {
		t.Run(name, func(t *testing.T) {
			server, plan, wire := serveStuck(t, Subscription{Queue: "q", Prefetch: 1})
			if err := server.DeclareQueue("q", nil); err != nil {
				t.Fatal(err)
			}
			s := begin(t, plan)
			c := subscribe(t, s, 0)
			c.fence.RLock() // as settle does
			end(t, c, wire)
			for range 200 { // round trips, in which it would be closed
				if err := s.Probe(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if n := server.Count("channel.close"); n != 0 {
				t.Error("the channel was closed")
			}
			c.fence.RUnlock()
			if err := server.Await(t.Context(), func() bool { return server.Count("channel.close") == 1 }); err != nil {
				t.Error(err)
			}
		})
	}
}
