package broker

import (
	"context"
	"errors"
	"strings"
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

// A message that is to have no id goes without one, and is told from others all the same when it is returned.
func TestNoMessageID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		p := publishing(t, server, plan)
		headers := map[string]any{"a": "b", HeaderPublishID: "of another publisher"}
		var confirms []*Confirm
		queues := []string{"q", "nowhere", "q", "nowhere", "nowhere", "q"}
		for i, queue := range queues {
			m := Message{RoutingKey: queue, Headers: headers, NoMessageID: true}
			if i == 0 {
				m.Headers = nil
			}
			confirm, err := p.Publish(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			confirms = append(confirms, confirm)
		}
		for i, queue := range queues {
			if err := confirms[i].Wait(t.Context()); errors.Is(err, ErrUnroutable) != (queue == "nowhere") {
				t.Errorf("message %d to %s: %v", i, queue, err)
			}
		}
		ids := map[any]bool{}
		for _, m := range server.Messages("q") {
			ids[m.Headers[HeaderPublishID]] = true
			if m.MessageID != "" {
				t.Errorf("id %q", m.MessageID)
			}
		}
		if len(ids) != 3 || ids[headers[HeaderPublishID]] || len(headers) != 2 {
			t.Errorf("ids %v, the caller's headers %v", ids, headers)
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
		server.Inject(brokertest.Now(), brokertest.Freeze(brokertest.Both))
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
		for range MaxUnconfirmed - 1 {
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
		if q, _ := server.Queue("q"); q.Ready != MaxUnconfirmed+1 {
			t.Errorf("stored: %+v, want %d: who gave up published nothing", q, MaxUnconfirmed+1)
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
		server.Inject(brokertest.Now(), brokertest.Block("why"))
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

func TestTimestampOfAMessage(t *testing.T) {
	at := time.Unix(1234567890, 0)
	tests := []struct {
		name string
		m    Message
		want func(now time.Time) time.Time
	}{
		{"now", Message{}, func(now time.Time) time.Time { return now }},
		{"given", Message{Timestamp: at}, func(time.Time) time.Time { return at }},
		{"none", Message{NoTimestamp: true}, func(time.Time) time.Time { return time.Time{} }},
		{"none, though given", Message{Timestamp: at, NoTimestamp: true}, func(time.Time) time.Time { return time.Time{} }},
	}
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		p := publishing(t, server, plan)
		for i, test := range tests {
			time.Sleep(time.Minute)
			test.m.RoutingKey = "q"
			confirm, err := p.Publish(t.Context(), test.m)
			if err != nil {
				t.Fatal(err)
			}
			if err := confirm.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, want := server.Messages("q")[i].Timestamp, test.want(time.Now()); !got.Equal(want) {
				t.Errorf("%s: %v, want %v", test.name, got, want)
			}
		}
	})
}

func TestPublisherIsLost(t *testing.T) {
	for name, fault := range map[string]brokertest.Fault{
		"reset": brokertest.Reset(), "hung up": brokertest.HangUp(), "closed": brokertest.CloseConnection(320, ""),
		"channel closed": brokertest.CloseChannel(406, ""), "silent": brokertest.Freeze(brokertest.Both),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t)
				p := publishing(t, server, plan)
				if err := publish(t, p, "q").Wait(t.Context()); err != nil || p.Lost() {
					t.Fatalf("%v, lost %t", err, p.Lost())
				}
				server.Inject(brokertest.OnMethod("basic.publish", 1), fault)
				if err := publish(t, p, "q").Wait(t.Context()); err == nil || !p.Lost() {
					t.Errorf("%v, lost %t", err, p.Lost())
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		p := publishing(t, server, plan)
		p.Close(t.Context())
		if !p.Lost() {
			t.Error("not lost after Close")
		}
	})
}

// A refusal closes a channel; messages whose confirms are still to come are on another one.
func TestDeclareQueueLeavesTheUnconfirmedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		p := publishing(t, server, plan)
		server.Inject(brokertest.Now(), brokertest.Delay(time.Second)) // so that the confirm is under way
		confirm := publish(t, p, "q")
		ttl := QueueOptions{Durable: true, Arguments: map[string]any{"x-message-ttl": int64(1000)}}
		wantError(t, p.DeclareQueue(t.Context(), "q", ttl), Precondition, ScopeChannel)
		if err := confirm.Wait(t.Context()); err != nil {
			t.Errorf("the unconfirmed one: %v", err)
		}
		if err := p.DeclareQueue(t.Context(), "other", ttl); err != nil {
			t.Error(err)
		}
		if c := server.Connections(); len(c) != 1 || c[0].Channels != 2 {
			t.Errorf("channels are left open: %+v", c)
		}
	})
}

func TestDeclareQueueIsBounded(t *testing.T) {
	tests := []struct {
		name  string
		fault brokertest.Fault
		class Class
		after time.Duration
	}{
		{"reset", brokertest.Reset(), Network, 0},
		{"no answer", brokertest.Drop(), Network, 3 * time.Second}, // ctx ends
		{"silent", brokertest.Freeze(brokertest.Both), Network, 3 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t)
				p := publishing(t, server, plan)
				server.Inject(brokertest.OnMethod("queue.declare", 1), test.fault)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				var err error
				if d := took(func() { err = p.DeclareQueue(ctx, "other", QueueOptions{}) }); d != test.after {
					t.Errorf("ended after %v, want %v", d, test.after)
				}
				wantError(t, err, test.class, ScopeConnection)
				if !p.Lost() {
					t.Error("the publisher is not lost")
				}
			})
		})
	}
}

func TestDeclareQueueRefusesWhatCannotBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		p := publishing(t, server, plan)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for name, err := range map[string]error{
			"no name":     p.DeclareQueue(t.Context(), "", QueueOptions{}),
			"a long name": p.DeclareQueue(t.Context(), strings.Repeat("n", 256), QueueOptions{}),
			"a struct":    p.DeclareQueue(t.Context(), "n", QueueOptions{Arguments: map[string]any{"x": struct{}{}}}),
			"too late":    p.DeclareQueue(ended, "n", QueueOptions{}),
		} {
			if err == nil {
				t.Errorf("%s: declared", name)
			}
		}
		if p.Lost() || server.Count("queue.declare") != 0 {
			t.Errorf("lost %t, declares %d", p.Lost(), server.Count("queue.declare"))
		}
	})
}

func TestPublisherIsBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		p := publishing(t, server, plan)
		server.Inject(brokertest.Now(), brokertest.Block("why"))
		synctest.Wait()
		if !p.Blocked() {
			t.Error("not blocked")
		}
		server.Inject(brokertest.Now(), brokertest.Unblock())
		synctest.Wait()
		if p.Blocked() {
			t.Error("still blocked")
		}
	})
}
