package rabbittest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// short is how long a silence is watched before it is believed.
const short = 300 * time.Millisecond

// echoServer sends back what it gets, until the test ends.
func echoServer(t testing.TB) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() {
				defer conn.Close()
				io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		tasks.Wait()
	})
	return listener.Addr().String()
}

// newProxy is cleaned up before what was set up before it: an echo server waits
// for its connections.
func newProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	proxy, err := NewProxy(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	return proxy
}

func connect(t testing.TB, p *Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func expect(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(patience))
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("read %q, %v, want %q", got, err, text)
	}
}

func expectSilence(t testing.TB, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(short))
	if count, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v, want silence", count, err)
	}
}

func expectReset(t testing.TB, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read: %v, want ECONNRESET", err)
	}
}

func TestProxyPasses(t *testing.T) {
	proxy := newProxy(t, echoServer(t))
	conn := connect(t, proxy)
	send(t, conn, "ping")
	expect(t, conn, "ping")
	if count := proxy.Connections(); count != 1 {
		t.Errorf("Connections = %d, want 1", count)
	}
	// The end of a stream passes, and what is on its way still arrives.
	send(t, conn, "last")
	must(t, conn.(*net.TCPConn).CloseWrite())
	expect(t, conn, "last")
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read: %v, want EOF", err)
	}
	Eventually(t, patience, "no connection is left", func() bool { return proxy.Connections() == 0 })
}

func TestProxyReset(t *testing.T) {
	proxy := newProxy(t, echoServer(t))
	conn := connect(t, proxy)
	send(t, conn, "ping")
	expect(t, conn, "ping")
	proxy.Reset()
	expectReset(t, conn)

	again := connect(t, proxy)
	send(t, again, "ping")
	expect(t, again, "ping")
}

func TestProxyRefuseAccept(t *testing.T) {
	proxy := newProxy(t, echoServer(t))
	conn := connect(t, proxy)
	send(t, conn, "ping")
	expect(t, conn, "ping")
	for range 2 { // idempotent
		proxy.Refuse()
	}
	expectReset(t, conn)
	if _, err := net.Dial("tcp", proxy.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v, want ECONNREFUSED", err)
	}
	for range 2 {
		must(t, proxy.Accept())
	}
	again := connect(t, proxy)
	send(t, again, "ping")
	expect(t, again, "ping")
}

func TestProxyFreeze(t *testing.T) {
	for _, test := range []struct {
		name      string
		direction Direction
		arrives   bool // whether what the client sends reaches the server
	}{
		{"to client", ToClient, true},
		{"to broker", ToBroker, false},
		{"both", Both, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			server, accepted := listenOne(t)
			proxy := newProxy(t, server)
			conn := connect(t, proxy)
			broker := receive(t, accepted)
			Eventually(t, patience, "the connection counts", func() bool { return proxy.Connections() == 1 })

			proxy.Freeze(test.direction)
			send(t, conn, "question")
			send(t, broker, "answer")
			if test.arrives {
				expect(t, broker, "question")
			} else {
				expectSilence(t, broker)
			}
			if test.direction == ToBroker {
				expect(t, conn, "answer")
			} else {
				expectSilence(t, conn)
			}

			proxy.Thaw()
			if !test.arrives {
				expect(t, broker, "question")
			}
			if test.direction != ToBroker {
				expect(t, conn, "answer")
			}
		})
	}
}

// A frozen proxy accepts, passes nothing, and tells nobody that a peer is gone.
func TestProxyFreezeNewConnection(t *testing.T) {
	server, accepted := listenOne(t)
	proxy := newProxy(t, server)
	proxy.Freeze(Both)
	conn := connect(t, proxy)
	broker := receive(t, accepted)
	send(t, conn, "farewell")
	conn.Close()
	expectSilence(t, broker)
	proxy.Thaw()
	expect(t, broker, "farewell")
	if _, err := broker.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read: %v, want EOF", err)
	}
}

// Only the connections of now fall silent.
func TestProxyFreezeCurrent(t *testing.T) {
	proxy := newProxy(t, echoServer(t))
	old := connect(t, proxy)
	send(t, old, "before")
	expect(t, old, "before")
	proxy.FreezeCurrent(Both)
	send(t, old, "after")
	expectSilence(t, old)
	other := connect(t, proxy)
	send(t, other, "other")
	expect(t, other, "other")
	proxy.Thaw()
	expect(t, old, "after")
}

// What is sent is gone, but the end passes.
func TestProxyDropCurrent(t *testing.T) {
	server, accepted := listenOne(t)
	proxy := newProxy(t, server)
	conn := connect(t, proxy)
	broker := receive(t, accepted)
	Eventually(t, patience, "the connection counts", func() bool { return proxy.Connections() == 1 })
	proxy.DropCurrent(ToBroker)
	send(t, conn, "question")
	expectSilence(t, broker)
	send(t, broker, "answer")
	expect(t, conn, "answer")
	proxy.DropCurrent(ToClient)
	send(t, broker, "more")
	expectSilence(t, conn)
	reset(conn.(*net.TCPConn))
	expectReset(t, broker)
}

func TestProxyTargetIsDown(t *testing.T) {
	proxy := newProxy(t, DeadPort(t))
	conn, err := net.Dial("tcp", proxy.Addr())
	if errors.Is(err, syscall.ECONNRESET) {
		return // already while it connected
	}
	must(t, err)
	defer conn.Close()
	expectReset(t, conn)
}

func TestProxyClose(t *testing.T) {
	proxy := newProxy(t, echoServer(t))
	conn := connect(t, proxy)
	send(t, conn, "ping")
	expect(t, conn, "ping")
	proxy.Freeze(Both)
	send(t, conn, "held")
	proxy.Close()
	proxy.Close()
	expectReset(t, conn)
	if err := proxy.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v, want net.ErrClosed", err)
	}
}

// All methods at once, for the race detector.
func TestProxyConcurrent(t *testing.T) {
	proxy := newProxy(t, echoServer(t))
	var tasks sync.WaitGroup
	for range 4 {
		tasks.Go(func() {
			for range 50 {
				conn, err := net.Dial("tcp", proxy.Addr())
				if err != nil {
					continue
				}
				conn.SetDeadline(time.Now().Add(time.Millisecond))
				io.WriteString(conn, "ping")
				conn.Read(make([]byte, 4))
				conn.Close()
			}
		})
	}
	for _, fault := range []func(){
		proxy.Reset, proxy.Refuse, proxy.FreezeAfterOpen, proxy.Thaw,
		func() { proxy.Accept() }, func() { proxy.Freeze(Both) }, func() { proxy.Connections() },
	} {
		tasks.Go(func() {
			for range 50 {
				fault()
			}
		})
	}
	tasks.Wait()
}

func TestProxyBeforeNode(t *testing.T) {
	proxy := newProxy(t, Shared(t).Addr())
	conn, channel := dial(t, proxy.URL(Shared(t).URL()))
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	must(t, channel.Qos(1, 0, false))
	proxy.Reset()
	if reason := receive(t, closed); reason == nil {
		t.Error("closed without an error")
	}
}

func TestProxyFreezeAfterOpen(t *testing.T) {
	proxy := newProxy(t, Shared(t).Addr())
	proxy.FreezeAfterOpen()
	conn, err := amqp.Dial(proxy.URL(Shared(t).URL()))
	must(t, err)
	answered := make(chan error, 1)
	go func() {
		_, err := conn.Channel()
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Errorf("a frozen broker answered channel.open: %v", err)
	case <-time.After(short):
	}
	proxy.Close()
	if err := receive(t, answered); err == nil {
		t.Error("Channel succeeded after Close")
	}
}

func TestProxyThawAfterOpen(t *testing.T) {
	proxy := newProxy(t, Shared(t).Addr())
	proxy.FreezeAfterOpen()
	conn, err := amqp.Dial(proxy.URL(Shared(t).URL()))
	must(t, err)
	proxy.Thaw()
	if _, err := conn.Channel(); err != nil {
		t.Error(err)
	}
	must(t, conn.Close())
}

func TestProxyURL(t *testing.T) {
	proxy := newProxy(t, "127.0.0.1:1")
	for given, want := range map[string]string{
		"amqp://guest:guest@127.0.0.1:5672/":    "amqp://guest:guest@" + proxy.Addr() + "/",
		"amqp://a:b@host/vhost%2fx?heartbeat=2": "amqp://a:b@" + proxy.Addr() + "/vhost%2fx?heartbeat=2",
		"amqp://[":                              "amqp://[",
	} {
		if got := proxy.URL(given); got != want {
			t.Errorf("URL(%q) = %q, want %q", given, got, want)
		}
	}
}

// listenOne is a server whose only connection the test holds itself.
func listenOne(t testing.TB) (addr string, accepted <-chan net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err == nil {
			t.Cleanup(func() { conn.Close() })
			conns <- conn
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return listener.Addr().String(), conns
}

func TestProxyLimit(t *testing.T) {
	proxy := newProxy(t, echoServer(t))
	proxy.Limit(Both, 200_000)
	conn := connect(t, proxy)
	const bytes = 200_000
	begin := time.Now()
	go conn.Write(make([]byte, bytes))
	if _, err := io.ReadFull(conn, make([]byte, bytes)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < time.Second {
		t.Errorf("%d bytes took %v", bytes, took)
	}
	proxy.Limit(Both, 0)
	send(t, conn, "hello")
	expect(t, conn, "hello")
}
