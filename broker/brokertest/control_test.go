package brokertest

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/brokertest/internal/wire"
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
	thief.Close()
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

func TestSetPassword(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		played := s.Inject(OnMethod("basic.qos", 1), SetPassword("guest", "another"))
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

func TestDeleteQueue(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		ok(t, s.Publish("q", "1"))
		ch := openChannel(t, dial(t, s, "c"))
		cancels := ch.NotifyCancel(make(chan string, 1))
		d := happens(t, s, "1", consume(t, ch, "q"))
		s.DeleteQueue("q")
		s.DeleteQueue("q")
		if got := happens(t, s, "basic.cancel", cancels); got != "c" {
			t.Errorf("cancelled %q", got)
		}
		ok(t, d.Ack(false))
		if err := ch.Qos(0, 0, false); err != nil {
			t.Errorf("the channel is closed: %v", err)
		}
		if _, found := s.Queue("q"); found || s.Publish("q", "2") == nil {
			t.Error("the queue is there")
		}
	})
}

func TestDeclareQueue(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		arguments := map[string]any{"x-message-ttl": 1000, "x-max-length": 1, "x-overflow": "reject-publish"}
		ok(t, s.DeclareQueue("q", arguments))
		ok(t, s.DeclareQueue("q", arguments))
		if s.DeclareQueue("q", nil) == nil {
			t.Error("other arguments are accepted")
		}
		if s.DeclareQueue("r", map[string]any{"x-unknown": 1}) == nil {
			t.Error("an unknown argument is accepted")
		}
		ok(t, s.Publish("q", "1"))
		if s.Publish("q", "2") == nil {
			t.Error("the queue is full, and that is not told")
		}
		ctxed := time.Now()
		await(t, s, "the message expires", func() bool { return stateOf(t, s, "q").Ready == 0 })
		if took := time.Since(ctxed); s.inMemory && took != time.Second {
			t.Errorf("expired after %v", took)
		}
	})
}
