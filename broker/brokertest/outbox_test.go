package brokertest

import (
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/wire"
)

func TestOutboxKeepsOrder(t *testing.T) {
	o := newOutbox()
	const adders, each = 4, 1000
	var adding, draining sync.WaitGroup
	var got []byte
	draining.Go(func() {
		if err := o.drain(func(b []byte) error { got = append(got, b...); return nil }, func() {}); err != nil {
			t.Error(err)
		}
	})
	for a := range adders {
		adding.Go(func() {
			for n := range each {
				o.add(func(b []byte) []byte { return append(b, byte(a), byte(n>>8), byte(n)) })
			}
		})
	}
	adding.Wait()
	o.finish()
	draining.Wait()
	o.add(func([]byte) []byte { t.Error("added after finish"); return nil })
	next := [adders]int{}
	for i := 0; i < len(got); i += 3 {
		if n := int(got[i+1])<<8 | int(got[i+2]); n != next[got[i]] {
			t.Fatalf("got %d of %d, want %d", n, got[i], next[got[i]])
		}
		next[got[i]]++
	}
	if len(got) != 3*adders*each || o.size.Load() != 0 {
		t.Errorf("%d bytes came, %d are left", len(got), o.size.Load())
	}
}

func TestOutboxWithAWriterThatFails(t *testing.T) {
	o, failure := newOutbox(), errors.New("broken")
	o.add(func(b []byte) []byte { return append(b, 1) })
	if err := o.drain(func([]byte) error { return failure }, func() { t.Error("written") }); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	o.size.Store(answerRoom)
	o.close()
	o.waitForAnswerRoom() // returns
}

// greedy are clients that want much and read nothing.
var greedy = []struct {
	name string
	ask  func(p *peer) error
}{
	{"consumes without prefetch", func(p *peer) error {
		_, err := p.Write(methodFrame(1, &wire.BasicConsume{Queue: "q", NoWait: true}))
		return err
	}},
	{"gets", func(p *peer) error { return flood(p, methodFrame(1, &wire.BasicGet{Queue: "q"})) }},
	{"declares", func(p *peer) error { return flood(p, methodFrame(1, &wire.QueueDeclare{Queue: "q", Passive: true})) }},
	{"is returned messages", func(p *peer) error {
		return flood(p, content(1, &wire.BasicPublish{RoutingKey: "nowhere", Mandatory: true}, strings.Repeat("x", 10000)))
	}},
	{"is confirmed", func(p *peer) error {
		p.send(1, &wire.ConfirmSelect{NoWait: true})
		return flood(p, content(1, &wire.BasicPublish{RoutingKey: "nowhere"}, ""))
	}},
	{"is frozen", func(p *peer) error {
		p.server.Inject(Now().Of("able"), Freeze(Both))
		return flood(p, content(1, &wire.BasicPublish{RoutingKey: "q"}, strings.Repeat("x", 10000)))
	}},
	{"is blocked", func(p *peer) error {
		p.server.Inject(Now().Of("able"), Block(""))
		return flood(p, content(1, &wire.BasicPublish{RoutingKey: "q"}, strings.Repeat("x", 10000)))
	}},
	{"opens and closes", func(p *peer) error {
		return flood(p, append(methodFrame(2, &wire.ChannelOpen{}), methodFrame(2, &wire.ChannelClose{})...))
	}},
}

// flood writes until nobody takes it any more, or a hundred megabytes have passed.
func flood(p *peer, unit []byte) error {
	chunk := []byte(strings.Repeat(string(unit), 1+(64<<10)/len(unit)))
	for range 100 << 20 / len(chunk) {
		if err := p.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			return err
		}
		if _, err := p.Write(chunk); err != nil {
			return err
		}
	}
	return errors.New("everything was taken")
}

// A client that does not read what it asked for cannot make the broker grow, and others are served. When it
// goes, all that it had comes back.
func TestGreedyClient(t *testing.T) {
	const messages, size = 200, 100 << 10
	t.Parallel()
	for _, test := range greedy {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, s *Server) {
				ok(t, s.DeclareQueue("q", nil))
				ok(t, s.DeclareQueue("other", nil))
				for range messages {
					ok(t, s.Publish("q", string(make([]byte, size))))
				}
				p := join(t, s)
				c := only(s)
				if err := test.ask(p); err != nil {
					if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
						t.Errorf("it was not held up: %v", err)
					}
				} else {
					await(t, s, "it is sent much", func() bool { return c.out.size.Load() >= deliveryRoom })
				}
				most := int64(answerRoom + size + maxFrame)
				if got := c.out.size.Load(); got > most {
					t.Errorf("%d bytes wait for it, want at most %d", got, most)
				}
				c.socket.mu.Lock()
				if got := len(c.socket.inbound); got > receiveBuffer {
					t.Errorf("%d bytes wait to be read, want at most %d", got, receiveBuffer)
				}
				c.socket.mu.Unlock()

				ch := openChannel(t, dial(t, s, "other"))
				ok(t, ch.Publish("", "other", false, false, amqp.Publishing{Body: []byte("served")}))
				if d := happens(t, s, "a delivery", consume(t, ch, "other")); string(d.Body) != "served" {
					t.Errorf("got %s", d.Body)
				}

				ok(t, p.Close())
				s.Inject(Now(), Thaw())
				s.Inject(Now(), Unblock())
				await(t, s, "it is gone", func() bool { return len(s.Connections()) == 1 })
				if q := stateOf(t, s, "q"); q.Unacknowledged != 0 || q.Ready < messages {
					t.Errorf("got %+v", q)
				}
			})
		})
	}
}

// Deliveries that were held back because the client did not read go on when it does.
func TestStarvedConsumerIsFed(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		p := join(t, s)
		p.send(1, &wire.BasicConsume{Queue: "q", NoAck: true, NoWait: true})
		for n := range 100 {
			ok(t, s.Publish("q", fmt.Sprintf("%0100000d", n)))
		}
		await(t, s, "it is starved", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.host("").queues["q"].ready.Len() > 0 })
		for n := range 100 {
			want[*wire.BasicDeliver](p)
			if got := p.body(); got != fmt.Sprintf("%0100000d", n) {
				t.Fatalf("got another one than %d", n)
			}
		}
	})
}

// A message that is announced takes no room before it comes; one that is too large none at all.
func TestAnnouncedSize(t *testing.T) {
	for _, test := range []struct {
		size    uint64
		version string
		kept    int // of one byte; -1 if the connection ends
	}{
		{16 << 20, "4.3", 1},
		{16<<20 + 1, "4.3", 0},
		{512 << 20, "4.3", 0},
		{512<<20 + 1, "4.3", -1},
		{math.MaxUint64, "4.3", -1},
		{16<<20 + 1, "3.10", 1},
		{128<<20 + 1, "3.10", 0},
		{1 << 63, "4.0", 0},
		{math.MaxUint64, "4.0", 0},
	} {
		t.Run(fmt.Sprintf("%d as %s", test.size, test.version), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewInMemoryServer(t, Version(test.version))
				p := join(t, s)
				p.send(1, &wire.BasicPublish{RoutingKey: "q"})
				header := wire.AppendHeader(nil, wire.Header{BodySize: test.size})
				p.write(wire.AppendFrame(nil, wire.Frame{Type: wire.FrameHeader, Channel: 1, Payload: header}))
				p.write(wire.AppendFrame(nil, wire.Frame{Type: wire.FrameBody, Channel: 1, Payload: []byte("x")}))
				if test.kept < 0 {
					if got := want[*wire.ConnectionClose](p); got.ReplyCode != 501 {
						t.Errorf("got %+v", got)
					}
					return
				}
				p.channel(2)
				c := only(s)
				s.mu.Lock()
				defer s.mu.Unlock()
				if in := c.channels[1].incoming; len(in.body) != test.kept || cap(in.body) > 1024 {
					t.Errorf("%d bytes are kept, in room for %d", len(in.body), cap(in.body))
				}
			})
		})
	}
}
