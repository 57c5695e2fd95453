package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/internal/wire"
)

// receipts keep what a channel was told, in words.
type receipts struct {
	mu   sync.Mutex
	list []string
}

func (r *receipts) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, fmt.Sprintf(format, args...))
}

func (r *receipts) to() Receipts {
	return Receipts{
		Settled:  func(n uint64, multiple, taken bool) { r.add("%d %t %t", n, multiple, taken) },
		Returned: func(m Returned) { r.add("returned %q %q %q", m.Exchange, m.RoutingKey, m.ID) },
	}
}

// want compares what was told since the last time.
func (r *receipts) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.list, want) {
		t.Errorf("told %q, want %q", r.list, want)
	}
	r.list = nil
}

// onPublishChannel plays with a channel to publish on, and queues q and p.
func onPublishChannel(t *testing.T, play func(t *testing.T, server *brokertest.Server, s *Session, c *PublishChannel, r *receipts)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		for _, queue := range []string{"q", "p"} {
			if err := server.DeclareQueue(queue, nil); err != nil {
				t.Fatal(err)
			}
		}
		s, r := begin(t, plan), &receipts{}
		c, err := s.OpenPublishChannel(t.Context(), r.to())
		if err != nil {
			t.Fatal(err)
		}
		play(t, server, s, c, r)
	})
}

func mustPublish(t *testing.T, c *PublishChannel, list ...*Message) {
	t.Helper()
	for _, m := range list {
		if err := c.Publish(m); err != nil {
			t.Fatal(err)
		}
	}
}

// Each message has its number, and what comes of it is told in the broker's order.
func TestPublishChannelTellsNumbers(t *testing.T) {
	onPublishChannel(t, func(t *testing.T, server *brokertest.Server, _ *Session, c *PublishChannel, r *receipts) {
		q, p := &Message{RoutingKey: "q"}, &Message{RoutingKey: "p"}
		mustPublish(t, c, q, q, p)
		r.want(t, "1 false true", "2 false true", "3 false true")
		server.WithholdConfirms("q")
		mustPublish(t, c, q, p, q)
		r.want(t, "5 false true")
		server.ReleaseConfirms("q")
		r.want(t, "6 true true")
		if err := c.Accepted(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A message that comes back is told of before its confirm, by its id, wherever that is.
func TestPublishChannelReturns(t *testing.T) {
	onPublishChannel(t, func(t *testing.T, server *brokertest.Server, _ *Session, c *PublishChannel, r *receipts) {
		noID := &Message{RoutingKey: "nowhere", NoMessageID: true, Body: make([]byte, 100_000)}
		noID.Identify("two")
		mustPublish(t, c, &Message{RoutingKey: "nowhere", MessageID: "one"}, &Message{RoutingKey: "q"}, noID,
			&Message{Exchange: "amq.direct", RoutingKey: "x", MessageID: "three"}, &Message{RoutingKey: "nowhere", NoMessageID: true})
		r.want(t, `returned "" "nowhere" "one"`, "1 false true", "2 false true", `returned "" "nowhere" "two"`, "3 false true",
			`returned "amq.direct" "x" "three"`, "4 false true", `returned "" "nowhere" ""`, "5 false true")
	})
}

func TestPublishChannelNacks(t *testing.T) {
	onPublishChannel(t, func(t *testing.T, server *brokertest.Server, _ *Session, c *PublishChannel, r *receipts) {
		if err := server.DeclareQueue("full", map[string]any{"x-max-length": int64(1), "x-overflow": "reject-publish"}); err != nil {
			t.Fatal(err)
		}
		mustPublish(t, c, &Message{RoutingKey: "full"}, &Message{RoutingKey: "full"}, &Message{RoutingKey: "q"})
		r.want(t, "1 false true", "2 false false", "3 false true")
	})
}

// A message that the broker does not like ends the channel, with the broker's reason; the session and its other
// channels go on.
func TestPublishChannelEnds(t *testing.T) {
	onPublishChannel(t, func(t *testing.T, server *brokertest.Server, s *Session, c *PublishChannel, r *receipts) {
		other, err := s.OpenPublishChannel(t.Context(), r.to())
		if err != nil {
			t.Fatal(err)
		}
		if c.Err() != nil {
			t.Error(c.Err())
		}
		mustPublish(t, c, &Message{RoutingKey: "q"}, &Message{Exchange: "missing"})
		err = c.Accepted(t.Context())
		wantError(t, err, NotFound, ScopeChannel)
		<-c.Lost()
		if c.Err() == nil || c.Err().Code != 404 {
			t.Errorf("%v", c.Err())
		}
		wantError(t, c.Publish(&Message{RoutingKey: "q"}), NotFound, ScopeChannel)
		r.want(t, "1 false true")
		mustPublish(t, other, &Message{RoutingKey: "q"})
		if err := other.Accepted(t.Context()); err != nil || other.Err() != nil || s.Lost() {
			t.Errorf("the other channel: %v, %v", err, other.Err())
		}
		r.want(t, "1 false true")
		if n := len(server.Messages("q")); n != 2 {
			t.Errorf("%d messages", n)
		}
	})
}

// The end of the connection ends the channel, and is a loss of the session.
func TestPublishChannelEndsWithItsConnection(t *testing.T) {
	for name, fault := range map[string]brokertest.Fault{
		"reset": brokertest.Reset(), "hang up": brokertest.HangUp(), "closed": brokertest.CloseConnection(320, "x"), "frozen": brokertest.Freeze(brokertest.Both),
	} {
		t.Run(name, func(t *testing.T) {
			onPublishChannel(t, func(t *testing.T, server *brokertest.Server, s *Session, c *PublishChannel, _ *receipts) {
				s.Watch()
				losses := make(chan Loss, 1)
				go func() { losses <- <-s.Losses() }()
				server.Inject(brokertest.Now(), fault)
				if d := took(func() { <-c.Lost() }); d > patience {
					t.Errorf("it took %v", d)
				}
				if l := <-losses; l.Consumer != nil || l.Err.Scope != ScopeConnection {
					t.Errorf("%+v", l)
				}
				if c.Err().Scope != ScopeConnection {
					t.Errorf("%v", c.Err())
				}
				var e *Error
				if err := c.Publish(&Message{RoutingKey: "q"}); !errors.As(err, &e) || e.Scope != ScopeConnection {
					t.Errorf("%v", err)
				}
				if err := c.Accepted(t.Context()); !errors.As(err, &e) || e.Scope != ScopeConnection {
					t.Errorf("%v", err)
				}
				_, err := s.OpenPublishChannel(t.Context(), Receipts{})
				if !errors.As(err, &e) || e.Scope != ScopeConnection {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// A question without an answer ends with the caller's time, and stands; a channel that is not opened in time is left
// behind. The connection lives.
func TestPublishChannelOverdue(t *testing.T) {
	onPublishChannel(t, func(t *testing.T, server *brokertest.Server, s *Session, c *PublishChannel, _ *receipts) {
		server.Inject(brokertest.OnMethod("basic.qos", 1), brokertest.Drop())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Accepted(ctx); !errors.Is(err, context.DeadlineExceeded) || c.Err() != nil {
			t.Errorf("%v, and the channel: %v", err, c.Err())
		}
		server.Inject(brokertest.OnMethod("channel.open-ok", 1), brokertest.Drop())
		var err error
		d := took(func() { _, err = s.OpenPublishChannel(t.Context(), Receipts{}) })
		wantError(t, err, Overdue, ScopeChannel)
		if d != defaultCallTimeout || s.Lost() || s.Abandoned() != 1 {
			t.Errorf("after %v; lost %t, %d abandoned", d, s.Lost(), s.Abandoned())
		}
	})
}

func TestPublishChannelCloses(t *testing.T) {
	onPublishChannel(t, func(t *testing.T, server *brokertest.Server, s *Session, c *PublishChannel, r *receipts) {
		mustPublish(t, c, &Message{RoutingKey: "q"})
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		<-c.Lost()
		r.want(t, "1 false true")
		if n := server.Connections()[0].Channels; n != 1 {
			t.Errorf("%d channels", n)
		}
		if s.Lost() {
			t.Error("the session is lost")
		}
	})
}

// What is no confirm ends the connection, as any other garbage does.
func TestPublishChannelMalformedConfirm(t *testing.T) {
	confirm := func(payload ...byte) []byte {
		frame := append([]byte{wire.FrameMethod, 0, 2, 0, 0, 0, byte(4 + len(payload)), 0, 60, 0, 80}, payload...)
		return append(frame, wire.FrameEnd)
	}
	for name, raw := range map[string][]byte{
		"too short":        confirm(0, 0, 0, 0, 0, 0, 0, 1),
		"too long":         confirm(0, 0, 0, 0, 0, 0, 0, 1, 0, 0),
		"without an end":   append(confirm(0, 0, 0, 0, 0, 0, 0, 1, 0)[:20], 0),
		"without a number": confirm(),
	} {
		t.Run(name, func(t *testing.T) {
			onPublishChannel(t, func(t *testing.T, server *brokertest.Server, s *Session, c *PublishChannel, r *receipts) {
				server.Inject(brokertest.Now(), brokertest.Send(raw))
				if l := <-s.Losses(); l.Err.Class != Protocol {
					t.Errorf("%v", l.Err)
				}
				<-c.Lost()
				r.want(t)
			})
		})
	}
	onPublishChannel(t, func(t *testing.T, server *brokertest.Server, s *Session, _ *PublishChannel, r *receipts) {
		server.Inject(brokertest.Now(), brokertest.Send(confirm(0, 0, 0, 0, 0, 0, 0, 9, 1))) // of what was never sent
		r.want(t, "9 true true")
		if s.Lost() {
			t.Error("the session is lost")
		}
	})
}

// Confirms that come a byte at a time are the same.
func TestPublishChannelDrip(t *testing.T) {
	onPublishChannel(t, func(t *testing.T, server *brokertest.Server, _ *Session, c *PublishChannel, r *receipts) {
		server.Inject(brokertest.Now(), brokertest.Drip(time.Millisecond))
		mustPublish(t, c, &Message{RoutingKey: "q"}, &Message{RoutingKey: "nowhere", MessageID: "x"}, &Message{RoutingKey: "q"})
		time.Sleep(time.Second)
		r.want(t, "1 false true", `returned "" "nowhere" "x"`, "2 false true", "3 false true")
	})
}

func TestPublishChannelFits(t *testing.T) {
	onPublishChannel(t, func(t *testing.T, _ *brokertest.Server, _ *Session, c *PublishChannel, _ *receipts) {
		for size, fits := range map[int]bool{100: true, 130_000: true, 131_072: false, 1_000_000: false} {
			err := c.Fits(&Message{Headers: map[string]any{"h": strings.Repeat("x", size)}})
			if (err == nil) != fits || err != nil && !errors.Is(err, ErrHeaderTooLarge) {
				t.Errorf("%d: %v", size, err)
			}
		}
		if err := c.Fits(&Message{Body: make([]byte, 1_000_000)}); err != nil {
			t.Error(err)
		}
	})
}

// A session declares queues beside what it does.
func TestSessionDeclaresQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		s := begin(t, plan)
		durable := QueueOptions{Durable: true}
		if err := errors.Join(s.DeclareQueue(t.Context(), "q", durable), s.DeclareQueue(t.Context(), "q", durable)); err != nil {
			t.Fatal(err)
		}
		if _, there := server.Queue("q"); !there {
			t.Error("there is no queue")
		}
		wantError(t, s.DeclareQueue(t.Context(), "q", QueueOptions{}), Precondition, ScopeChannel)
		for _, name := range []string{"", "\xff", strings.Repeat("x", 256)} {
			var e *Error
			if err := s.DeclareQueue(t.Context(), name, durable); err == nil || errors.As(err, &e) {
				t.Errorf("%.10q: %v", name, err)
			}
		}
		if err := s.DeclareQueue(t.Context(), "p", QueueOptions{Arguments: map[string]any{"x": struct{}{}}}); err == nil {
			t.Error("an argument that AMQP does not have was taken")
		}
		server.SuspendQueue("q")
		wantError(t, s.DeclareQueue(t.Context(), "q", durable), Overdue, ScopeChannel)
		if n := server.Connections()[0].Channels; n != 2 { // the control channel, and what was left behind
			t.Errorf("%d channels", n)
		}
		server.ResumeQueue("q")
		synctest.Wait()
		if n := server.Connections()[0].Channels; n != 1 || s.Lost() {
			t.Errorf("%d channels, lost %t", n, s.Lost())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.DeclareQueue(ctx, "x", durable); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		s.Abort()
		var e *Error
		if err := s.DeclareQueue(t.Context(), "x", durable); !errors.As(err, &e) || e.Scope != ScopeConnection {
			t.Errorf("%v", err)
		}
	})
}
