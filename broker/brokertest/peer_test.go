package brokertest

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/wire"
)

// onBoth runs a test over TCP, and in memory and synthetic time.
func onBoth(t *testing.T, test func(*testing.T, *Server)) {
	t.Helper()
	t.Run("tcp", func(t *testing.T) { test(t, NewServer(t)) })
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, NewInMemoryServer(t)) })
	})
}

// limit is how long a test waits for what should happen. In a bubble it costs nothing.
func (s *Server) limit() time.Duration {
	if s.inMemory {
		return 24 * time.Hour
	}
	return time.Minute
}

func await(t *testing.T, s *Server, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.limit())
	defer cancel()
	if err := s.Await(ctx, condition); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// happens waits for what a channel tells.
func happens[T any](t *testing.T, s *Server, what string, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(s.limit()):
		t.Fatalf("never: %s", what)
		panic("unreachable")
	}
}

func pending(played <-chan struct{}) bool {
	select {
	case <-played:
		return false
	default:
		return true
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *Server) connectTo() (conn net.Conn, err error) {
	if s.inMemory {
		conn, err = s.Dial(context.Background(), "tcp", s.Addr())
	} else {
		conn, err = net.DialTimeout("tcp", s.Addr(), s.limit())
	}
	if s.authority != nil && err == nil {
		conn = tls.Client(conn, s.TLSConfig())
	}
	return conn, err
}

// dial opens a connection with a client library; its network connection ends with the test.
func dial(t *testing.T, s *Server, name string) *amqp.Connection {
	t.Helper()
	conn, err := amqp.DialConfig(s.URL(), amqp.Config{
		Heartbeat:  10 * time.Second,
		Properties: amqp.Table{"connection_name": name},
		Dial: func(string, string) (net.Conn, error) {
			conn, err := s.connectTo()
			if err == nil {
				t.Cleanup(func() { conn.Close() })
			}
			return conn, err
		},
	})
	ok(t, err)
	return conn
}

func openChannel(t *testing.T, conn *amqp.Connection) *amqp.Channel {
	t.Helper()
	ch, err := conn.Channel()
	ok(t, err)
	return ch
}

func consume(t *testing.T, ch *amqp.Channel, queue string) <-chan amqp.Delivery {
	t.Helper()
	deliveries, err := ch.Consume(queue, "c", false, false, false, false, nil)
	ok(t, err)
	return deliveries
}

// peer is a client without a library: what it reads and writes is what is on the wire.
type peer struct {
	*testing.T
	net.Conn
	server *Server
	frames *wire.Reader
}

func meet(t *testing.T, s *Server) *peer {
	t.Helper()
	conn, err := s.connectTo()
	ok(t, err)
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(s.limit())) // the connection may have ended already
	return &peer{T: t, Conn: conn, server: s, frames: wire.NewReader(conn)}
}

// greet logs in, with client properties, and asks for heartbeats if wanted.
func greet(t *testing.T, s *Server, heartbeat time.Duration, properties wire.Table) *peer {
	t.Helper()
	p := meet(t, s)
	p.write([]byte("AMQP\x00\x00\x09\x01"))
	want[*wire.ConnectionStart](p)
	p.send(0, &wire.ConnectionStartOK{
		ClientProperties: properties, Mechanism: "PLAIN", Response: []byte("\x00guest\x00guest"), Locale: "en_US",
	})
	want[*wire.ConnectionTune](p)
	p.send(0, &wire.ConnectionTuneOK{ChannelMax: maxChannels, FrameMax: maxFrame, Heartbeat: uint16(heartbeat / time.Second)})
	p.send(0, &wire.ConnectionOpen{VirtualHost: "/"})
	want[*wire.ConnectionOpenOK](p)
	p.frames.SetLimit(maxFrame)
	return p
}

// able is a client that can take all that a broker says.
var able = wire.Table{"connection_name": "able", "capabilities": wire.Table{
	"authentication_failure_close": true, "basic.nack": true, "connection.blocked": true, "consumer_cancel_notify": true,
}}

// join is greet with a channel.
func join(t *testing.T, s *Server) *peer {
	t.Helper()
	p := greet(t, s, 0, able)
	p.channel(1)
	return p
}

func (p *peer) channel(id uint16) {
	p.Helper()
	p.send(id, &wire.ChannelOpen{})
	want[*wire.ChannelOpenOK](p)
}

func (p *peer) write(b []byte) {
	p.Helper()
	if _, err := p.Write(b); err != nil {
		p.Fatal(err)
	}
}

func methodFrame(channel uint16, m wire.Method) []byte {
	return wire.AppendFrame(nil, wire.Frame{Type: wire.FrameMethod, Channel: channel, Payload: wire.AppendMethod(nil, m)})
}

func content(channel uint16, m wire.Method, body string) []byte {
	return wire.AppendContent(nil, channel, m, wire.Header{}, []byte(body), maxFrame)
}

func (p *peer) send(channel uint16, m wire.Method) { p.Helper(); p.write(methodFrame(channel, m)) }

func (p *peer) publish(channel uint16, queue, body string) {
	p.Helper()
	p.write(content(channel, &wire.BasicPublish{RoutingKey: queue}, body))
}

// frame is the next one that is not a heartbeat.
func (p *peer) frame() (wire.Frame, error) {
	for {
		f, err := p.frames.Next()
		if err != nil || f.Type != wire.FrameHeartbeat {
			return f, err
		}
	}
}

// want reads the next frame, which must be this method. Content that goes with it is left.
func want[M wire.Method](p *peer) M {
	p.Helper()
	f, err := p.frame()
	if err != nil {
		p.Fatalf("reading %T: %v", *new(M), err)
	}
	m, err := wire.ParseMethod(f.Payload)
	if err != nil {
		p.Fatal(err)
	}
	got, is := m.(M)
	if !is {
		p.Fatalf("got %+v, want %T", m, *new(M))
	}
	return got
}

// body reads what goes with a method.
func (p *peer) body() string {
	p.Helper()
	f, err := p.frame()
	ok(p.T, err)
	h, err := wire.ParseHeader(f.Payload)
	ok(p.T, err)
	var body []byte
	for uint64(len(body)) < h.BodySize {
		f, err = p.frame()
		ok(p.T, err)
		body = append(body, f.Payload...)
	}
	return string(body)
}

func (p *peer) wantEnd(want error) {
	p.Helper()
	f, err := p.frame()
	if !errors.Is(err, want) {
		p.Fatalf("read %+v and %v, want %v", f, err, want)
	}
}

// sync returns once the broker has handled all that was sent before on the channel.
func (p *peer) sync(channel uint16) {
	p.Helper()
	p.send(channel, &wire.BasicQos{})
	want[*wire.BasicQosOK](p)
}

func stateOf(t *testing.T, s *Server, queue string) QueueState {
	t.Helper()
	q, found := s.Queue(queue)
	if !found {
		t.Fatalf("there is no queue %s", queue)
	}
	return q
}
