package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

// refusal is an error whose method panics if it is nil.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

// misbehaving are the ways of a function that the program supplies, and what the error then says of it.
var misbehaving = []struct {
	name, want string
	act        func() error
}{
	{"panics", " panicked: no vault (github.com/everhop/everhop/broker.vault supplied_test.go:", func() error { vault(); return nil }},
	{"panics with nil", " panicked: panic called with nil argument", func() error { panic(nil) }},
	{"dereferences nil", " panicked: runtime error: invalid memory address", func() error { _ = (*refusal)(nil).text; return nil }},
	{"ends its goroutine", " ended its goroutine instead of returning", func() error { runtime.Goexit(); return nil }},
	{"returns an error", "sealed", func() error { return errors.New("sealed") }},
	{"returns an error that is nil", "", func() error { return (*refusal)(nil) }},
	{"returns an error of another broker", "refused", func() error { return &Error{Class: Auth, Err: errors.New("refused")} }},
}

func vault() { panic("no vault") }

// once lets an act happen at the first call only, so that the next attempt must succeed.
func once(act func() error) func() error {
	calls := 0
	return func() error {
		if calls++; calls == 1 {
			return act()
		}
		return nil
	}
}

// wantFailedAttempt expects that the first attempt fails in the step, and that the second one does not.
func wantFailedAttempt(t *testing.T, plan Plan, step string, class Class, texts ...string) {
	t.Helper()
	_, err := Open(t.Context(), plan, 1, 0)
	var e *Error
	if !errors.As(err, &e) || e.Op != step || e.Class != class || e.Scope != ScopeConnection {
		t.Errorf("got %v (%+v), want class %s from %s", err, e, class, step)
	}
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("the error is %v, and should say %q in one line", err, text)
		}
	}
	begin(t, plan)
}

func TestCredentialsThatMisbehave(t *testing.T) {
	for _, test := range misbehaving {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, plan := serve(t)
				act := once(test.act)
				plan.Credentials = func(context.Context) (Credentials, error) { return NewCredentials("guest", "guest"), act() }
				name := ""
				if strings.HasPrefix(test.want, " ") {
					name = "Credentials"
				}
				wantFailedAttempt(t, plan, "credentials", Unknown, name+test.want)
			})
		})
	}
}

func TestCredentialsThatAreNone(t *testing.T) {
	for want, credentials := range map[string]Credentials{
		"the user name is empty":                        {},
		"the user name: not UTF-8":                      NewCredentials("\xff", ""),
		"the user name: 256 bytes, and 255 is the most": NewCredentials(strings.Repeat("u", 256), ""),
		"a NUL in user name or password":                NewCredentials("guest", "guest\x00"),
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, plan := serve(t)
				next := credentials
				plan.Credentials = func(context.Context) (Credentials, error) {
					defer func() { next = NewCredentials("guest", "guest") }()
					return next, nil
				}
				wantFailedAttempt(t, plan, "credentials", Unknown, want)
			})
		})
	}
}

func TestDialThatMisbehaves(t *testing.T) {
	dials := func(server *brokertest.Server, act func() error) dialer {
		act = once(act)
		return func(ctx context.Context, network, address string) (net.Conn, error) {
			if err := act(); err != nil {
				return nil, err
			}
			return server.Dial(ctx, network, address)
		}
	}
	for _, test := range misbehaving {
		if test.name == "returns an error of another broker" {
			continue // as a TLS or SSH tunnel may; it is for that to judge
		}
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t)
				plan.Dial = dials(server, test.act)
				name := ""
				if strings.HasPrefix(test.want, " ") {
					name = "Dial"
				}
				wantFailedAttempt(t, plan, "dial", Unknown, name+test.want)
			})
		})
	}
}

// faulty is a connection with methods that do not return.
type faulty struct {
	net.Conn
	reads, writes int    // before a fault
	fault         func() // of Close, too
}

func (f *faulty) Read(p []byte) (int, error) {
	if f.reads--; f.reads < 0 {
		f.fault()
	}
	return f.Conn.Read(p)
}

func (f *faulty) Write(p []byte) (int, error) {
	if f.writes--; f.writes < 0 {
		f.fault()
	}
	return f.Conn.Write(p)
}

func (f *faulty) Close() error {
	_ = f.Conn.Close()
	f.fault()
	return nil
}

func TestDialThatReturnsNoConnection(t *testing.T) {
	const many = 1 << 20
	for _, test := range []struct {
		name  string
		spoil func(net.Conn) net.Conn
		step  string
		want  string
	}{
		{"nil", func(c net.Conn) net.Conn { c.Close(); return nil }, "dial", "Dial returned neither a connection nor an error"},
		{"a nil pointer", func(c net.Conn) net.Conn { c.Close(); return (*net.TCPConn)(nil) }, "dial", "Dial returned a nil *net.TCPConn and no error"},
		{"an empty struct", func(c net.Conn) net.Conn { c.Close(); return struct{ net.Conn }{} }, "open", "of the connection that Dial returned panicked"},
		{"reads panic", func(c net.Conn) net.Conn { return &faulty{c, 0, many, vault} }, "open", "Read of the connection that Dial returned panicked: no vault"},
		{"writes panic", func(c net.Conn) net.Conn { return &faulty{c, many, 0, vault} }, "open", "Write of the connection that Dial returned panicked: no vault"},
		{"amid the handshake", func(c net.Conn) net.Conn { return &faulty{c, 2, many, vault} }, "open", "Read of the connection that Dial returned panicked: no vault"},
		{"reads end their goroutine", func(c net.Conn) net.Conn { return &faulty{c, 0, many, runtime.Goexit} }, "open", "Read of the connection that Dial returned ended its goroutine"},
		{"writes end their goroutine", func(c net.Conn) net.Conn { return &faulty{c, many, 0, runtime.Goexit} }, "open", "Write of the connection that Dial returned ended its goroutine"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t)
				dials := 0
				plan.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := server.Dial(ctx, network, address)
					if dials++; dials == 1 && err == nil {
						c = test.spoil(c)
					}
					return c, err
				}
				wantFailedAttempt(t, plan, test.step, Unknown, test.want)
			})
		})
	}
}

// A connection that fails later is lost like any other.
func TestConnectionThatFailsLater(t *testing.T) {
	for want, fault := range map[string]func(){"panicked: no vault": vault, "ended its goroutine": runtime.Goexit} {
		t.Run(want, func(t *testing.T) { testConnectionThatFailsLater(t, fault, want) })
	}
}

func testConnectionThatFailsLater(t *testing.T, fault func(), want string) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, Subscription{Queue: "q", Declare: &QueueOptions{}, Prefetch: 1})
		f := &faulty{reads: 1 << 20, writes: 1 << 20, fault: fault}
		plan.Dial = func(ctx context.Context, network, address string) (c net.Conn, err error) {
			f.Conn, err = server.Dial(ctx, network, address)
			return f, err
		}
		s := begin(t, plan)
		subscribe(t, s, 0)
		synctest.Wait()
		f.reads = 0 // the reader is in a read that has begun; the one after it does not return
		publishTo(t, server, "q", "1")
		l := <-s.Losses()
		wantError(t, l.Err, Unknown, ScopeConnection)
		if !strings.Contains(l.Err.Error(), "Read of the connection that Dial returned "+want) {
			t.Errorf("lost by %v", l.Err)
		}
		plan.Dial = server.Dial
		begin(t, plan)
	})
}

// Nobody waits for a connection to close, or for what belongs to that: neither who gives up the connection,
// nor who is told of its loss.
func TestConnectionThatHangsWhenItIsClosed(t *testing.T) {
	for name, end := range map[string]func(*Session, *brokertest.Server){
		"aborted": func(s *Session, _ *brokertest.Server) { s.Abort() },
		"lost": func(s *Session, server *brokertest.Server) {
			server.Inject(brokertest.Now(), brokertest.Reset())
			<-s.Losses()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t)
				over := make(chan struct{})
				defer close(over)
				dial := plan.Dial
				plan.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := dial(ctx, network, address)
					return &faulty{c, 1 << 20, 1 << 20, func() { <-over }}, err
				}
				s, err := Open(t.Context(), plan, 1, 0)
				if err != nil {
					t.Fatal(err)
				}
				if d := took(func() { end(s, server) }); d > time.Second {
					t.Errorf("it took %v", d)
				}
				s.Abort()
			})
		})
	}
}

// What does not return is waited for no longer than anything else, and the error says what it was.
func TestSuppliedFunctionsThatHang(t *testing.T) {
	for step, hang := range map[string]func(*Plan, func()){
		"credentials": func(p *Plan, wait func()) {
			p.Credentials = func(context.Context) (Credentials, error) { wait(); return NewCredentials("guest", "guest"), nil }
		},
		"TLS configuration": func(p *Plan, wait func()) {
			p.Endpoints[0].tls = true
			p.TLS = func(context.Context) (*tls.Config, error) { wait(); return nil, nil }
		},
		"dial": func(p *Plan, wait func()) {
			p.Dial = func(context.Context, string, string) (net.Conn, error) { wait(); return nil, nil }
		},
	} {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, plan := serve(t)
				hang(&plan, func() { time.Sleep(time.Hour) })
				var err error
				if d := took(func() { _, err = Open(t.Context(), plan, 1, 0) }); d != DefaultConnectTimeout {
					t.Errorf("gave up after %v", d)
				}
				var e *Error
				if !errors.As(err, &e) || e.Op != step || !errors.Is(err, errConnectTimeout) {
					t.Errorf("got %v", err)
				}
				time.Sleep(2 * time.Hour) // so that it returns, and its goroutine ends
			})
		})
	}
}

func TestTLSThatMisbehaves(t *testing.T) {
	for _, test := range misbehaving {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, plan := serve(t)
				plan.Endpoints[0].tls = true
				plan.TLS = func(context.Context) (*tls.Config, error) { return nil, test.act() }
				_, err := Open(t.Context(), plan, 1, 0)
				wantError(t, err, Unknown, ScopeConnection)
				if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "TLS configuration") {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}
}

func TestTLSCallbacksThatMisbehave(t *testing.T) {
	authority := newAuthority(t)
	server := &tls.Config{Certificates: []tls.Certificate{authority.issue(t, "localhost", time.Hour)}}
	port := terminate(t, func() *tls.Config { return server })
	e, err := ParseEndpoint("amqps://localhost:" + port)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range misbehaving {
		if strings.HasPrefix(test.want, " ") {
			t.Run(test.name, func(t *testing.T) {
				act := once(test.act)
				plan := Plan{Endpoints: []Endpoint{e}, TLS: func(context.Context) (*tls.Config, error) {
					return &tls.Config{
						RootCAs:          authority.pool(),
						VerifyConnection: func(tls.ConnectionState) error { return act() },
					}, nil
				}}
				wantFailedAttempt(t, plan, "TLS handshake", Unknown, "the TLS configuration"+test.want)
			})
		}
	}
}
