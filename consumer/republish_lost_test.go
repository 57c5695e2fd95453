package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
)

func TestRepublishOverALostConnection(t *testing.T) {
	once := func(server *brokertest.Server, method string, f brokertest.Fault) {
		server.Inject(brokertest.OnMethod(method, 1), f)
	}
	tests := []struct {
		name        string
		fault       func(server *brokertest.Server)
		want        broker.Class // "" for none
		connections int
		stored      int
	}{
		{"while idle", func(s *brokertest.Server) { s.Inject(brokertest.Now(), brokertest.Reset()) }, "", 2, 1},
		{"before the message arrived", func(s *brokertest.Server) { once(s, "basic.publish", brokertest.Reset()) }, "", 2, 1},
		{"before the confirm arrived", func(s *brokertest.Server) { once(s, "basic.ack", brokertest.Reset()) }, "", 2, 2},
		{"with the channel", func(s *brokertest.Server) { once(s, "basic.publish", brokertest.CloseChannel(406, "")) }, "", 1, 1},
		{"closed by the broker", func(s *brokertest.Server) { once(s, "basic.publish", brokertest.CloseConnection(320, "")) }, "", 2, 1},
		{"silently", func(s *brokertest.Server) { once(s, "basic.publish", brokertest.Freeze(brokertest.Both)) }, "", 2, 1},
		{"twice", func(s *brokertest.Server) {
			once(s, "basic.publish", brokertest.Reset())
			s.Inject(brokertest.OnMethod("basic.publish", 2), brokertest.Reset())
		}, "", 3, 1},
		{"for longer", func(s *brokertest.Server) { s.StopApp() }, broker.Network, 1, 0}, // than is waited for
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
				declareIn(t, server, "parked", nil)
				if err := r.park(t.Context(), delivered("first"), "parked", itFailed); err != nil {
					t.Fatal(err)
				}
				test.fault(server)
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := r.park(ctx, delivered("x"), "parked", itFailed)
				if class, _ := broker.Classify(err); class != test.want {
					t.Errorf("got %v, want class %q", err, test.want)
				}
				if n := server.Count("connection.open"); n != test.connections {
					t.Errorf("%d connections, want %d", n, test.connections)
				}
				stored := server.Messages("parked")
				if n := len(stored) - 1; n != test.stored {
					t.Errorf("stored %d times, want %d", n, test.stored)
				}
				server.StartApp()
				if err := r.park(t.Context(), delivered("last"), "parked", itFailed); err != nil {
					t.Errorf("the next one: %v", err)
				}
				time.Sleep(time.Minute) // the broker misses the heartbeats of one that went silently
				if c := server.Connections(); len(c) != 1 {
					t.Errorf("connections are left: %+v", c)
				}
			})
		})
	}
}

func TestRepublishBounded(t *testing.T) {
	tests := []struct {
		name   string
		method string // what the broker loses
	}{
		{"no handshake", "connection.open"}, {"no channel", "channel.open"}, {"no confirm", "basic.ack"}, {"no declare-ok", "queue.declare"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
				server.Inject(brokertest.OnMethod(test.method, 1), brokertest.Drop())
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				var err error
				if d := elapsed(func() { err = r.park(ctx, delivered("x"), "parked", itFailed) }); d != time.Second {
					t.Errorf("returned after %v", d)
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				time.Sleep(time.Minute) // an attempt to connect was given up meanwhile
				if err := r.park(t.Context(), delivered("y"), "another", itFailed); err != nil {
					t.Errorf("the next one: %v", err)
				}
			})
		})
	}
}

// Who leaves takes nobody else's connection away, and opens none.
func TestRepublishAbandonedWhileOpening(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		server.Inject(brokertest.OnConnect(1), brokertest.Delay(50*time.Millisecond))
		var work sync.WaitGroup
		for i := range 10 {
			patience := time.Minute
			if i%2 == 0 {
				patience = 10 * time.Millisecond
			}
			work.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				var err error
				d := elapsed(func() { err = r.park(ctx, delivered(fmt.Sprint(i)), "parked", itFailed) })
				if patience == time.Minute && err != nil || patience < time.Minute && (d != patience || !errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("with %v: %v after %v", patience, err, d)
				}
			})
		}
		work.Wait()
		if n := len(server.Messages("parked")); n != 5 {
			t.Errorf("%d parked", n)
		}
		if n := server.Count("connection.open"); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestRepublishAbandonedDeclaration(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		server.Inject(brokertest.OnMethod("queue.declare", 1), brokertest.Drop())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.park(ctx, delivered("x"), "parked", itFailed); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := r.park(t.Context(), delivered("y"), "another", itFailed); err != nil {
			t.Errorf("the next one: %v", err)
		}
		if n := server.Count("connection.open"); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// Confirms that nobody waits for any more must not fill the window.
func TestRepublishAbandonedConfirms(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		declareIn(t, server, "parked", nil)
		if err := r.park(t.Context(), delivered("first"), "parked", itFailed); err != nil {
			t.Fatal(err)
		}
		const rounds, each = 3, 200 // the window has 256 places
		for range rounds {
			server.Inject(brokertest.Now(), brokertest.Delay(2*time.Second))
			var work sync.WaitGroup
			for i := range each {
				work.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					if err := r.park(ctx, delivered(fmt.Sprint(i)), "parked", itFailed); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("got %v", err)
					}
				})
			}
			work.Wait()
			server.Inject(brokertest.Now(), brokertest.Delay(0))
			time.Sleep(10 * time.Second)
		}
		if err := r.park(t.Context(), delivered("last"), "parked", itFailed); err != nil {
			t.Error(err)
		}
		if n := server.Count("connection.open"); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}
