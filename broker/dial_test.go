package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// network is several endpoints, a, b, c, and a record of who was dialed when.
type network struct {
	endpoints map[string]func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	begin time.Time
	dials []string // "a:1@300ms"
}

func newNetwork() *network {
	return &network{begin: time.Now(), endpoints: map[string]func(context.Context, string, string) (net.Conn, error){}}
}

func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dials = append(n.dials, fmt.Sprintf("%s@%v", address, time.Since(n.begin)))
	n.mu.Unlock()
	return n.endpoints[address](ctx, network, address)
}

func (n *network) plan(hosts ...string) Plan {
	plan := Plan{Dial: n.dial}
	for _, host := range hosts {
		plan.Endpoints = append(plan.Endpoints, Endpoint{host: host, port: 1, vhost: "/"})
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

// How an endpoint can be, apart from a fake broker.
func noAnswer(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
func refused(context.Context, string, string) (net.Conn, error) {
	return nil, syscallError("connect", syscall.ECONNREFUSED)
}

func healthy() *fake { return &fake{} }
func silent() *fake  { return &fake{on: map[method]func(*peer){header: ignore}} }
func refusing(code uint16, text string) *fake {
	return &fake{on: map[method]func(*peer){startOK: refuse(code, text)}}
}

func TestConnectStartsTheNextBesideASilentOne(t *testing.T) {
	for name, first := range map[string]func(context.Context, string, string) (net.Conn, error){
		"the dial does not return":     noAnswer,
		"the handshake does not begin": silent().dial,
		"the handshake stops midway":   (&fake{on: map[method]func(*peer){startOK: ignore}}).dial,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left over
				n := newNetwork()
				n.endpoints["a:1"], n.endpoints["b:1"] = first, healthy().dial
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
			})
		})
	}
}

func TestConnectAbortsTheLoser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, slow := newNetwork(), &fake{on: map[method]func(*peer){connectionOpen: after(time.Second, answers[connectionOpen])}}
		n.endpoints["a:1"], n.endpoints["b:1"] = slow.dial, healthy().dial
		plan := n.plan("a", "b")
		link, err := plan.connect(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer link.abort()
		synctest.Wait()
		if _, err := slow.peers[0].Write([]byte{0}); err == nil {
			t.Error("the loser's connection is open")
		}
		time.Sleep(time.Hour)
		n.expect(t, "a:1@0s", "b:1@300ms")
	})
}

func TestConnectAbortsALoserThatFinishedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if a connection is left over
		finishing := func(d time.Duration) *fake {
			return &fake{on: map[method]func(*peer){connectionOpen: after(d, answers[connectionOpen])}}
		}
		n := newNetwork()
		n.endpoints["a:1"], n.endpoints["b:1"] = finishing(time.Second).dial, finishing(700*time.Millisecond).dial
		plan := n.plan("a", "b")
		link, err := plan.connect(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		link.abort()
	})
}

func TestConnectGoesOnAtOnceAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.endpoints["a:1"], n.endpoints["b:1"], n.endpoints["c:1"] = refused, refusing(403, "ACCESS_REFUSED").dial, healthy().dial
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
		n.endpoints["a:1"], n.endpoints["b:1"], n.endpoints["c:1"] = refused, refused, refused
		plan := n.plan("a", "b", "c")
		if _, err := plan.connect(t.Context(), 5); err == nil {
			t.Fatal("connected to nobody")
		}
		n.expect(t, "c:1@0s", "a:1@0s", "b:1@0s")
	})
}

func TestConnectReportsTheFailureThatCanHeal(t *testing.T) {
	auth, down := refusing(403, "ACCESS_REFUSED").dial, refusing(320, "CONNECTION_FORCED").dial
	tests := []struct {
		name string
		a, b func(context.Context, string, string) (net.Conn, error)
		want Class
	}{
		{"both fatal", auth, refusing(530, "NOT_ALLOWED - vhost x not found").dial, Auth},
		{"the first", refused, auth, Network},
		{"the second", auth, refused, Network},
		{"the first of two", down, refused, BrokerShutdown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				n.endpoints["a:1"], n.endpoints["b:1"] = test.a, test.b
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
		n.endpoints["a:1"] = silent().dial
		plan := n.plan("a")
		var err error
		if d := took(func() { _, err = plan.connect(t.Context(), 0) }); d != DefaultConnectTimeout {
			t.Errorf("gave up after %v", d)
		}
		if class, _ := Classify(err); class != Network || !errors.Is(err, errConnectTimeout) {
			t.Errorf("class %s: %v", class, err)
		}
		n.expect(t, "a:1@0s", "a:1@1s", "a:1@3s")
	})
}

func TestConnectEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.endpoints["a:1"], n.endpoints["b:1"] = noAnswer, silent().dial
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
	})
}

func TestConnectAsksTheCallerForEachDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, asked := newNetwork(), 0
		n.endpoints["a:1"], n.endpoints["b:1"] = refused, healthy().dial
		plan := n.plan("a", "b")
		plan.Credentials = func(context.Context) (Credentials, error) { asked++; return Credentials{}, nil }
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
	at := func(m method, act func(*peer)) *fake { return &fake{on: map[method]func(*peer){m: act}} }
	http := func(p *peer) { p.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }
	tests := []struct {
		name string
		fake *fake
		want Class
		code int
	}{
		{"closed at once", at(header, hangUp), Network, 0},
		{"closed after the login: not known to be the password", at(startOK, hangUp), Network, 0},
		{"closed after connection.open: not known to be the vhost", at(connectionOpen, hangUp), Network, 0},
		{"login refused", at(startOK, refuse(403, "ACCESS_REFUSED - Login was refused")), Auth, 403},
		{"vhost unknown", at(connectionOpen, refuse(530, "NOT_ALLOWED - vhost x not found")), VHost, 530},
		{"shutting down", at(connectionOpen, refuse(320, "CONNECTION_FORCED")), BrokerShutdown, 320},
		{"not AMQP", at(header, http), Protocol, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := Open(t.Context(), test.fake.plan(), 1, 0)
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
