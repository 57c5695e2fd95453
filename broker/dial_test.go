package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

// network is several hosts, a, b, c, and a record of who was dialed when.
type network struct {
	hosts map[string]dialer

	mu    sync.Mutex
	begin time.Time
	dials []string // "a:1@300ms"
}

func newNetwork() *network { return &network{begin: time.Now(), hosts: map[string]dialer{}} }

// put makes a host on which a broker runs, with the given troubles.
func (n *network) put(t *testing.T, host string, troubles ...trouble) *brokertest.Server {
	t.Helper()
	server := brokertest.NewInMemoryServer(t)
	for _, trouble := range troubles {
		trouble(server)
	}
	n.hosts[host] = server.Dial
	return server
}

func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dials = append(n.dials, fmt.Sprintf("%s@%v", address, time.Since(n.begin)))
	n.mu.Unlock()
	return n.hosts[strings.TrimSuffix(address, ":1")](ctx, network, address)
}

func (n *network) plan(hosts ...string) Plan {
	plan := Plan{Dial: n.dial}
	for _, host := range hosts {
		plan.Endpoints = append(plan.Endpoints, Endpoint{host: host, port: 1, vhost: "/", credentials: NewCredentials("guest", "guest")})
	}
	return plan.withDefaults()
}

func (n *network) expect(t *testing.T, dials ...string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Equal(n.dials, dials) {
		t.Errorf("dialed %v, want %v", n.dials, dials)
	}
}

// trouble is what is wrong with a broker that is being connected to.
type trouble = func(*brokertest.Server)

func at(method string, fault brokertest.Fault) trouble {
	return func(s *brokertest.Server) { s.Inject(brokertest.OnMethod(method, 1), fault) }
}

// mute takes connections and says nothing on them.
func mute(s *brokertest.Server) {
	for nth := range 10 {
		s.Inject(brokertest.OnConnect(nth+1), brokertest.Freeze(brokertest.ToClient))
	}
}

func refusing(s *brokertest.Server)      { s.RefuseConnections() }
func wrongPassword(s *brokertest.Server) { s.SetPassword("guest", "another") }

var (
	noVirtualHost = at("connection.open", brokertest.CloseConnection(530, "vhost x not found"))
	stopping      = at("connection.open", brokertest.CloseConnection(320, "broker forced connection closure with reason 'shutdown'"))
)

// lost is a host that packets do not reach.
func lost(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// web is a host that speaks something else.
func web(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		io.ReadFull(far, make([]byte, 8)) // the protocol header
		io.WriteString(far, "HTTP/1.1 400 Bad Request\r\n\r\n")
		io.Copy(io.Discard, far)
	}()
	return near, nil
}

// wantConnected tells which of the servers have a connection.
func wantConnected(t *testing.T, want bool, servers ...*brokertest.Server) {
	t.Helper()
	synctest.Wait()
	for _, server := range servers {
		if c := server.Connections(); (len(c) > 0) != want {
			t.Errorf("connections: %+v", c)
		}
	}
}

func TestConnectStartsTheNextBesideASilentOne(t *testing.T) {
	tests := []struct {
		name string
		host func(*testing.T, *network)
	}{
		{"the dial does not return", func(_ *testing.T, n *network) { n.hosts["a"] = lost }},
		{"the handshake does not begin", func(t *testing.T, n *network) { n.put(t, "a", mute) }},
		{"no start", func(t *testing.T, n *network) { n.put(t, "a", at("connection.start", brokertest.Drop())) }},
		{"no tune", func(t *testing.T, n *network) { n.put(t, "a", at("connection.tune", brokertest.Drop())) }},
		{"no open-ok", func(t *testing.T, n *network) { n.put(t, "a", at("connection.open-ok", brokertest.Drop())) }},
		{"a byte now and then", func(t *testing.T, n *network) {
			n.put(t, "a").Inject(brokertest.OnConnect(1), brokertest.Drip(100*time.Millisecond))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				test.host(t, n)
				b := n.put(t, "b")
				plan := n.plan("a", "b")
				link, err := plan.connect(t.Context(), 0)
				if err != nil {
					t.Fatal(err)
				}
				defer link.abort()
				if link.endpoint.host != "b" {
					t.Errorf("%s won", link.endpoint)
				}
				n.expect(t, "a:1@0s", "b:1@300ms")
				wantConnected(t, true, b)
			})
		})
	}
}

func TestConnectAbortsTheLoser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		slow, fast := n.put(t, "a", at("connection.open", brokertest.Delay(time.Second))), n.put(t, "b")
		plan := n.plan("a", "b")
		link, err := plan.connect(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer link.abort()
		wantConnected(t, false, slow)
		time.Sleep(time.Hour)
		wantConnected(t, false, slow)
		wantConnected(t, true, fast)
		n.expect(t, "a:1@0s", "b:1@300ms")
	})
}

// Both finish in the same moment; who of the two sees the other win is up to the scheduler.
func TestConnectAbortsALoserThatFinishedToo(t *testing.T) {
	for range 20 {
		synctest.Test(t, testALoserThatFinishedToo)
	}
}

func testALoserThatFinishedToo(t *testing.T) {
	n := newNetwork()
	a := n.put(t, "a", at("connection.open", brokertest.Delay(time.Second)))
	b := n.put(t, "b", at("connection.open", brokertest.Delay(700*time.Millisecond)))
	plan := n.plan("a", "b")
	var link *link
	if d := took(func() {
		var err error
		if link, err = plan.connect(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}); d != time.Second {
		t.Errorf("connected after %v, so nobody finished at the same time", d)
	}
	synctest.Wait()
	if total := len(a.Connections()) + len(b.Connections()); total != 1 {
		t.Errorf("%d connections are left", total)
	}
	link.abort()
	wantConnected(t, false, a, b)
}

func TestConnectGoesOnAtOnceAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.put(t, "a", refusing)
		n.put(t, "b", wrongPassword)
		n.put(t, "c")
		plan := n.plan("a", "b", "c")
		link, err := plan.connect(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer link.abort()
		n.expect(t, "a:1@0s", "b:1@0s", "c:1@0s")
	})
}

func TestConnectBeginsWithTheGivenEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		for _, host := range []string{"a", "b", "c"} {
			n.put(t, host, refusing)
		}
		plan := n.plan("a", "b", "c")
		if _, err := plan.connect(t.Context(), 5); err == nil {
			t.Fatal("connected to nobody")
		}
		n.expect(t, "c:1@0s", "a:1@0s", "b:1@0s")
	})
}

func TestConnectReportsTheFailureThatCanHeal(t *testing.T) {
	tests := []struct {
		name string
		a, b trouble
		want Class
	}{
		{"both fatal", wrongPassword, noVirtualHost, Auth},
		{"the first", refusing, wrongPassword, Network},
		{"the second", wrongPassword, refusing, Network},
		{"the first of two", stopping, refusing, BrokerShutdown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				n.put(t, "a", test.a)
				n.put(t, "b", test.b)
				plan := n.plan("a", "b")
				_, err := plan.connect(t.Context(), 0)
				if class, _ := Classify(err); class != test.want {
					t.Errorf("class %s (%v), want %s", class, err, test.want)
				}
			})
		})
	}
}

func TestConnectRedialsASilentEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		server := n.put(t, "a", mute)
		plan := n.plan("a")
		var err error
		if d := took(func() { _, err = plan.connect(t.Context(), 0) }); d != DefaultConnectTimeout {
			t.Errorf("gave up after %v", d)
		}
		if class, _ := Classify(err); class != Network || !errors.Is(err, errConnectTimeout) {
			t.Errorf("class %s: %v", class, err)
		}
		n.expect(t, "a:1@0s", "a:1@1s", "a:1@3s")
		wantConnected(t, false, server)
	})
}

func TestConnectEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.hosts["a"] = lost
		b := n.put(t, "b", mute)
		plan := n.plan("a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(700*time.Millisecond, cancel)
		var err error
		if d := took(func() { _, err = plan.connect(ctx, 0) }); d != 700*time.Millisecond {
			t.Errorf("ended after %v", d)
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		wantConnected(t, false, b)
	})
}

// What the caller provides need not heed its context: nobody waits for it.
func TestConnectEndsThoughADialGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		server, late := brokertest.NewInMemoryServer(t), new(atomic.Int32)
		n.hosts["a"] = func(_ context.Context, network, address string) (net.Conn, error) {
			time.Sleep(time.Minute)
			late.Add(1)
			return server.Dial(context.Background(), network, address)
		}
		plan := n.plan("a")
		var err error
		if d := took(func() { _, err = plan.connect(t.Context(), 0) }); d != DefaultConnectTimeout || !errors.Is(err, errConnectTimeout) {
			t.Errorf("ended after %v with %v", d, err)
		}
		time.Sleep(2 * time.Minute)
		wantConnected(t, false, server)
		if late.Load() == 0 {
			t.Error("nobody came late, so this tests nothing")
		}
	})
}

func TestConnectAsksTheCallerForEachDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, asked := newNetwork(), 0
		n.put(t, "a", refusing)
		n.put(t, "b")
		plan := n.plan("a", "b")
		plan.Credentials = func(context.Context) (Credentials, error) { asked++; return NewCredentials("guest", "guest"), nil }
		link, err := plan.connect(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		link.abort()
		if asked != 2 {
			t.Errorf("asked for credentials %d times, dialed twice", asked)
		}

		plan.Credentials = func(context.Context) (Credentials, error) { return Credentials{}, errors.New("vault sealed") }
		_, err = plan.connect(t.Context(), 1)
		var e *Error
		if !errors.As(err, &e) || e.Class != Unknown || e.Op != "credentials" {
			t.Errorf("a failing provider: %v", err)
		}
	})
}

func TestHandshakeFailures(t *testing.T) {
	tests := []struct {
		name string
		a    func(*testing.T, *network)
		want Class
		code int
	}{
		{"closed at once", hangsUp(brokertest.OnConnect(1)), Network, 0},
		{"closed after the login: not known to be the password", hangsUp(brokertest.OnMethod("connection.start-ok", 1)), Network, 0},
		{"closed instead of connection.open-ok: not known to be the vhost", hangsUp(brokertest.OnMethod("connection.open", 1)), Network, 0},
		{"closed amid a frame", hangsUp(brokertest.AfterSent(20)), Network, 0},
		{"login refused", broker(wrongPassword), Auth, 403},
		{"vhost unknown", broker(noVirtualHost), VHost, 530},
		{"shutting down", broker(stopping), BrokerShutdown, 320},
		{"not there", broker(refusing), Network, 0},
		{"not AMQP", func(_ *testing.T, n *network) { n.hosts["a"] = web }, Protocol, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				test.a(t, n)
				_, err := Open(t.Context(), n.plan("a"), 1, 0)
				var e *Error
				if !errors.As(err, &e) {
					t.Fatalf("got %v, want an *Error", err)
				}
				if test.code == 0 && strings.Contains(e.Error(), "allowed") {
					t.Errorf("%q says what no broker said", e)
				}
				if e.Class != test.want || e.Code != test.code || e.Endpoint != "a:1" || e.Scope != ScopeConnection {
					t.Errorf("got class %s code %d at %q (%v), want %s %d", e.Class, e.Code, e.Endpoint, e, test.want, test.code)
				}
			})
		})
	}
}

func broker(trouble trouble) func(*testing.T, *network) {
	return func(t *testing.T, n *network) { n.put(t, "a", trouble) }
}

func hangsUp(when brokertest.Moment) func(*testing.T, *network) {
	return broker(func(s *brokertest.Server) { s.Inject(when, brokertest.HangUp()) })
}
