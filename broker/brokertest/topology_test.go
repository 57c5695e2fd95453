package brokertest

import (
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

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
	t.Parallel()
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
		if s.inMemory && s.Publish("q", "2") == nil { // over TCP the first may have expired before
			t.Error("the queue is full, and that is not told")
		}
		ctxed := time.Now()
		await(t, s, "the message expires", func() bool { return stateOf(t, s, "q").Ready == 0 })
		if took := time.Since(ctxed); s.inMemory && took != time.Second {
			t.Errorf("expired after %v", took)
		}
	})
}

func TestDeclareQueueRefuses(t *testing.T) {
	type number int
	type text string
	for _, test := range []struct {
		name, queue, argument string
		value                 any
		want                  string
	}{
		{name: "no name", want: "brokertest: declare: a queue has a name"},
		{name: "a long name", queue: strings.Repeat("x", 256), want: "brokertest: declare xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...: a name or a key has up to 255 bytes, and this has 256"},
		{name: "a reserved name", queue: "amq.q", want: "brokertest: declare amq.q: 403 ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'"},
		{"a duration", "q", "x-message-ttl", time.Second, `brokertest: declare q: wire: a table cannot hold a time.Duration, at "x-message-ttl"`},
		{"a uint64", "q", "x-max-length", uint64(1), `brokertest: declare q: wire: a table cannot hold a uint64, at "x-max-length"`},
		{"a uint", "q", "x-max-length", uint(1), `brokertest: declare q: wire: a table cannot hold a uint, at "x-max-length"`},
		{"a number of its own", "q", "x-max-length", number(1), `brokertest: declare q: wire: a table cannot hold a brokertest.number, at "x-max-length"`},
		{"a text of its own", "q", "x-overflow", text("drop-head"), `brokertest: declare q: wire: a table cannot hold a brokertest.text, at "x-overflow"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				var arguments map[string]any
				if test.argument != "" {
					arguments = map[string]any{test.argument: test.value}
				}
				if err := s.DeclareQueue(test.queue, arguments); err == nil || err.Error() != test.want {
					t.Errorf("got %v, want %s", err, test.want)
				}
				if got := s.Queues(); len(got) > 0 {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}

// A queue of a connection's own, which no other may declare.
func TestDeclareQueueThatIsExclusive(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		_, err := openChannel(t, dial(t, s, "c")).QueueDeclare("q", true, false, true, false, nil)
		ok(t, err)
		if err := s.DeclareQueue("q", nil); err == nil || !strings.Contains(err.Error(), "405 RESOURCE_LOCKED") {
			t.Errorf("got %v", err)
		}
	})
}

// routes publishes to an exchange and tells whether the queue "q" got it.
func (p *peer) routes(exchange, key string, headers wire.Table) bool {
	p.Helper()
	before := stateOf(p.T, p.server, "q").Ready
	p.write(wire.AppendContent(nil, 1, &wire.BasicPublish{Exchange: exchange, RoutingKey: key},
		wire.Header{Properties: wire.Properties{Headers: headers}}, nil, maxFrame))
	p.sync(1)
	return stateOf(p.T, p.server, "q").Ready > before
}

func TestBind(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		for _, kind := range []string{"direct", "fanout", "topic", "headers"} {
			ok(t, s.DeclareExchange(kind, kind, nil))
			ok(t, s.DeclareExchange(kind, kind, nil))
		}
		p := join(t, s)
		for _, test := range []struct {
			exchange, key, passes, stops string
			arguments                    map[string]any
			headers                      wire.Table
		}{
			{exchange: "direct", key: "k", passes: "k", stops: "l"},
			{exchange: "fanout", passes: "k"},
			{exchange: "topic", key: "a.#", passes: "a.b", stops: "b.a"},
			{exchange: "headers", arguments: map[string]any{"kind": "order"}, headers: wire.Table{"kind": "order"}},
			{exchange: "amq.direct", key: "k", passes: "k", stops: "l"},
		} {
			bound := []any{test.exchange, test.key, test.arguments}
			if p.routes(test.exchange, test.passes, test.headers) {
				t.Errorf("%v: it is there before", bound)
			}
			ok(t, s.Bind(test.exchange, test.key, "q", test.arguments))
			ok(t, s.Bind(test.exchange, test.key, "q", test.arguments))
			if !p.routes(test.exchange, test.passes, test.headers) {
				t.Errorf("%v: nothing gets through", bound)
			}
			if test.stops != "" && p.routes(test.exchange, test.stops, nil) {
				t.Errorf("%v: it lets %s through", bound, test.stops)
			}
			s.Unbind(test.exchange, test.key, "q", map[string]any{"another": "argument"})
			s.Unbind(test.exchange, test.key+"x", "q", test.arguments)
			if !p.routes(test.exchange, test.passes, test.headers) {
				t.Errorf("%v: another one was unbound", bound)
			}
			s.Unbind(test.exchange, test.key, "q", test.arguments)
			s.Unbind(test.exchange, test.key, "q", test.arguments)
			if p.routes(test.exchange, test.passes, test.headers) {
				t.Errorf("%v: it outlived Unbind", bound)
			}
		}
		s.Unbind("nobody's", "k", "q", nil)
		s.Unbind("direct", "k", "nobody's", nil)
	})
}

func TestTopologyRefuses(t *testing.T) {
	long := strings.Repeat("x", 256)
	for name, test := range map[string]struct {
		do   func(*Server) error
		want string
	}{
		"the default exchange": {func(s *Server) error { return s.DeclareExchange("", "direct", nil) },
			"403 ACCESS_REFUSED - operation not permitted on the default exchange"},
		"a reserved name": {func(s *Server) error { return s.DeclareExchange("amq.mine", "direct", nil) },
			"403 ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'"},
		"an unknown kind": {func(s *Server) error { return s.DeclareExchange("x", "other", nil) },
			"406 PRECONDITION_FAILED - invalid exchange type 'other'"},
		"an unknown argument": {func(s *Server) error { return s.DeclareExchange("x", "direct", map[string]any{"x-unknown": 1}) },
			"540 NOT_IMPLEMENTED - brokertest knows no argument 'x-unknown' of exchange.declare"},
		"an argument that AMQP does not have": {func(s *Server) error {
			return s.DeclareExchange("x", "direct", map[string]any{"alternate-exchange": uint64(1)})
		}, `wire: a table cannot hold a uint64, at "alternate-exchange"`},
		"another kind": {func(s *Server) error { return s.DeclareExchange("amq.topic", "direct", nil) },
			"406 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.topic' in vhost '/': received 'direct' but current is 'topic'"},
		"a long name": {func(s *Server) error { return s.DeclareExchange(long, "direct", nil) },
			"a name or a key has up to 255 bytes, and this has 256"},
		"a long key": {func(s *Server) error { return s.Bind("amq.topic", long, "q", nil) },
			"a name or a key has up to 255 bytes, and this has 256"},
		"a missing exchange": {func(s *Server) error { return s.Bind("nobody's", "k", "q", nil) },
			"404 NOT_FOUND - no exchange 'nobody's' in vhost '/'"},
		"a missing queue": {func(s *Server) error { return s.Bind("amq.topic", "k", "nobody's", nil) },
			"404 NOT_FOUND - no queue 'nobody's' in vhost '/'"},
		"the default exchange bound": {func(s *Server) error { return s.Bind("", "k", "q", nil) },
			"403 ACCESS_REFUSED - operation not permitted on the default exchange"},
		"a match that there is not": {func(s *Server) error { return s.Bind("amq.headers", "", "q", map[string]any{"x-match": "most"}) },
			`406 PRECONDITION_FAILED - Invalid x-match field value <<"most">>; expected all, any, all-with-x, or any-with-x`},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				ok(t, s.DeclareQueue("q", nil))
				if err := test.do(s); err == nil || !strings.HasSuffix(err.Error(), test.want) {
					t.Errorf("got %v, want %s", err, test.want)
				}
			})
		})
	}
	t.Run("closed", func(t *testing.T) {
		s := NewServer(t)
		s.Close()
		if err := s.DeclareExchange("x", "direct", nil); err != ErrClosed {
			t.Errorf("got %v", err)
		}
		if err := s.Bind("x", "k", "q", nil); err != ErrClosed {
			t.Errorf("got %v", err)
		}
	})
}

// The caller's map stays the caller's.
func TestBindTakesACopy(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		arguments := map[string]any{"kind": "order"}
		ok(t, s.DeclareQueue("q", nil))
		ok(t, s.Bind("amq.headers", "", "q", arguments))
		arguments["kind"] = "other"
		p := join(t, s)
		if !p.routes("amq.headers", "", wire.Table{"kind": "order"}) {
			t.Error("the binding has changed")
		}
	})
}

// A publisher that has worked loses its channel when its exchange is gone, at the message that a test names.
func TestDeleteExchange(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		ok(t, s.DeclareExchange("x", "fanout", nil))
		ok(t, s.Bind("x", "", "q", nil))
		for _, passedOver := range []string{"nobody's", "", "amq.topic"} {
			s.DeleteExchange(passedOver)
		}
		p := join(t, s)
		s.Inject(OnMethod("basic.publish", 2), DeleteExchange("x"))
		if !p.routes("x", "", nil) || !p.routes("", "q", nil) {
			t.Error("it was not routed")
		}
		p.write(content(1, &wire.BasicPublish{Exchange: "x"}, "lost"))
		if got := want[*wire.ChannelClose](p); got.ReplyCode != 404 || got.ReplyText != "NOT_FOUND - no exchange 'x' in vhost '/'" {
			t.Errorf("got %+v", got)
		}
		ok(t, s.DeclareExchange("x", "fanout", nil))
		p.send(1, &wire.ChannelCloseOK{})
		p.channel(1)
		if p.routes("x", "", nil) {
			t.Error("the binding is still there")
		}
		if err := s.Bind("amq.topic", "k", "q", nil); err != nil {
			t.Errorf("RabbitMQ's own exchange: %v", err)
		}
	})
}
