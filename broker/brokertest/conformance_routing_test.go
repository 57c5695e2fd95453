package brokertest_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

// routing is one binding, and messages which it must let pass or not.
type routing struct {
	name, kind string
	key        string     // of the binding
	arguments  []any      // of the binding
	pass       []envelope // each reaches the queue
	stop       []envelope // none does
}

// envelope is a routing key and, after it, headers as name, value, name, value.
type envelope []any

var routings = []routing{
	{"direct", "direct", "a.b", nil, []envelope{{"a.b"}}, []envelope{{"a"}, {"a.b.c"}, {""}, {"A.B"}}},
	{"direct does not read patterns", "direct", "a.*", nil, []envelope{{"a.*"}}, []envelope{{"a.b"}}},
	{"fanout", "fanout", "ignored", nil, []envelope{{"a"}, {""}}, nil},
	{"topic without wildcards", "topic", "a.b", nil, []envelope{{"a.b"}}, []envelope{{"a"}, {"a.b.c"}, {"a.b."}}},
	{"topic *", "topic", "a.*.c", nil, []envelope{{"a.b.c"}, {"a..c"}}, []envelope{{"a.c"}, {"a.b.b.c"}, {"b.b.c"}}},
	{"topic only *", "topic", "*", nil, []envelope{{"a"}}, []envelope{{"a.b"}, {""}}},
	{"topic only #", "topic", "#", nil, []envelope{{""}, {"a"}, {"a.b.c"}, {"."}}, nil},
	{"topic # at the end", "topic", "a.#", nil, []envelope{{"a"}, {"a.b"}, {"a.b.c"}, {"a."}}, []envelope{{"b"}, {"b.a"}, {""}}},
	{"topic # at the start", "topic", "#.a", nil, []envelope{{"a"}, {"b.a"}, {"c.b.a"}, {".a"}}, []envelope{{"a.b"}, {""}}},
	{"topic # in the middle", "topic", "a.#.b", nil, []envelope{{"a.b"}, {"a.x.b"}, {"a.x.y.b"}, {"a.b.b"}}, []envelope{{"a"}, {"a.b.x"}, {"ab"}}},
	{"topic # and *", "topic", "#.*", nil, []envelope{{"a"}, {"a.b"}}, []envelope{{""}}},
	{"topic *.#", "topic", "*.#", nil, []envelope{{"a"}, {"a.b"}, {"."}}, []envelope{{""}}},
	{"topic ##", "topic", "#.#", nil, []envelope{{""}, {"a"}, {"a.b"}}, nil},
	{"topic wildcard within a word", "topic", "a*", nil, []envelope{{"a*"}}, []envelope{{"ab"}, {"a"}}},
	{"topic empty key", "topic", "", nil, []envelope{{""}}, []envelope{{"a"}}},
	{"headers all", "headers", "", []any{"x-match", "all", "a", "1", "b", int32(2)},
		[]envelope{{"", "a", "1", "b", int32(2)}, {"k", "a", "1", "b", int32(2), "c", "3"}},
		[]envelope{{"", "a", "1"}, {"", "a", "1", "b", int32(3)}, {"", "a", "1", "b", "2"}, {""}}},
	{"headers all is the default", "headers", "", []any{"a", "1", "b", "2"},
		[]envelope{{"", "a", "1", "b", "2"}}, []envelope{{"", "a", "1"}, {""}}},
	{"headers any", "headers", "", []any{"x-match", "any", "a", "1", "b", "2"},
		[]envelope{{"", "a", "1"}, {"", "b", "2", "c", "3"}, {"", "a", "9", "b", "2"}},
		[]envelope{{"", "a", "2"}, {"", "c", "1"}, {""}}},
	{"headers of other integer types", "headers", "", []any{"a", int32(1)},
		[]envelope{{"", "a", int64(1)}, {"", "a", int16(1)}}, []envelope{{"", "a", "1"}, {"", "a", true}}},
	{"headers without a value", "headers", "", []any{"x-match", "all", "a", nil},
		[]envelope{{"", "a", "1"}, {"", "a", int32(5)}, {"", "a", nil}}, []envelope{{"", "b", "1"}, {""}}},
	{"headers all of nothing", "headers", "", []any{"x-match", "all"}, []envelope{{""}, {"", "a", "1"}}, nil},
	{"headers any of nothing", "headers", "", []any{"x-match", "any"}, nil, []envelope{{""}, {"", "a", "1"}}},
	{"headers whose names begin with x-", "headers", "", []any{"x-match", "all", "x-a", "1", "b", "2"},
		[]envelope{{"", "b", "2"}, {"", "x-a", "9", "b", "2"}}, []envelope{{"", "x-a", "1"}}},
}

var routingScenarios = slices.Concat(
	slices.Collect(func(yield func(scenario) bool) {
		for _, r := range routings {
			yield(scenario{"route " + r.name, r.run})
		}
	}),
	[]scenario{
		{"the default exchange routes to each queue", defaultExchange},
		{"a message reaches a queue once", onceEach},
		{"a message reaches all queues bound", allQueues},
		{"unbind ends it", unbindEndsIt},
		{"bindings that differ in arguments", bindingArguments},
		{"predeclared exchanges", predeclared},
		{"exchange to exchange", exchangeToExchange},
		{"an exchange goes with the bindings to it", exchangeBoundGoes},
		{"exchange with an unknown argument", unknownExchangeArgument},
	},
	refusals(slices.Collect(func(yield func(refusal) bool) {
		for _, bad := range badMatches {
			yield(bad.refusal())
		}
	})...),
)

// badMatch is a value that x-match cannot have, and what Erlang calls it.
type badMatch struct {
	value           any
	latin1, unicode string // the same if it is empty
}

var badMatches = []badMatch{
	{"other", `<<"other">>`, ""},
	{"", `<<>>`, ""},
	{"a\"\\\t\n\x1b", `<<"a\"\\\t\n\e">>`, ""},
	{"\x01\x02", `<<1,2>>`, ""},
	{"ü", `<<"ü">>`, `<<"ü"/utf8>>`},
	{"\xff", "<<\"\xff\">>", `<<"ÿ">>`},
	{"日", `<<230,151,165>>`, `<<"日"/utf8>>`},
	{nil, "undefined", ""},
	{true, "true", ""},
	{int8(-5), "-5", ""},
	{int32(5), "5", ""},
	{1.5, "1.5", ""},
	{1e30, "1.0e30", ""},
	{1000.0, "1.0e3", ""},
	{100.0, "100.0", ""},
	{0.001, "0.001", ""},
	{0.00001, "1.0e-5", ""},
	{[]byte("abc"), `<<"abc">>`, ""},
	{time.Unix(1700000000, 0), "1700000000", ""},
	{amqp.Decimal{Scale: 2, Value: 12345}, "{2,12345}", ""},
	{amqp.Table{"a": "b"}, `[{<<"a">>,longstr,<<"b">>}]`, ""},
	{[]any{"x", int32(1)}, `[{longstr,<<"x">>},{signedint,1}]`, ""},
}

func (bad badMatch) refusal() refusal {
	types := map[string]string{
		"string": "", "<nil>": "void", "bool": "bool", "int8": "byte", "int32": "signedint", "float64": "double", "[]uint8": "binary",
		"time.Time": "timestamp", "amqp091.Decimal": "decimal", "amqp091.Table": "table", "[]interface {}": "array",
	}
	text := func(term string) string {
		if _, ok := bad.value.(string); ok {
			return "PRECONDITION_FAILED - Invalid x-match field value " + term + "; expected all, any, all-with-x, or any-with-x"
		}
		return "PRECONDITION_FAILED - Invalid x-match field type " + types[fmt.Sprintf("%T", bad.value)] + " (value " + term + "); expected longstr"
	}
	r := refused(fmt.Sprintf("x-match of %q", fmt.Sprint(bad.value)), 406, text(bad.latin1), func(ch *channel) {
		ch.queue()
		ch.QueueBind(ch.c.name, "", "amq.headers", false, amqp.Table{"x-match": bad.value})
	})
	if bad.unicode != "" {
		r = r.where(versions.PrintsUnicode, 406, text(bad.unicode))
	}
	return r
}

func (r routing) run(c *client) {
	ch := c.channel()
	ch.exchange(r.kind)
	ch.queue()
	ch.bind(c.name, r.key, c.name, r.arguments...)
	send := func(e envelope, verdict string) string {
		body := fmt.Sprintf("%s %q", verdict, []any(e))
		ch.send(c.name, e[0].(string), amqp.Publishing{Headers: arguments(e[1:]), Body: []byte(body)})
		return body
	}
	var want []string
	for _, e := range r.stop {
		send(e, "stop")
	}
	for _, e := range r.pass {
		want = append(want, send(e, "pass"))
	}
	ch.publish(c.name, "end") // so that the queue is never expected to stay empty
	ch.wantQueue(c.name, append(want, "end")...)
}

func defaultExchange(c *client) {
	ch := c.channel()
	ch.queue()
	ch.publish(strings.ToUpper(c.name), "0")
	ch.publish(c.name, "1")
	if m := ch.get(c.name); m.Exchange != "" || m.RoutingKey != c.name || string(m.Body) != "1" {
		c.Errorf("got %+v", m)
	}
}

func onceEach(c *client) {
	ch := c.channel()
	ch.exchange("topic")
	ch.queue()
	for _, key := range []string{"#", "a.*", "a.b", "a.b"} {
		ch.bind(c.name, key, c.name)
	}
	ch.send(c.name, "a.b", amqp.Publishing{Body: []byte("1")})
	ch.wantQueue(c.name, "1")
}

func allQueues(c *client) {
	ch := c.channel()
	ch.exchange("direct")
	for _, q := range []string{"a", "b", "c"} {
		ch.queueNamed(c.other(q))
	}
	ch.bind(c.other("a"), "k", c.name)
	ch.bind(c.other("b"), "k", c.name)
	ch.bind(c.other("c"), "other", c.name)
	ch.send(c.name, "k", amqp.Publishing{Body: []byte("1")})
	ch.wantQueue(c.other("a"), "1")
	ch.wantQueue(c.other("b"), "1")
	ch.wantQueue(c.other("c"))
}

func unbindEndsIt(c *client) {
	ch := c.channel()
	ch.exchange("direct")
	ch.queue()
	ch.bind(c.name, "a", c.name)
	ch.bind(c.name, "b", c.name)
	c.ok(ch.QueueUnbind(c.name, "a", c.name, nil))
	c.ok(ch.QueueUnbind(c.name, "never bound", c.name, nil))
	ch.send(c.name, "a", amqp.Publishing{Body: []byte("a")})
	ch.send(c.name, "b", amqp.Publishing{Body: []byte("b")})
	ch.wantQueue(c.name, "b")
}

func bindingArguments(c *client) {
	ch := c.channel()
	ch.exchange("headers")
	ch.queue()
	ch.bind(c.name, "", c.name, "a", "1")
	ch.bind(c.name, "", c.name, "a", "2")
	c.ok(ch.QueueUnbind(c.name, "", c.name, amqp.Table{"a": "1"}))
	for _, value := range []string{"1", "2"} {
		ch.send(c.name, "", amqp.Publishing{Headers: amqp.Table{"a": value}, Body: []byte(value)})
	}
	ch.wantQueue(c.name, "2")
}

func predeclared(c *client) {
	ch := c.channel()
	for name, kind := range map[string]string{
		"amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic", "amq.headers": "headers", "amq.match": "headers",
	} {
		c.ok(ch.ExchangeDeclare(name, kind, true, false, false, false, nil))
	}
	c.ok(ch.ExchangeDeclare("amq.rabbitmq.trace", "topic", true, false, true, false, nil))
	ch.queue()
	ch.bind(c.name, "#", "amq.rabbitmq.trace")
	ch.bind(c.name, c.name+".*", "amq.topic")
	ch.send("amq.topic", c.name+".x", amqp.Publishing{Body: []byte("1")})
	ch.wantQueue(c.name, "1")
}

func exchangeToExchange(c *client) {
	ch := c.channel()
	ch.exchange("topic")
	ch.exchangeNamed(c.other("next"), "direct")
	c.ok(ch.ExchangeBind(c.other("next"), "a.*", c.name, false, nil))
	c.ok(ch.ExchangeBind(c.name, "a.b", c.other("next"), false, nil)) // and back
	ch.queue()
	ch.bind(c.name, "a.b", c.other("next"))
	for _, key := range []string{"b.b", "a.c", "a.b"} {
		ch.send(c.name, key, amqp.Publishing{Body: []byte(key)})
	}
	ch.wantQueue(c.name, "a.b")
	c.ok(ch.ExchangeUnbind(c.other("next"), "a.*", c.name, false, nil))
	c.ok(ch.ExchangeUnbind(c.other("next"), "a.*", c.name, false, nil)) // it is not there any more
	ch.send(c.name, "a.b", amqp.Publishing{Body: []byte("unbound")})
	ch.wantQueue(c.name)
}

// exchangeBoundGoes: what leads to an exchange goes with it, and an auto-delete exchange with the last binding.
func exchangeBoundGoes(c *client) {
	ch := c.channel()
	ch.exchangeNamed(c.other("next"), "fanout")
	c.ok(ch.ExchangeDeclare(c.name, "fanout", false, true, false, false, nil))
	c.ok(ch.ExchangeBind(c.other("next"), "", c.name, false, nil))
	c.ok(ch.ExchangeDelete(c.other("next"), false, false))
	ch.ExchangeDeclarePassive(c.name, "fanout", false, true, false, false, nil)
	ch.wantClosed(404, "NOT_FOUND - no exchange '"+c.name+"' in vhost '/'")
}

func unknownExchangeArgument(c *client) {
	ch := c.channel()
	if c.differs(strictArguments) {
		ch.redeclareWith("x-unknown", "v")
		ch.wantRefused()
	}
	ch = c.lenient()
	ch.exchange("direct", "x-unknown", "v")
	ch.exchange("direct") // it is not compared
	c.wantIgnored("exchange.declare x-unknown")
}
