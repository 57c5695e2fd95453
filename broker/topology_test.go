package broker

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

var limited = &QueueOptions{Durable: true, Arguments: map[string]any{"x-max-length": int64(7)}}

// What exists is used as it is, with one round trip for each, and its differences are told to who asks.
func TestWhatExistsIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t,
			Subscription{
				Queue: "q", Declare: limited, Prefetch: 1,
				Exchanges: []Exchange{{Name: "x", Kind: "fanout"}}, Bindings: []Binding{{Exchange: "x"}},
			},
			Subscription{
				Queue: "q", Declare: &QueueOptions{}, Prefetch: 1,
				Exchanges: []Exchange{{Name: "x", Kind: "topic"}, {Name: "amq.direct", Passive: true}, {Name: "amq.fanout", Kind: "of-a-plugin"}},
			},
			Subscription{Queue: "q", Declare: &QueueOptions{Strict: true, Durable: true}, Prefetch: 1},
		)
		s := begin(t, plan)
		first := subscribe(t, s, 1)
		if got := first.Differences(t.Context()); got != nil { // a kind that the broker does not know ends the connection
			t.Errorf("what it has declared differs: %v", got)
		}
		opened, declared := server.Count("channel.open"), server.Count("queue.declare")
		c := subscribe(t, s, 0)
		if n, m := server.Count("channel.open")-opened, server.Count("queue.declare")-declared; n != 1 || m != 1 {
			t.Errorf("%d channels, %d declarations", n, m)
		}
		differences := c.Differences(t.Context())
		if len(differences) != 2 {
			t.Fatalf("got %v", differences)
		}
		for i, want := range []struct{ op, queue, text string }{
			{"declare exchange x", "", "inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'topic'"},
			{"declare queue", "q", "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'"},
		} {
			e := differences[i]
			wantError(t, e, Precondition, ScopeChannel)
			if e.Op != want.op || e.Queue != want.queue || !strings.Contains(e.Reason(), want.text) {
				t.Errorf("%+v: %s", e, e.Reason())
			}
		}
		_, err := s.Consume(t.Context(), 2, Intake{})
		wantError(t, err, Precondition, ScopeChannel)
		synctest.Wait()
		if c := server.Connections(); len(c) != 1 || c[0].Channels != 3 {
			t.Errorf("left behind: %+v, want the control channel and two", c)
		}
		wantNoMoreLosses(t, s)
	})
}

// What is missing is declared, and again when it has gone.
func TestWhatIsMissingIsDeclared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, Subscription{
			Queue: "q", Declare: limited, Prefetch: 1,
			Exchanges: []Exchange{{Name: "x", Kind: "fanout"}}, Bindings: []Binding{{Exchange: "x"}},
		})
		s := begin(t, plan)
		for i := range 2 {
			c := subscribe(t, s, 0)
			if got := c.Differences(t.Context()); got != nil {
				t.Errorf("it differs: %v", got)
			}
			if i == 0 {
				server.DeleteQueue("q")
				wantError(t, (<-s.Losses()).Err, Cancelled, ScopeSubscription)
			}
		}
		err := server.DeclareQueue("q", nil) // which is durable
		if err == nil || !strings.Contains(err.Error(), "x-max-length") {
			t.Errorf("it was declared without its arguments: %v", err)
		}
	})
}

// Somebody else may declare it between the look and the declaration.
func TestDeclaredByAnotherMeanwhile(t *testing.T) {
	for _, test := range []struct {
		name      string
		arguments map[string]any // the other's
		differs   bool
	}{
		{"alike", limited.Arguments, false},
		{"otherwise", map[string]any{"x-queue-type": "quorum"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t, Subscription{Queue: "q", Declare: limited, Prefetch: 1})
				s := begin(t, plan)
				fired := server.Inject(brokertest.OnMethod("channel.open", 2), brokertest.Delay(time.Second)).Played
				go func() {
					<-fired
					if err := server.DeclareQueue("q", test.arguments); err != nil {
						t.Error(err)
					}
				}()
				c := subscribe(t, s, 0)
				if got := c.Differences(t.Context()); len(got) > 0 != test.differs {
					t.Errorf("differences: %v", got)
				}
				wantNoMoreLosses(t, s)
			})
		})
	}
}

// RabbitMQ 4.0 cannot say that something of a long name is missing: it is declared at once, and used if it exists
// otherwise.
func TestLongNamesAreNotAskedFor(t *testing.T) {
	for name, passive := range map[string]bool{
		strings.Repeat("x", 255): true, strings.Repeat("é", 100): true, strings.Repeat("é", 120): false,
	} {
		synctest.Test(t, func(t *testing.T) {
			server, plan := serve(t, Subscription{Queue: name, Declare: limited, Prefetch: 1})
			s := begin(t, plan)
			opened := server.Count("channel.open")
			subscribe(t, s, 0)
			if n := server.Count("channel.open") - opened; (n == 2) != passive {
				t.Errorf("%.20s: %d channels were opened", name, n)
			}
			server.DeleteQueue(name)
			<-s.Losses()
			if err := server.DeclareQueue(name, nil); err != nil {
				t.Fatal(err)
			}
			if got := subscribe(t, s, 0).Differences(t.Context()); (len(got) == 1) != (name[0] == 'x') {
				t.Errorf("%.20s: %v", name, got)
			}
		})
	}
}

// What cannot be declared at all says why, and not that it is missing.
func TestDeclarationRefused(t *testing.T) {
	for _, code := range []uint16{403, 405, 406} {
		synctest.Test(t, func(t *testing.T) {
			server, plan := serve(t, Subscription{Queue: "q", Declare: limited, Prefetch: 1})
			s := begin(t, plan)
			server.Inject(brokertest.OnMethod("queue.declare", 2), brokertest.CloseChannel(code, "as told"))
			_, err := s.Consume(t.Context(), 0, Intake{})
			var e *Error
			if !errors.As(err, &e) || e.Code != int(code) || e.Op != "declare queue" || e.Scope != ScopeChannel {
				t.Errorf("got %v, want %d", err, code)
			}
			synctest.Wait()
			if c := server.Connections(); len(c) != 1 || c[0].Channels != 1 {
				t.Errorf("left behind: %+v, want the control channel", c)
			}
			subscribe(t, s, 0)
		})
	}
}

// What is there and cannot be used now is not declared: it is not missing.
func TestNotMissing(t *testing.T) {
	for _, test := range []struct {
		code  uint16
		text  string
		class Class
	}{
		{404, "queue 'q' in vhost '/' process is stopped by supervisor", BrokerShutdown},
		{405, "cannot obtain exclusive access to locked queue 'q' in vhost '/'", Exclusive},
		{406, "as told", Precondition},
	} {
		synctest.Test(t, func(t *testing.T) {
			server, plan := serve(t, Subscription{Queue: "q", Declare: limited, Prefetch: 1})
			s := begin(t, plan)
			server.Inject(brokertest.OnMethod("queue.declare", 1), brokertest.CloseChannel(test.code, test.text))
			_, err := s.Consume(t.Context(), 0, Intake{})
			wantError(t, err, test.class, ScopeChannel)
			if n := server.Count("queue.declare"); n > 1 { // the one that a fault is played on is not counted
				t.Errorf("%s: declared %d times", test.text, n)
			}
			if _, there := server.Queue("q"); there {
				t.Errorf("%s: it was declared", test.text)
			}
		})
	}
}

// Nobody is kept waiting by the question, and nothing that is not known is told.
func TestDifferencesEnd(t *testing.T) {
	for _, fault := range []brokertest.Fault{brokertest.CloseChannel(403, "not you"), brokertest.Reset(), brokertest.Freeze(brokertest.Both)} {
		t.Run(fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t, Subscription{Queue: "q", Declare: limited, Prefetch: 1})
				if err := server.DeclareQueue("q", nil); err != nil {
					t.Fatal(err)
				}
				c := subscribe(t, begin(t, plan), 0)
				server.Inject(brokertest.OnMethod("queue.declare", 1), fault)
				if got := c.Differences(t.Context()); got != nil {
					t.Errorf("got %v", got)
				}
			})
		})
	}
}
