package broker

import (
	"bytes"
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

// missed is when amqp091-go, which sends a heartbeat twice per interval, has missed three.
const missed = DefaultHeartbeat * 3 / 2

func TestLossOfTheConnection(t *testing.T) {
	tests := []struct {
		name  string
		fault brokertest.Fault
		want  Class
		code  int
		cause error // nil if any will do
		after time.Duration
	}{
		{"the broker hangs up", brokertest.HangUp(), Network, 0, nil, 0},
		{"the network resets", brokertest.Reset(), Network, 0, syscall.ECONNRESET, 0},
		{"the broker shuts down", brokertest.StopApp(), BrokerShutdown, 320, nil, 0},
		{"an operator closes it", brokertest.CloseConnection(320, "Closed via management plugin"), BrokerShutdown, 320, nil, 0},
		{"the broker takes offence", brokertest.CloseConnection(501, ""), Protocol, 501, nil, 0},
		{"the cable is cut", brokertest.Freeze(brokertest.Both), Heartbeat, 0, nil, missed},
		{"nothing comes any more", brokertest.Freeze(brokertest.ToClient), Heartbeat, 0, nil, missed},
		{"the broker is mute", brokertest.StopHeartbeats(), Heartbeat, 0, nil, missed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t, Subscription{Queue: "q", Prefetch: 1}, Subscription{Queue: "q", Prefetch: 1})
				if err := server.DeclareQueue("q", nil); err != nil {
					t.Fatal(err)
				}
				s := begin(t, plan)
				consumers := []*Consumer{subscribe(t, s, 0), subscribe(t, s, 1)}
				server.Inject(brokertest.Now(), test.fault)
				var l Loss
				if d := took(func() { l = <-s.Losses() }); d != test.after {
					t.Errorf("told after %v, want %v", d, test.after)
				}
				if l.Generation != 7 || l.Consumer != nil || !s.Lost() {
					t.Errorf("got %+v, Lost() %t", l, s.Lost())
				}
				wantError(t, l.Err, test.want, ScopeConnection)
				if l.Err.Code != test.code || test.cause != nil && !errors.Is(l.Err, test.cause) {
					t.Errorf("got code %d, want %d; %v", l.Err.Code, test.code, l.Err)
				}
				for _, c := range consumers {
					<-c.Lost()
				}
				time.Sleep(time.Hour)
				wantNoMoreLosses(t, s)
				if n := server.Count("connection.start"); n != 1 {
					t.Errorf("%d connections: it was revived behind our back", n)
				}
			})
		})
	}
}

// hurried takes the connection away from a broker's connection.close on, before it can be answered.
type hurried struct{ net.Conn }

func (h hurried) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if bytes.Contains(p[:n], []byte("\x00\x0a\x00\x32")) { // class 10, method 50
		h.Close()
	}
	return n, err
}

func TestLossToABrokerInAHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		plan.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := server.Dial(ctx, network, address)
			return hurried{c}, err
		}
		s := begin(t, plan)
		server.StopApp()
		l := <-s.Losses()
		wantError(t, l.Err, BrokerShutdown, ScopeConnection)
		if answers := server.Count("connection.close-ok"); answers != 0 {
			t.Errorf("it waited for the answer, so this tests nothing")
		}
	})
}

func TestLossOfAConsumer(t *testing.T) {
	tests := []struct {
		name  string
		fault brokertest.Fault
		want  Class
		code  int
		scope Scope
	}{
		{"cancelled", brokertest.CancelConsumers(), Cancelled, 0, ScopeSubscription},
		{"the queue is deleted", brokertest.DeleteQueue("q"), Cancelled, 0, ScopeSubscription},
		{"an acknowledgement is overdue", brokertest.ConsumerTimeout(), ConsumerTimeout, 406, ScopeChannel}, // as up to RabbitMQ 4.2
		{"the queue's process crashed", brokertest.CloseChannel(404, "queue 'q' in vhost '/' has crashed and failed to restart"), BrokerShutdown, 404, ScopeChannel},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t, brokertest.Version("4.0"))
				s := begin(t, planOn(t, server, Subscription{Queue: "q", Declare: &QueueOptions{Durable: true}, Prefetch: 1}))
				c := subscribe(t, s, 0)
				publishTo(t, server, "q", "one")
				d := take(t, c)
				server.Inject(brokertest.Now(), test.fault)
				l := <-s.Losses()
				if l.Generation != 7 || l.Consumer != c || l.Err.Code != test.code || l.Err.Queue != "q" || s.Lost() {
					t.Errorf("got %+v, Lost() %t", l, s.Lost())
				}
				wantError(t, l.Err, test.want, test.scope)
				<-c.Lost()
				if d, ok := c.Receive(nil); ok {
					t.Errorf("received %+v after the loss", d)
				}
				// A channel that lives takes the acknowledgement of what is not there any more, too.
				if err := c.Ack(d.DeliveryTag); errors.Is(err, ErrStale) != (test.scope == ScopeChannel) {
					t.Errorf("Ack after the loss: %v", err)
				}
				if err := c.Close(t.Context()); err != nil && test.scope == ScopeSubscription {
					t.Errorf("Close: %v", err)
				}
				again := subscribe(t, s, 0) // on the connection that lives
				if test.scope == ScopeChannel && !take(t, again).Redelivered {
					t.Error("what was not acknowledged was not delivered again")
				}
				wantNoMoreLosses(t, s)
			})
		})
	}
}

// What was settled before stays so; everything else is in the queue again, and nothing more is received.
func TestALossAmidDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, Subscription{Queue: "q", Declare: &QueueOptions{Durable: true}, Prefetch: 10})
		s := begin(t, plan)
		c := subscribe(t, s, 0)
		server.Inject(brokertest.OnMethod("basic.ack", 3), brokertest.Reset())
		publishTo(t, server, "q", "1", "2", "3", "4", "5")
		received := 0
		for {
			d, ok := c.Receive(nil)
			if !ok {
				break
			}
			received++
			if err := c.Ack(d.DeliveryTag); err != nil && !errors.Is(err, ErrStale) {
				t.Errorf("Ack: %v", err)
			}
			synctest.Wait()
		}
		wantError(t, (<-s.Losses()).Err, Network, ScopeConnection)
		if q, _ := server.Queue("q"); received != 3 || len(server.Settlements()) != 2 || q.Ready != 3 || q.Unacknowledged != 0 {
			t.Errorf("%d received, %d settled; the queue: %+v", received, len(server.Settlements()), q)
		}
	})
}
