package brokertest

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/wire"
	"github.com/everhop/everhop/broker/rabbittest"
)

func TestEndOfConnection(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault Fault
		want  error
	}{
		{"reset", Reset(), syscall.ECONNRESET},
		{"hang up", HangUp(), io.EOF},
	} {
		t.Run(test.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				ok(t, s.DeclareQueue("q", nil))
				ok(t, s.Publish("q", "1"))
				p := join(t, s)
				p.send(1, &wire.BasicConsume{Queue: "q"})
				want[*wire.BasicConsumeOK](p)
				want[*wire.BasicDeliver](p)
				p.body()
				played := s.Inject(OnMethod("basic.ack", 1), test.fault).Played
				p.send(1, &wire.BasicAck{DeliveryTag: 1})
				happens(t, s, "the fault", played)
				p.wantEnd(test.want)
				if q := stateOf(t, s, "q"); q.Ready != 1 || q.Unacknowledged != 0 || q.Consumers != 0 {
					t.Errorf("the acknowledgement was handled: %+v", q)
				}
				if got := s.Connections(); len(got) != 0 {
					t.Errorf("still there: %+v", got)
				}
			})
		})
	}
}

// A kernel sends RST instead of FIN when a socket is closed on what was not read yet: a client that is not
// listened to must read the end all the same.
func TestHangUpIsNoResetForAClientThatSends(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		c := only(s)
		s.Inject(Now(), Freeze(FromClient))
		go func() { _, _ = p.Write(make([]byte, 1<<20)) }()
		rabbittest.Eventually(t, s.limit(), "the broker's buffer is full", func() bool {
			c.socket.mu.Lock()
			defer c.socket.mu.Unlock()
			return len(c.socket.inbound) >= receiveBuffer/2
		})
		s.Inject(Now(), HangUp())
		p.wantEnd(io.EOF)
		p.Close()
	})
}

func TestCloseConnection(t *testing.T) {
	for _, test := range []struct {
		name, text, want string
		code             uint16
	}{
		{name: "forced", code: 320, text: "an operator wants it", want: "CONNECTION_FORCED - an operator wants it"},
		{name: "named already", code: 501, text: "FRAME_ERROR - bad", want: "FRAME_ERROR - bad"},
		{name: "without text", code: 541, want: "INTERNAL_ERROR"},
		{name: "of no known code", code: 599, text: "so", want: "so"},
		{name: "too long", code: 320, text: strings.Repeat("x", 300), want: "CONNECTION_FORCED - " + strings.Repeat("x", 232) + "..."},
	} {
		t.Run(test.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				p := join(t, s)
				s.Inject(Now(), CloseConnection(test.code, test.text))
				got := want[*wire.ConnectionClose](p)
				if got.ReplyCode != test.code || got.ReplyText != test.want || got.ClassID != 0 || got.MethodID != 0 {
					t.Errorf("got %+v", got)
				}
				p.send(0, &wire.ConnectionCloseOK{})
				p.wantEnd(io.EOF)
			})
		})
	}
}

// A client that does not answer connection.close is hung up on after 3 s.
func TestCloseConnectionUnanswered(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		s.Inject(Now(), CloseConnection(320, ""))
		want[*wire.ConnectionClose](p)
		p.wantEnd(io.EOF)
	})
}

func TestCloseChannel(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		conn := dial(t, s, "c")
		at, idle, consuming := openChannel(t, conn), openChannel(t, conn), openChannel(t, conn)
		consume(t, consuming, "q")
		closes := func(ch *amqp.Channel) <-chan *amqp.Error { return ch.NotifyClose(make(chan *amqp.Error, 1)) }
		atCloses, idleCloses, consumingCloses := closes(at), closes(idle), closes(consuming)

		s.Inject(OnMethod("queue.declare", 1), CloseChannel(404, "no queue 'q'"))
		if _, err := at.QueueDeclarePassive("q", true, false, false, false, nil); err == nil {
			t.Error("the declare was answered")
		}
		want := amqp.Error{Code: 404, Reason: "NOT_FOUND - no queue 'q'", Server: true, Recover: true}
		if got := happens(t, s, "channel.close", atCloses); got.Code != want.Code || got.Reason != want.Reason {
			t.Errorf("got %v, want %v", got, want)
		}

		s.Inject(Now(), CloseChannel(406, "now"))
		if got := happens(t, s, "channel.close", consumingCloses); got.Reason != "PRECONDITION_FAILED - now" {
			t.Errorf("got %v", got)
		}
		if len(idleCloses) > 0 || idle.Qos(1, 0, false) != nil {
			t.Error("a channel without consumers was closed, too")
		}
	})
}

// Before RabbitMQ 4.3 the channel is closed.
func TestConsumerTimeout(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		s.version = "4.0"
		ok(t, s.DeclareQueue("q", nil))
		ok(t, s.Publish("q", "1"))
		p := greet(t, s, 0, able)
		p.channel(3)
		p.send(3, &wire.BasicConsume{Queue: "q"})
		want[*wire.BasicConsumeOK](p)
		want[*wire.BasicDeliver](p)
		p.body()
		s.Inject(Now(), ConsumerTimeout())
		got := want[*wire.ChannelClose](p)
		if got.ReplyCode != 406 || got.ReplyText != "PRECONDITION_FAILED - delivery acknowledgement on channel 3 timed out. "+
			"Timeout value used: 1800000 ms. This timeout value can be configured, see consumers doc guide to learn more" {
			t.Errorf("got %+v", got)
		}
		if q := stateOf(t, s, "q"); q.Ready != 1 || q.Unacknowledged != 0 {
			t.Errorf("the message is not back: %+v", q)
		}
	})
}

// From RabbitMQ 4.3 on, the consumer is cancelled, if its queue is a quorum queue.
func TestConsumerTimeoutCancels(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		s.version = "4.3"
		ok(t, s.DeclareQueue("classic", nil))
		ok(t, s.DeclareQueue("quorum", map[string]any{"x-queue-type": "quorum"}))
		p := greet(t, s, 0, able)
		p.channel(1)
		for _, queue := range []string{"classic", "quorum"} {
			ok(t, s.Publish(queue, "1"))
			p.send(1, &wire.BasicConsume{Queue: queue, ConsumerTag: queue})
			want[*wire.BasicConsumeOK](p)
			want[*wire.BasicDeliver](p)
			p.body()
		}
		s.Inject(Now(), ConsumerTimeout())
		if got := want[*wire.BasicCancel](p); got.ConsumerTag != "quorum" {
			t.Errorf("cancelled %s", got.ConsumerTag)
		}
		for _, test := range []struct{ queue, want string }{{"classic", "0 ready, 1 held"}, {"quorum", "1 ready, 0 held"}} {
			q := stateOf(t, s, test.queue)
			if got := fmt.Sprintf("%d ready, %d held", q.Ready, q.Unacknowledged); got != test.want {
				t.Errorf("%s: %s, want %s", test.queue, got, test.want)
			}
		}
		p.send(1, &wire.BasicAck{DeliveryTag: 2, Multiple: true}) // the second is late
		p.sync(1)
		if q := stateOf(t, s, "quorum"); q.Ready != 1 || q.Unacknowledged != 0 {
			t.Errorf("after a late ack: %+v", q)
		}
		if q := stateOf(t, s, "classic"); q.Ready != 0 || q.Unacknowledged != 0 {
			t.Errorf("after an ack: %+v", q)
		}
	})
}

// A channel may be refused instead of opened.
func TestCloseChannelInsteadOfOpening(t *testing.T) {
	for _, moment := range []string{"channel.open", "channel.open-ok"} {
		t.Run(moment, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				p := greet(t, s, 0, able)
				s.Inject(OnMethod(moment, 1), CloseChannel(404, ""))
				p.send(1, &wire.ChannelOpen{})
				want[*wire.ChannelClose](p)
				p.send(1, &wire.ChannelCloseOK{})
				p.channel(1)
				p.sync(1)
			})
		})
	}
}

// Both sides close the channel at once: each answers the other, and the channel's number is free again.
func TestCloseChannelFromBothSides(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		s.Inject(OnMethod("basic.get", 1), CloseChannel(406, ""))
		p.send(1, &wire.BasicGet{})
		p.send(1, &wire.ChannelClose{})
		want[*wire.ChannelClose](p)
		p.send(1, &wire.ChannelCloseOK{})
		want[*wire.ChannelCloseOK](p)
		p.channel(1)
		p.sync(1)
	})
}

func TestCancelConsumers(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		for _, test := range []struct {
			name   string
			client *peer
			told   bool
		}{
			{"able", join(t, s), true},
			{"without the capability", func() *peer { p := greet(t, s, 0, nil); p.channel(1); return p }(), false},
		} {
			p := test.client
			for _, tag := range []string{"b", "a"} {
				p.send(1, &wire.BasicConsume{Queue: "q", ConsumerTag: tag})
				want[*wire.BasicConsumeOK](p)
			}
			s.Inject(Now(), CancelConsumers())
			if test.told {
				for _, tag := range []string{"b", "a"} { // in their order
					if got := want[*wire.BasicCancel](p); got.ConsumerTag != tag || !got.NoWait {
						t.Errorf("%s: got %+v, want %s", test.name, got, tag)
					}
				}
			}
			p.sync(1) // nothing else came, and the channel is there
			if q := stateOf(t, s, "q"); q.Consumers != 0 {
				t.Errorf("%s: %d consumers are left", test.name, q.Consumers)
			}
		}
	})
}

func TestDropDelivery(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		deliveries := consume(t, openChannel(t, dial(t, s, "c")), "q")
		s.Inject(OnMethod("basic.deliver", 2), Drop())
		ok(t, s.Publish("q", "1", "2", "3"))
		for _, want := range []string{"1", "3"} {
			if got := happens(t, s, want, deliveries); string(got.Body) != want {
				t.Errorf("got %s, want %s", got.Body, want)
			}
		}
		if q := stateOf(t, s, "q"); q.Unacknowledged != 3 {
			t.Errorf("the broker does not know that one was lost, got %+v", q)
		}
	})
}

// The content of a publish that is lost is lost with it, whatever it consists of.
func TestDropPublish(t *testing.T) {
	for _, test := range []struct{ name, body string }{
		{"empty", ""}, {"one frame", "1"}, {"several frames", strings.Repeat("x", 3*maxFrame)},
	} {
		t.Run(test.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				ok(t, s.DeclareQueue("q", nil))
				p := join(t, s)
				s.Inject(OnMethod("basic.publish", 1), Drop())
				p.publish(1, "q", test.body)
				p.publish(1, "q", "2")
				p.send(1, &wire.BasicGet{Queue: "q"})
				if got := want[*wire.BasicGetOK](p); got.MessageCount != 0 || p.body() != "2" {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}

func TestDropFrame(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		p := join(t, s)
		s.Inject(OnFrame(2), Drop())
		p.send(1, &wire.BasicQos{})
		p.send(1, &wire.BasicConsume{Queue: "q", ConsumerTag: "lost"})
		p.send(1, &wire.BasicConsume{Queue: "q", ConsumerTag: "kept"})
		want[*wire.BasicQosOK](p)
		if got := want[*wire.BasicConsumeOK](p); got.ConsumerTag != "kept" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestDropAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		s.Inject(OnMethod("basic.qos-ok", 1), Drop())
		p.send(1, &wire.BasicQos{})
		p.send(1, &wire.ConfirmSelect{})
		want[*wire.ConfirmSelectOK](p)
	})
}

// The message that a fault met is back in its place before a consumer that is left gets another one.
func TestFaultMidDelivery(t *testing.T) {
	for name, fault := range map[string]Fault{
		"reset": Reset(), "hang up": HangUp(), "channel": CloseChannel(406, ""), "connection": CloseConnection(320, ""),
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				ok(t, s.DeclareQueue("q", nil))
				unlucky, lucky := join(t, s), join(t, s)
				for _, p := range []*peer{unlucky, lucky} {
					p.send(1, &wire.BasicConsume{Queue: "q"})
					want[*wire.BasicConsumeOK](p)
				}
				s.Inject(OnMethod("basic.deliver", 1), fault)
				ok(t, s.Publish("q", "1", "2", "3"))
				for _, body := range []string{"1", "2", "3"} {
					got := want[*wire.BasicDeliver](lucky)
					if b := lucky.body(); b != body || got.Redelivered != (body == "1") {
						t.Errorf("got %s, redelivered %t, want %s", b, got.Redelivered, body)
					}
				}
			})
		})
	}
}

func TestSend(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		raw := wire.AppendFrame(nil, wire.Frame{Type: wire.FrameMethod, Channel: 1, Payload: wire.AppendMethod(nil, &wire.BasicCancel{ConsumerTag: "x"})})
		s.Inject(Now(), Send(raw))
		if m := want[*wire.BasicCancel](p); m.ConsumerTag != "x" {
			t.Errorf("got %+v", m)
		}
	})
}
