package brokertest

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/everhop/everhop/broker/internal/wire"
)

// Bodies up to the maximum pass, whatever their frames; a larger one costs the channel when the last of its frames has
// come, and not before.
func TestMaxMessageSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewInMemoryServer(t, MaxMessageSize(100))
		ok(t, s.DeclareQueue("q", nil))
		p := join(t, s)
		p.channel(2)
		p.publish(1, "q", strings.Repeat("x", 100))
		p.sync(1)
		p.send(1, &wire.BasicPublish{RoutingKey: "q"})
		p.write(wire.AppendFrame(nil, wire.Frame{Type: wire.FrameHeader, Channel: 1, Payload: wire.AppendHeader(nil, wire.Header{BodySize: 101})}))
		for _, size := range []int{50, 50, 1} {
			p.sync(2) // no word of it so far
			p.write(wire.AppendFrame(nil, wire.Frame{Type: wire.FrameBody, Channel: 1, Payload: make([]byte, size)}))
		}
		p.publish(1, "q", "behind")
		got := want[*wire.ChannelClose](p)
		if text := "PRECONDITION_FAILED - message size 101 is larger than configured max size 100"; got.ReplyCode != 406 ||
			got.ReplyText != text || got.ClassID != basicClass || got.MethodID != publishMethod {
			t.Errorf("got %+v", got)
		}
		if q := stateOf(t, s, "q"); q.Ready != 1 {
			t.Errorf("got %+v", q)
		}
		p.sync(2)
	})
}

// What is too large is not kept until all of it has come.
func TestMaxMessageSizeKeepsNothing(t *testing.T) {
	in := &incoming{header: &wire.Header{BodySize: 200}}
	in.add(make([]byte, 90), 100)
	in.add(make([]byte, 90), 100)
	if in.size != 180 || in.body != nil {
		t.Errorf("%d bytes have come, %d are kept", in.size, len(in.body))
	}
	in = &incoming{header: &wire.Header{BodySize: 100}}
	in.add([]byte("some"), 100)
	in.add([]byte("thing"), 100)
	if string(in.body) != "something" {
		t.Errorf("got %q", in.body)
	}
}

func TestMaxMessageSizeOfVersions(t *testing.T) {
	for version, most := range map[string]uint64{"3.10": 128 << 20, "4.0": 16 << 20, "4.3": 16 << 20} {
		if got := NewInMemoryServer(t, Version(version)).maxMessage; got != most {
			t.Errorf("%s: %d", version, got)
		}
	}
	if s, err := Start(Config{InMemory: true, MaxMessageSize: -1}); err == nil {
		s.Close()
		t.Error("a negative size is accepted")
	}
}

// An alternate exchange may have one itself, and a circle of them ends.
func TestAlternateExchangesInACircle(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		for name, alternate := range map[string]string{"a": "b", "b": "c", "c": "a"} {
			ok(t, s.DeclareExchange(name, "direct", map[string]any{"alternate-exchange": alternate}))
		}
		p := join(t, s)
		p.write(content(1, &wire.BasicPublish{Exchange: "a", RoutingKey: "k", Mandatory: true}, "nowhere"))
		if got := want[*wire.BasicReturn](p); got.Exchange != "a" || got.RoutingKey != "k" || got.ReplyCode != noRoute {
			t.Errorf("got %+v", got)
		}
		p.body()
		ok(t, s.DeclareQueue("q", nil))
		ok(t, s.Bind("c", "k", "q", nil))
		if !p.routes("a", "k", nil) || !p.routes("b", "k", nil) || p.routes("a", "l", nil) {
			t.Errorf("got %+v", s.Messages("q"))
		}
		if got := s.Messages("q"); !slices.ContainsFunc(got, func(m Message) bool { return m.Exchange == "a" && m.RoutingKey == "k" }) {
			t.Errorf("got %+v", got)
		}
	})
}
