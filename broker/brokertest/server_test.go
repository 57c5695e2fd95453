package brokertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/everhop/everhop/broker/internal/wire"
)

// A start takes less than a millisecond, whenever nobody else has the machine.
func TestStartIsQuick(t *testing.T) {
	for name, config := range map[string]Config{"tcp": {}, "memory": {InMemory: true}} {
		least := time.Hour
		for range 1000 {
			began := time.Now()
			s, err := Start(config)
			least = min(least, time.Since(began))
			ok(t, err)
			s.Close()
			if least < time.Millisecond {
				break
			}
		}
		t.Logf("%s: %v", name, least)
		if least >= time.Millisecond {
			t.Errorf("%s: not once below a millisecond", name)
		}
	}
}

func TestStartTells(t *testing.T) {
	for _, heartbeat := range []time.Duration{-1, time.Millisecond, 1500 * time.Millisecond, 70000 * time.Second} {
		if s, err := Start(Config{InMemory: true, Heartbeat: heartbeat}); err == nil {
			s.Close()
			t.Errorf("%v was accepted", heartbeat)
		}
	}
}

func TestSeveralServers(t *testing.T) {
	one, two := NewServer(t), NewServer(t)
	ok(t, one.DeclareQueue("q", nil))
	dial(t, one, "one")
	dial(t, two, "two")
	if one.Addr() == two.Addr() || len(two.Queues()) > 0 || len(one.Connections()) != 1 {
		t.Error("they are the same")
	}
}

func TestConfig(t *testing.T) { synctest.Test(t, testConfig) }

func testConfig(t *testing.T) {
	config := Config{
		InMemory: true, Users: map[string]string{"u": "p"}, VirtualHosts: []string{"first", "second"}, Heartbeat: 7 * time.Second,
	}
	s, err := Start(config)
	ok(t, err)
	defer s.Close()
	config.Users["guest"] = "guest" // is too late
	connect := func(user, password, host string) error {
		conn, err := amqp.DialConfig("amqp://x/", amqp.Config{
			SASL:  []amqp.Authentication{&amqp.PlainAuth{Username: user, Password: password}},
			Vhost: host, Heartbeat: time.Hour,
			Dial: func(n, a string) (net.Conn, error) { return s.Dial(t.Context(), n, a) },
		})
		if err == nil {
			defer conn.Close()
			if got := s.Connections()[0]; got.VirtualHost != host || got.User != user || got.Heartbeat != 7*time.Second {
				t.Errorf("got %+v", got)
			}
		}
		return err
	}
	for _, test := range []struct {
		user, password, host string
		code                 int
	}{
		{"u", "p", "first", 0},
		{"u", "p", "second", 0},
		{"u", "q", "first", 403},
		{"guest", "guest", "first", 403},
		{"u", "p", "/", 530},
	} {
		got := 0
		if refused := (*amqp.Error)(nil); errors.As(connect(test.user, test.password, test.host), &refused) {
			got = refused.Code
		}
		if got != test.code {
			t.Errorf("%+v: %d", test, got)
		}
	}
	ok(t, s.DeclareQueue("q", nil))
	if got := s.Queues()[0]; got.VirtualHost != "first" {
		t.Errorf("got %+v", got)
	}
}

// The URL leads to what Config describes.
func TestURL(t *testing.T) {
	type users = map[string]string
	for _, test := range []struct {
		name       string
		config     Config
		want       string // {addr} is the server's
		user, host string
	}{
		{"defaults", Config{}, "amqp://guest:guest@{addr}/", "guest", "/"},
		{"guest among others", Config{Users: users{"a": "b", "guest": "secret"}}, "amqp://guest:secret@{addr}/", "guest", "/"},
		{"no guest", Config{Users: users{"v": "q", "u": "p"}}, "amqp://u:p@{addr}/", "u", "/"},
		{"no password", Config{Users: users{"u": ""}}, "amqp://u:@{addr}/", "u", "/"},
		{"strange characters", Config{Users: users{"u @:/": "p#?/%@: ä"}}, "amqp://u%20%40%3A%2F:p%23%3F%2F%25%40%3A%20%C3%A4@{addr}/", "u @:/", "/"},
		{"host", Config{VirtualHosts: []string{"first", "/"}}, "amqp://guest:guest@{addr}/first", "guest", "first"},
		{"host with a slash", Config{VirtualHosts: []string{"/first/x"}}, "amqp://guest:guest@{addr}/%2Ffirst%2Fx", "guest", "/first/x"},
		{"strange host", Config{VirtualHosts: []string{"a b%?#ä"}}, "amqp://guest:guest@{addr}/a%20b%25%3F%23%C3%A4", "guest", "a b%?#ä"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, inMemory := range []bool{false, true} {
				test.config.InMemory = inMemory
				s, err := Start(test.config)
				ok(t, err)
				defer s.Close()
				if got, want := s.URL(), strings.ReplaceAll(test.want, "{addr}", s.Addr()); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				s.SetPassword("a", "new")
				dial(t, s, "c")
				if got := s.Connections()[0]; got.User != test.user || got.VirtualHost != test.host {
					t.Errorf("got %+v", got)
				}
			}
		})
	}
}

// A client's answer is what counts, whether it asks for more or for less.
func TestHeartbeatIsTheClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Start(Config{InMemory: true, Heartbeat: 10 * time.Second})
		ok(t, err)
		defer s.Close()
		for i, heartbeat := range []time.Duration{time.Second, time.Hour, 0} {
			greet(t, s, heartbeat, able)
			if got := s.Connections()[i].Heartbeat; got != heartbeat {
				t.Errorf("got %v, want %v", got, heartbeat)
			}
		}
	})
}

// failing is a listener for which there are too many open files at first.
type failing struct {
	net.Listener
	failures int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.failures > 0 {
		f.failures--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

func TestAcceptFailsForAWhile(t *testing.T) {
	s := NewServer(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.acceptAll(&failing{listener, 3})
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	ok(t, err)
	defer conn.Close()
	await(t, s, "it is accepted", func() bool { return len(s.Connections()) == 1 })
	listener.Close()
	happens(t, s, "the loop's end", ended)
}

// closings are what Close may find.
var closings = []struct {
	name    string
	prepare func(*testing.T, *Server)
}{
	{"nobody", func(*testing.T, *Server) {}},
	{"an idle client", func(t *testing.T, s *Server) { join(t, s) }},
	{"a client before its greeting", func(t *testing.T, s *Server) { meet(t, s) }},
	{"a client that was refused", func(t *testing.T, s *Server) {
		p := meet(t, s)
		p.write([]byte("AMQP\x00\x00\x09\x01"))
		want[*wire.ConnectionStart](p)
		p.send(0, &wire.ConnectionStartOK{Mechanism: "PLAIN", Response: []byte("\x00guest\x00wrong")})
	}},
	{"a frozen client", func(t *testing.T, s *Server) { join(t, s); s.Inject(Now(), Freeze(Both)) }},
	{"a frozen client that was hung up on", func(t *testing.T, s *Server) {
		p := join(t, s)
		s.Inject(Now(), Freeze(Both))
		p.send(1, &wire.BasicQos{})
		s.Inject(Now(), HangUp())
	}},
	{"a blocked client", func(t *testing.T, s *Server) {
		p := join(t, s)
		s.Inject(Now(), Block(""))
		p.send(1, &wire.BasicQos{})
	}},
	{"a slow client", func(t *testing.T, s *Server) {
		p := join(t, s)
		s.Inject(Now(), Drip(time.Hour))
		p.send(1, &wire.BasicQos{})
	}},
	{"a client that was told to close", func(t *testing.T, s *Server) { join(t, s); s.Inject(Now(), CloseConnection(320, "")) }},
	{"a client that does not read", func(t *testing.T, s *Server) {
		p := join(t, s)
		ok(t, s.DeclareQueue("q", nil))
		for range 100 {
			ok(t, s.Publish("q", string(make([]byte, 100<<10))))
		}
		p.send(1, &wire.BasicConsume{Queue: "q"})
		await(t, s, "deliveries", func() bool { return stateOf(t, s, "q").Unacknowledged > 0 })
	}},
	{"a client that was hung up on", func(t *testing.T, s *Server) { join(t, s); s.Inject(Now(), HangUp()) }},
	{"messages that expire", func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", map[string]any{"x-message-ttl": 3600_000}))
		ok(t, s.Publish("q", "1"))
	}},
	{"heartbeats", func(t *testing.T, s *Server) { dial(t, s, "c") }},
	{"a stopped app", func(t *testing.T, s *Server) { join(t, s); s.StopApp() }},
}

func TestClose(t *testing.T) {
	for _, test := range closings {
		t.Run(test.name, func(t *testing.T) {
			for _, inMemory := range []bool{false, true} {
				s, err := Start(Config{InMemory: inMemory})
				ok(t, err)
				current := goleak.IgnoreCurrent()
				test.prepare(t, s)
				var closes sync.WaitGroup
				for range 3 {
					closes.Go(s.Close)
				}
				closes.Wait()
				s.Close()
				s.mu.Lock()
				for c := range s.connections {
					t.Errorf("connection %d is left", c.id)
				}
				s.mu.Unlock()
				if _, err := s.connectTo(); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("connecting after Close: %v", err)
				}
				if s.AcceptConnections() == nil || s.StartApp() == nil || s.DeclareQueue("late", nil) == nil || s.Publish("q") == nil {
					t.Error("something works after Close")
				}
				s.Inject(Now(), Reset())
				s.StopApp()
				s.Alarm("")
				s.ClearAlarm()
				ours := goleak.IgnoreAnyFunction("github.com/rabbitmq/amqp091-go.(*Connection).heartbeater")
				if err := goleak.Find(current, ours, goleak.IgnoreAnyFunction("net.(*pipe).read")); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Nothing that was started in a bubble is left when it ends, or synctest panics.
func TestCloseInABubble(t *testing.T) {
	for _, test := range closings {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewInMemoryServer(t)
				test.prepare(t, s)
				began := time.Now()
				s.Close()
				if took := time.Since(began); took != 0 {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// Close while clients come, work and go.
func TestCloseUnderLoad(t *testing.T) {
	for range 20 {
		s, err := Start(Config{})
		ok(t, err)
		ok(t, s.DeclareQueue("q", map[string]any{"x-message-ttl": 1000}))
		var clients sync.WaitGroup
		for n := range 4 {
			clients.Go(func() {
				for {
					conn, err := amqp.DialConfig(s.URL(), amqp.Config{})
					if err != nil {
						if s.isClosed() {
							return
						}
						continue
					}
					ch, err := conn.Channel()
					for err == nil {
						err = ch.Publish("", "q", false, false, amqp.Publishing{Body: fmt.Append(nil, n)})
					}
					conn.Close()
				}
			})
		}
		await(t, s, "work", func() bool { return s.Count("basic.publish") > 100 })
		s.Close()
		clients.Wait()
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func TestAwait(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Await(ended, func() bool { return true }); err != nil {
			t.Errorf("the condition holds: %v", err)
		}
		if err := s.Await(ended, func() bool { return false }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		timeout, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		if err := s.Await(timeout, func() bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		done := make(chan error, 1)
		go func() {
			done <- s.Await(context.Background(), func() bool { _, found := s.Queue("q"); return found })
		}()
		ok(t, s.DeclareQueue("q", nil))
		ok(t, happens(t, s, "Await returns", done))
	})
}

// Nobody waits for what a closed server will never do.
func TestAwaitOfAClosedServer(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		done := make(chan error, 1)
		looked := make(chan struct{}, 10)
		go func() {
			done <- s.Await(context.Background(), func() bool { looked <- struct{}{}; return false })
		}()
		happens(t, s, "Await looks", looked)
		s.Close()
		if err := happens(t, s, "Await returns", done); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		if err := s.Await(context.Background(), func() bool { return false }); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		if err := s.Await(context.Background(), func() bool { return len(s.Connections()) == 0 }); err != nil {
			t.Errorf("the condition holds: %v", err)
		}
		for name, err := range map[string]error{
			"DeclareQueue": s.DeclareQueue("q", nil), "Publish": s.Publish("q"), "StartApp": s.StartApp(), "AcceptConnections": s.AcceptConnections(),
		} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

// No change is missed, however it falls between a look and the wait: here each is the last for the time
// being, and whoever missed it would wait for ever.
func TestAwaitMissesNothing(t *testing.T) {
	s := NewServer(t)
	ok(t, s.DeclareQueue("ping", nil))
	ok(t, s.DeclareQueue("pong", nil))
	const rounds = 5000
	turns := func(queue string, awaited int) {
		for n := range rounds {
			ok(t, s.Publish(queue, "x"))
			other := map[string]string{"ping": "pong", "pong": "ping"}[queue]
			await(t, s, other, func() bool { return stateOf(t, s, other).Ready > n+awaited })
		}
	}
	var pong sync.WaitGroup
	pong.Go(func() {
		await(t, s, "ping", func() bool { return stateOf(t, s, "ping").Ready > 0 })
		turns("pong", 1)
	})
	turns("ping", 0)
	ok(t, s.Publish("ping", "the last"))
	pong.Wait()
}

func TestUnknownVersion(t *testing.T) {
	if s, err := Start(Config{Version: "2.8"}); err == nil || !strings.Contains(err.Error(), `"2.8"`) {
		t.Errorf("started %v: %v", s, err)
	}
}
