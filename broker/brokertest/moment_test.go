package brokertest

import (
	"fmt"
	"io"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

func TestNow(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		if played := s.Inject(Now(), Reset()).Played; pending(played) {
			t.Error("not played without a connection")
		}
		one, two := join(t, s), join(t, s)
		if played := s.Inject(Now(), CloseConnection(320, "")).Played; pending(played) {
			t.Error("not played at once")
		}
		want[*wire.ConnectionClose](one)
		want[*wire.ConnectionClose](two)
		join(t, s) // a later one is not concerned
	})
}

func TestOnConnect(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		join(t, s)
		played := s.Inject(OnConnect(2), HangUp()).Played
		join(t, s)
		if !pending(played) {
			t.Error("played too early")
		}
		p := meet(t, s)
		happens(t, s, "the fault", played)
		p.wantEnd(io.EOF)
		join(t, s)
	})
}

// The zero Fault is one in which nothing goes wrong: it only tells of its moment.
func TestZeroFault(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		if played := s.Inject(Now(), Fault{}).Played; pending(played) {
			t.Error("not played at once")
		}
		in, out := s.Inject(OnMethod("basic.qos", 1), Fault{}).Played, s.Inject(OnMethod("basic.qos-ok", 1), Fault{}).Played
		frame, received, sent := s.Inject(OnFrame(1), Fault{}).Played, s.Inject(AfterReceived(1), Fault{}).Played, s.Inject(AfterSent(1), Fault{}).Played
		p.sync(1)
		for _, played := range []<-chan struct{}{in, out, frame, received, sent} {
			happens(t, s, "the moment", played)
		}
		connected := s.Inject(OnConnect(1), Fault{}).Played
		join(t, s)
		happens(t, s, "the moment", connected)
	})
}

// A client that was refused before it said anything may answer that as any other.
func TestCloseConnectionOnConnect(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		s.Inject(OnConnect(1), CloseConnection(320, "first"))
		p := meet(t, s)
		want[*wire.ConnectionClose](p)
		began := time.Now()
		p.write([]byte("AMQP\x00\x00\x09\x01"))
		p.send(0, &wire.ConnectionCloseOK{})
		p.wantEnd(io.EOF)
		if took := time.Since(began); s.inMemory && took >= closeTimeout { // on sockets it takes as long as the machine likes
			t.Errorf("its answer was not read: %v", took)
		}
		if got := s.Count("connection.start"); got != 0 {
			t.Error("it was greeted")
		}
	})
}

func TestOnConnectPlaysBeforeAnythingIsRead(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		s.Inject(OnConnect(1), CloseConnection(320, "first"))
		p := meet(t, s)
		if got := want[*wire.ConnectionClose](p); got.ReplyText != "CONNECTION_FORCED - first" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestOnMethod(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		p.sync(1) // what was before does not count
		in := s.Inject(OnMethod("basic.qos", 2), HangUp()).Played
		p.sync(1)
		if !pending(in) {
			t.Error("played at the first")
		}
		p.send(1, &wire.BasicQos{})
		p.wantEnd(io.EOF)

		p = join(t, s)
		out := s.Inject(OnMethod("basic.qos-ok", 2), HangUp()).Played
		p.sync(1)
		if !pending(out) {
			t.Error("played at the first")
		}
		p.send(1, &wire.BasicQos{})
		p.wantEnd(io.EOF)
		if played := s.Count("basic.qos"); played != 5 {
			t.Errorf("%d were seen, want 5", played)
		}
	})
}

func TestOnMethodOfNoSuchName(t *testing.T) {
	for _, name := range []string{"", "basic.publsh", "Basic.Ack", "frame"} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if got, want := fmt.Sprint(recover()), fmt.Sprintf("brokertest: AMQP 0-9-1 has no method %q", name); got != want {
					t.Errorf("panicked with %s, want %s", got, want)
				}
			}()
			OnMethod(name, 1)
		})
	}
	for _, name := range wire.Names() {
		OnMethod(name, 0)
	}
}

// Frames of a message, and heartbeats, count.
func TestOnFrame(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		p := join(t, s)
		played := s.Inject(OnFrame(5), Reset()).Played
		p.publish(1, "q", "1") // 3 frames
		p.write(wire.AppendFrame(nil, wire.Frame{Type: wire.FrameHeartbeat}))
		await(t, s, "the message", func() bool { return stateOf(t, s, "q").Ready == 1 })
		if !pending(played) {
			t.Error("played too early")
		}
		p.send(1, &wire.BasicQos{})
		p.wantEnd(syscall.ECONNRESET)
		<-played
		if s.Count("basic.qos") != 0 {
			t.Error("the frame was handled")
		}
	})
}

func TestOf(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		a, b := dial(t, s, "a"), dial(t, s, "b")
		cha, chb := openChannel(t, a), openChannel(t, b)
		later := s.Inject(OnMethod("basic.qos", 2).Of("b"), Drop()).Played
		for range 3 { // those of others do not count
			ok(t, cha.Qos(1, 0, false))
		}
		ok(t, chb.Qos(1, 0, false))
		dial(t, s, "b")
		if !pending(later) {
			t.Error("played on another connection")
		}
		go func() { _ = chb.Qos(1, 0, false) }()
		happens(t, s, "the fault", later)
		s.Inject(Now().Of("a"), HangUp())
		await(t, s, "a is gone", func() bool {
			names := []any{}
			for _, c := range s.Connections() {
				names = append(names, c.ClientProperties["connection_name"])
			}
			return slices.Equal(names, []any{"b", "b"})
		})
		s.Inject(Now(), Reset()) // so that the dropped call returns
	})
}

// What is aimed at a queue hits its consumers and leaves those of others alone, on the same connection too.
func TestOnQueue(t *testing.T) {
	for _, test := range []struct {
		fault   Fault
		version string
		want    wire.Method // on the channel of the queue
	}{
		{CloseChannel(406, "now"), "4.3", &wire.ChannelClose{}},
		{CancelConsumers(), "4.3", &wire.BasicCancel{}},
		{ConsumerTimeout(), "4.3", &wire.BasicCancel{}},
		{ConsumerTimeout(), "3.10", &wire.ChannelClose{}},
		{CloseConnection(320, "now"), "4.3", &wire.ConnectionClose{}},
	} {
		t.Run(test.fault.String()+" as "+test.version, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				s.version = test.version
				p, other := join(t, s), join(t, s)
				p.channel(2)
				hold := func(p *peer, id uint16, queue string) {
					ok(t, s.DeclareQueue(queue, map[string]any{"x-queue-type": "quorum"}))
					ok(t, s.Publish(queue, "1"))
					p.send(id, &wire.BasicConsume{Queue: queue})
					want[*wire.BasicConsumeOK](p)
					want[*wire.BasicDeliver](p)
					p.body()
				}
				hold(p, 1, "well")
				hold(p, 2, "ill")
				hold(other, 1, "elsewhere")
				s.Inject(Now().OnQueue("ill"), test.fault)
				f, err := p.frame()
				ok(t, err)
				m, err := wire.ParseMethod(f.Payload)
				ok(t, err)
				if wire.Name(m) != wire.Name(test.want) || f.Channel != 2 && f.Channel != 0 {
					t.Errorf("got %+v on channel %d", m, f.Channel)
				}
				if f.Channel == 2 {
					p.sync(1)
					p.send(1, &wire.BasicAck{DeliveryTag: 1})
					await(t, s, "the other one's message is settled", func() bool { return stateOf(t, s, "well").Acknowledged == 1 })
				}
				other.sync(1)
			})
		})
	}
}

// Methods count that name the queue, and those of channels that consume from it, hold its messages or declared it last.
func TestOnMethodOnQueue(t *testing.T) {
	for _, test := range []struct {
		method  string
		prepare func(*peer)
		m       func(queue string) wire.Method
	}{
		{"basic.consume", func(*peer) {}, func(q string) wire.Method { return &wire.BasicConsume{Queue: q} }},
		{"queue.declare", func(*peer) {}, func(q string) wire.Method { return &wire.QueueDeclare{Queue: q, Passive: true} }},
		{"queue.bind", func(*peer) {}, func(q string) wire.Method { return &wire.QueueBind{Queue: q, Exchange: "amq.topic"} }},
		{"basic.qos", func(p *peer) {
			for id, q := range []string{"well", "ill"} {
				p.send(uint16(id+1), &wire.QueueDeclare{Queue: q, Passive: true})
				want[*wire.QueueDeclareOK](p)
			}
		}, func(string) wire.Method { return &wire.BasicQos{} }},
		{"basic.ack", func(p *peer) {
			for id, q := range []string{"well", "ill"} {
				ok(p.T, p.server.Publish(q, "1"))
				p.send(uint16(id+1), &wire.BasicGet{Queue: q})
				want[*wire.BasicGetOK](p)
				p.body()
			}
		}, func(string) wire.Method { return &wire.BasicAck{DeliveryTag: 1} }},
		{"basic.cancel-ok", func(p *peer) {
			for id, q := range []string{"well", "ill"} {
				p.send(uint16(id+1), &wire.QueueDeclare{Queue: q, Passive: true})
				want[*wire.QueueDeclareOK](p)
				p.send(uint16(id+1), &wire.BasicConsume{Queue: q, ConsumerTag: "c"})
				want[*wire.BasicConsumeOK](p)
			}
		}, func(string) wire.Method { return &wire.BasicCancel{ConsumerTag: "c"} }},
	} {
		t.Run(test.method, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				ok(t, s.DeclareQueue("well", nil))
				ok(t, s.DeclareQueue("ill", nil))
				p := join(t, s)
				p.channel(2)
				test.prepare(p)
				played := s.Inject(OnMethod(test.method, 1).OnQueue("ill"), Fault{}).Played
				p.send(1, test.m("well"))
				p.send(1, &wire.ChannelOpen{}) // the second one: it ends the connection once the other is handled
				for {
					f, err := p.frame()
					ok(t, err)
					if f.Channel == 0 {
						break
					}
				}
				if !pending(played) {
					t.Error("played on another queue's channel")
				}
				p = join(t, s)
				p.channel(2)
				test.prepare(p)
				p.send(2, test.m("ill"))
				happens(t, s, "the fault", played)
			})
		})
	}
}

// Where nothing has to do with the queue yet, its moment does not come.
func TestOnQueueOfNobody(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		frame := s.Inject(OnFrame(1).OnQueue("q"), Reset()).Played
		sent := s.Inject(AfterSent(1).OnQueue("q"), Reset()).Played
		p := join(t, s)
		s.Inject(Now().OnQueue("q"), Reset())
		p.sync(1)
		if !pending(frame) || !pending(sent) {
			t.Error("played")
		}
		ok(t, s.DeclareQueue("q", nil))
		p.send(1, &wire.QueueDeclare{Queue: "q", Passive: true})
		happens(t, s, "the fault", sent)
	})
}

// Faults that wait for one moment are played in the order in which they were injected, each once.
func TestFaultsOfOneMoment(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		first := s.Inject(OnMethod("basic.qos", 1), Block("a")).Played
		second := s.Inject(OnMethod("basic.qos", 1), Unblock()).Played
		third := s.Inject(OnMethod("basic.qos", 1), CloseChannel(406, "b")).Played
		p.send(1, &wire.BasicQos{})
		for _, played := range []<-chan struct{}{first, second, third} {
			happens(t, s, "the fault", played)
		}
		want[*wire.ConnectionBlocked](p)
		want[*wire.ConnectionUnblocked](p)
		want[*wire.ChannelClose](p)
		p.send(1, &wire.ChannelCloseOK{})
		p.channel(1)
		p.sync(1)
		if len(s.injections.waiting) > 0 {
			t.Error("some wait for another time")
		}
	})
}

// A fault may bring about the moment of another, or its own: it is played once.
func TestFaultWithinFault(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		outer := s.Inject(OnMethod("basic.qos", 1), Block("")).Played
		inner := s.Inject(OnMethod("connection.blocked", 1), Unblock()).Played
		s.Inject(OnMethod("connection.unblocked", 1), StopApp())
		p.send(1, &wire.BasicQos{})
		happens(t, s, "the fault", outer)
		happens(t, s, "the fault in it", inner)
		if got := want[*wire.ConnectionClose](p); got.ReplyCode != 320 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestFaultOfTheBrokerAtAMoment(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		p := join(t, s)
		s.Inject(OnMethod("basic.consume", 1), DeleteQueue("q"))
		p.send(1, &wire.BasicConsume{Queue: "q"})
		if got := want[*wire.ChannelClose](p); got.ReplyCode != 404 {
			t.Errorf("got %+v", got)
		}
		s.Inject(OnMethod("channel.close-ok", 1), RefuseConnections())
		p.send(1, &wire.ChannelCloseOK{})
		await(t, s, "refusing", func() bool { _, err := s.connectTo(); return err != nil })
	})
}

// A fault whose moment never comes costs nothing, and its channel stays open.
func TestMomentThatNeverComes(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		played := s.Inject(OnMethod("tx.rollback-ok", 1), Reset()).Played
		p := join(t, s)
		p.sync(1)
		s.Close()
		if !pending(played) {
			t.Error("played")
		}
	})
}
