package brokertest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/ports"
	"github.com/everhop/everhop/broker/internal/wire"
)

func TestRefuseConnections(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		addr := s.Addr()
		for range 3 {
			s.RefuseConnections()
			s.RefuseConnections()
			if _, err := s.connectTo(); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatalf("got %v, want ECONNREFUSED", err)
			}
			p.sync(1) // those that there are go on
			ok(t, s.AcceptConnections())
			ok(t, s.AcceptConnections())
			join(t, s)
			if s.Addr() != addr {
				t.Errorf("moved to %s", s.Addr())
			}
		}
	})
}

// Each reason to refuse connections stands for itself.
func TestRefuseWhileStopped(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		s.StopApp()
		s.RefuseConnections()
		ok(t, s.StartApp())
		if _, err := s.connectTo(); err == nil {
			t.Error("accepted while connections are refused")
		}
		s.StopApp()
		ok(t, s.AcceptConnections())
		if _, err := s.connectTo(); err == nil {
			t.Error("accepted while the app is stopped")
		}
		ok(t, s.StartApp())
		join(t, s)
	})
}

func TestAcceptConnectionsFails(t *testing.T) {
	s := NewServer(t)
	s.RefuseConnections()
	thief, err := net.Listen("tcp", s.Addr())
	ok(t, err)
	if s.AcceptConnections() == nil {
		t.Error("the port is taken, and that is not told")
	}
	ok(t, ports.Leave(thief))
	ok(t, s.AcceptConnections())
	join(t, s)
}

func TestStopApp(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("classic", nil))
		ok(t, s.DeclareQueue("quorum", map[string]any{"x-queue-type": "quorum"}))
		conn := dial(t, s, "c")
		closes := conn.NotifyClose(make(chan *amqp.Error, 1))
		ch := openChannel(t, conn)
		_, err := ch.QueueDeclare("gone", false, false, false, false, nil)
		ok(t, err)
		for _, queue := range []string{"classic", "quorum", "gone"} {
			for _, mode := range []uint8{amqp.Transient, amqp.Persistent} {
				ok(t, ch.Publish("", queue, false, false, amqp.Publishing{DeliveryMode: mode, Body: []byte{'0' + mode}}))
			}
		}
		deliveries := consume(t, ch, "classic")
		happens(t, s, "1", deliveries)
		happens(t, s, "2", deliveries)

		s.StopApp()
		s.StopApp()
		if got := happens(t, s, "connection.close", closes); got.Code != 320 ||
			got.Reason != "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'" {
			t.Errorf("got %v", got)
		}
		if _, err := s.connectTo(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want ECONNREFUSED", err)
		}
		ok(t, s.StartApp())

		if _, found := s.Queue("gone"); found {
			t.Error("a queue that is not durable is there")
		}
		p := join(t, s)
		for _, test := range []struct {
			queue, body string
			redelivered bool
		}{{"classic", "2", true}, {"quorum", "1", false}, {"quorum", "2", false}} {
			p.send(1, &wire.BasicGet{Queue: test.queue})
			if got := want[*wire.BasicGetOK](p); got.Redelivered != test.redelivered || p.body() != test.body {
				t.Errorf("%s: got %+v", test.queue, got)
			}
		}
		p.send(1, &wire.BasicGet{Queue: "classic"})
		want[*wire.BasicGetEmpty](p)
	})
}

// Who has come only halfway when the app is stopped comes no further.
func TestStopAppDuringTheHandshake(t *testing.T) {
	steps := []struct {
		name string
		take func(*peer)
	}{
		{"accepted", func(*peer) {}},
		{"greeted", func(p *peer) {
			p.write([]byte("AMQP\x00\x00\x09\x01"))
			want[*wire.ConnectionStart](p)
		}},
		{"logged in", func(p *peer) {
			p.send(0, &wire.ConnectionStartOK{ClientProperties: able, Mechanism: "PLAIN", Response: []byte("\x00guest\x00guest")})
			want[*wire.ConnectionTune](p)
		}},
		{"tuned", func(p *peer) {
			p.send(0, &wire.ConnectionTuneOK{ChannelMax: maxChannels, FrameMax: maxFrame})
			await(p.T, p.server, "tune-ok", func() bool { return p.server.Count("connection.tune-ok") == 1 })
		}},
	}
	for last, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				p := meet(t, s)
				await(t, s, "it is accepted", func() bool { return len(s.Connections()) == 1 })
				for _, step := range steps[:last+1] {
					step.take(p)
				}
				s.StopApp()
				if got := s.Connections(); len(got) != 0 {
					t.Errorf("still there: %+v", got)
				}
				go func() { _, _ = p.Write([]byte("AMQP\x00\x00\x09\x01")) }() // too late
				p.wantEnd(io.EOF)
				p.Close()
				ok(t, s.StartApp())
				join(t, s)
			})
		})
	}
}

// The same when a step of the handshake is what stops the app.
func TestStopAppAtTheHandshake(t *testing.T) {
	for _, moment := range []Moment{
		OnConnect(1), OnFrame(1), AfterReceived(8), AfterReceived(20), OnMethod("connection.start", 1), OnMethod("connection.start-ok", 1),
		OnMethod("connection.tune", 1), OnMethod("connection.tune-ok", 1), OnMethod("connection.open", 1), OnMethod("connection.open-ok", 1),
	} {
		t.Run(fmt.Sprint(moment), func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				played := s.Inject(moment, StopApp()).Played
				conn, err := s.connectTo()
				ok(t, err)
				connected, err := amqp.Open(conn, amqp.Config{Vhost: "/", SASL: []amqp.Authentication{&amqp.PlainAuth{Username: "guest", Password: "guest"}}})
				if err == nil {
					connected.Close()
					t.Error("connected to a broker that is stopped")
				}
				conn.Close()
				happens(t, s, "the fault", played)
				await(t, s, "it is gone", func() bool { return len(s.Connections()) == 0 })
			})
		})
	}
}

// A broker that is stopped by what a client says does not answer that.
func TestStopAppInsteadOfAnAnswer(t *testing.T) {
	for _, test := range []struct {
		moment  Moment
		unheard []string
	}{
		{OnFrame(1), []string{"connection.close", "connection.close-ok"}},
		{OnMethod("connection.close", 1), []string{"connection.close-ok"}},
	} {
		t.Run(test.unheard[0], func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				p := meet(t, s)
				p.write([]byte("AMQP\x00\x00\x09\x01"))
				want[*wire.ConnectionStart](p)
				s.Inject(test.moment, StopApp())
				p.send(0, &wire.ConnectionClose{})
				p.wantEnd(io.EOF)
				for _, method := range test.unheard {
					if n := s.Count(method); n > 0 {
						t.Errorf("%s was seen", method)
					}
				}
			})
		})
	}
}

func TestSetPassword(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		played := s.Inject(OnMethod("basic.qos", 1), SetPassword("guest", "another")).Played
		p.sync(1) // who is in is in
		happens(t, s, "the fault", played)
		refused := meet(t, s)
		refused.write([]byte("AMQP\x00\x00\x09\x01"))
		want[*wire.ConnectionStart](refused)
		refused.send(0, &wire.ConnectionStartOK{ClientProperties: able, Mechanism: "PLAIN", Response: []byte("\x00guest\x00guest")})
		if got := want[*wire.ConnectionClose](refused); got.ReplyCode != 403 {
			t.Errorf("got %+v", got)
		}
		s.SetPassword("guest", "guest")
		join(t, s)
	})
}

func TestInteger(t *testing.T) {
	for _, v := range []any{7, int8(7), int16(7), int32(7), int64(7), uint8(7), uint16(7), uint32(7)} {
		if got, is := integer(v); got != 7 || !is {
			t.Errorf("%T: %d, %t", v, got, is)
		}
	}
	for _, v := range []any{nil, "7", 7.0, true, uint(7), uint64(7), time.Duration(7), Direction(7)} {
		if got, is := integer(v); got != 0 || is {
			t.Errorf("%T: %d, %t", v, got, is)
		}
	}
}
