package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

// publishing opens a publisher on a broker with a queue named q.
func publishing(t *testing.T, server *brokertest.Server, plan Plan) *Publisher {
	t.Helper()
	if err := server.DeclareQueue("q", nil); err != nil {
		t.Fatal(err)
	}
	p, err := OpenPublisher(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	return p
}

func publish(t *testing.T, p *Publisher, queue string) *Confirm {
	t.Helper()
	confirm, err := p.Publish(t.Context(), Message{RoutingKey: queue, Body: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	return confirm
}

func TestConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		p := publishing(t, server, plan)
		full := map[string]any{"x-max-length": 0, "x-overflow": "reject-publish"}
		if err := server.DeclareQueue("full", full); err != nil {
			t.Fatal(err)
		}
		var confirms []*Confirm
		tests := []struct {
			queue string
			want  error
		}{{"q", nil}, {"nowhere", ErrUnroutable}, {"full", ErrRefused}, {"nowhere", ErrUnroutable}, {"q", nil}}
		for _, test := range tests {
			confirms = append(confirms, publish(t, p, test.queue))
		}
		for i, test := range tests {
			for range 2 { // who asks again gets the same answer
				if err := confirms[i].Wait(t.Context()); !errors.Is(err, test.want) {
					t.Errorf("message %d to %s: %v, want %v", i+1, test.queue, err, test.want)
				}
			}
		}
		if q, _ := server.Queue("q"); q.Ready != 2 {
			t.Errorf("stored: %+v", q)
		}
	})
}

// A confirm that does not come leaves its message in doubt: not lost, and not stored.
func TestConfirmOfALostConnection(t *testing.T) {
	tests := []struct {
		name  string
		fault brokertest.Fault
		want  Class
		scope Scope
		after time.Duration
	}{
		{"reset", brokertest.Reset(), Network, ScopeConnection, 0},
		{"hung up", brokertest.HangUp(), Network, ScopeConnection, 0},
		{"channel closed", brokertest.CloseChannel(406, ""), Precondition, ScopeChannel, 0},
		// The publisher has a guard of its own: it does not wait until heartbeats are missed.
		{"silent", brokertest.Freeze(brokertest.Both), Heartbeat, ScopeConnection, patience},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t)
				p := publishing(t, server, plan)
				confirmed := publish(t, p, "q")
				synctest.Wait()
				server.Inject(brokertest.OnMethod("basic.publish", 1), test.fault)
				confirm := publish(t, p, "q")
				var err error
				if d := took(func() { err = confirm.Wait(t.Context()) }); d != test.after {
					t.Errorf("told after %v, want %v", d, test.after)
				}
				wantError(t, err, test.want, test.scope)
				if errors.Is(err, ErrRefused) || errors.Is(err, ErrUnroutable) {
					t.Errorf("%v says what the broker did not", err)
				}
				if err := confirmed.Wait(t.Context()); err != nil {
					t.Errorf("the one before: %v", err)
				}
				_, err = p.Publish(t.Context(), Message{RoutingKey: "q"})
				wantError(t, err, test.want, test.scope)
			})
		})
	}
}

func TestAQuietPublisherNoticesASilentBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		p := publishing(t, server, plan)
		server.Inject(brokertest.Now, brokertest.Freeze(brokertest.Both))
		time.Sleep(patience)
		synctest.Wait()
		if !p.session.Lost() {
			t.Errorf("not noticed after %v", patience)
		}
	})
}

func TestPublishWaitsForRoomInTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		p := publishing(t, server, plan)
		first := publish(t, p, "q")
		for range window - 1 {
			publish(t, p, "q")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var err error
		if d := took(func() { _, err = p.Publish(ctx, Message{RoutingKey: "q"}) }); d != time.Hour || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with the window full: %v after %v", err, d)
		}
		time.AfterFunc(time.Minute, func() { first.Wait(context.Background()) })
		if d := took(func() { publish(t, p, "q") }); d != time.Minute {
			t.Errorf("published after %v, there was room after 1m", d)
		}
		synctest.Wait()
		if q, _ := server.Queue("q"); q.Ready != window+1 {
			t.Errorf("stored: %+v, want %d: who gave up published nothing", q, window+1)
		}
	})
}

// An alarm may last: longer than a peer may be silent, and than a write may take.
func TestPublishOutlastsAnAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// amqp091-go sends heartbeats under the lock that a write holds which waits, and for a lock that
		// is held no bubble's time goes on. So there are none.
		const alarm = time.Hour
		server, err := brokertest.Start(brokertest.Config{InMemory: true, Heartbeat: 10 * alarm})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		plan := planOn(t, server)
		plan.Heartbeat = 10 * alarm
		p := publishing(t, server, plan)
		server.Alarm("low on memory")
		before := publish(t, p, "q") // the broker finds out that this connection publishes
		if b := <-p.BlockedChanges(); !b.Active || b.Reason != "low on memory" {
			t.Errorf("got %+v", b)
		}
		time.AfterFunc(alarm, server.ClearAlarm)
		var large *Confirm
		if d := took(func() { // more than the sockets hold
			if large, err = p.Publish(t.Context(), Message{RoutingKey: "q", Body: make([]byte, 1<<20)}); err != nil {
				t.Fatal(err)
			}
		}); d != alarm {
			t.Errorf("published after %v, the alarm ended after %v", d, alarm)
		}
		if b := <-p.BlockedChanges(); b.Active {
			t.Errorf("got %+v", b)
		}
		for _, confirm := range []*Confirm{before, large} {
			if err := confirm.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// Who gives up amid a write has written a part of a frame: nothing can follow it.
func TestPublishGivenUpAmidAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		p := publishing(t, server, plan)
		server.Inject(brokertest.Now, brokertest.Block("why"))
		if b := <-p.BlockedChanges(); !b.Active {
			t.Errorf("got %+v", b)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var err error
		if d := took(func() { _, err = p.Publish(ctx, Message{RoutingKey: "q", Body: make([]byte, 1<<20)}) }); d != time.Second {
			t.Errorf("given up after %v", d)
		}
		wantError(t, err, Network, ScopeConnection)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
