package brokertest_test

import (
	"slices"

	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

var copyScenarios = slices.Concat(
	[]scenario{
		{"copies: CC and BCC", carbonCopy},
		{"copies of a topic exchange", copyTopic},
		{"copies: what is no key is passed over", copyOtherTypes},
		{"copies: a message comes back without BCC", copyReturned},
		{"copies of a dead letter", copyDead},
		{"copies of a dead letter with another key", copyDeadOtherKey},
	},
	refusals(
		refused("copies: CC is a text", 406, `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}`,
			func(ch *channel) { ch.cast("", ch.queue(), amqp.Publishing{Headers: amqp.Table{"CC": "x"}}) }),
		refused("copies: CC is void", 406, `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",void}`,
			func(ch *channel) { ch.cast("", ch.queue(), amqp.Publishing{Headers: amqp.Table{"CC": nil}}) }),
		refused("copies: BCC is a number", 406, `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"BCC",signedint}`,
			func(ch *channel) { ch.cast("", ch.queue(), amqp.Publishing{Headers: amqp.Table{"BCC": int32(1)}}) }),
	),
)

func carbonCopy(c *client) {
	ch := c.channel()
	headers := amqp.Table{"CC": []any{c.other("cc"), c.name}, "BCC": []any{c.other("bcc")}, "other": "x"}
	want := amqp.Table{"CC": headers["CC"], "other": "x"}
	for _, q := range []string{c.name, c.other("cc"), c.other("bcc")} {
		ch.queueNamed(q)
	}
	ch.send("", c.name, amqp.Publishing{Headers: headers})
	for _, q := range []string{c.name, c.other("cc"), c.other("bcc")} {
		m := ch.get(q)
		if diff := cmp.Diff(want, m.Headers); diff != "" || m.RoutingKey != c.name {
			c.Errorf("%s got routing key %q and headers (-want +got):\n%s", q, m.RoutingKey, diff)
		}
		ch.wantQueue(q) // once each
	}
}

func copyTopic(c *client) {
	ch := c.channel()
	ch.exchange("topic")
	for _, key := range []string{"a", "b", "c", "d"} {
		ch.queueNamed(c.other(key))
		ch.bind(c.other(key), key+".*", c.name)
	}
	ch.send(c.name, "a.1", amqp.Publishing{Headers: amqp.Table{"CC": []any{"b.1", "a.2"}, "BCC": []any{"c.1"}}, Body: []byte("1")})
	for _, key := range []string{"a", "b", "c"} {
		ch.wantQueue(c.other(key), "1")
	}
	ch.wantQueue(c.other("d"))
}

func copyOtherTypes(c *client) {
	ch := c.channel()
	ch.queue()
	ch.queueNamed(c.other("cc"))
	ch.send("", c.name, amqp.Publishing{Headers: amqp.Table{"CC": []any{int32(5), c.other("cc")}, "BCC": []any{}}, Body: []byte("1")})
	ch.wantQueue(c.other("cc"), "1")
	if _, there := ch.get(c.name).Headers["BCC"]; there {
		c.Error("BCC is seen")
	}
}

func copyReturned(c *client) {
	ch := c.channel()
	returned := ch.returning(c.name, amqp.Publishing{Headers: amqp.Table{"CC": []any{c.other("a")}, "BCC": []any{c.other("b")}}})
	got := <-returned
	if diff := cmp.Diff(amqp.Table{"CC": []any{c.other("a")}}, got.Headers); diff != "" || got.RoutingKey != c.name {
		c.Errorf("key %q, headers (-want +got):\n%s", got.RoutingKey, diff)
	}
	ch.queueNamed(c.other("b"))
	ch.bind(c.other("b"), c.other("b"), "amq.direct")
	if returned := ch.returning(c.name, amqp.Publishing{Headers: amqp.Table{"BCC": []any{c.other("b")}}}); len(returned) > 0 {
		c.Error("a message with a copy that was routed came back")
	}
}

// dyingWithCopies publishes a message with copies that dies, and returns who gets it by its own key, by CC and by BCC.
func (ch *channel) dyingWithCopies(args ...any) (own, cc, bcc string) {
	c := ch.c
	own, cc, bcc = c.other("own"), c.other("cc"), c.other("bcc")
	ch.exchange("direct")
	ch.queue(append(args, "x-message-ttl", 1, "x-dead-letter-exchange", c.name)...)
	ch.queueNamed(own)
	ch.bind(own, c.name, c.name)
	ch.bind(own, "another", c.name)
	for _, name := range []string{cc, bcc} {
		ch.queueNamed(name)
		ch.bind(name, name+"-key", c.name)
	}
	ch.send("", c.name, amqp.Publishing{Headers: amqp.Table{"CC": []any{cc + "-key"}, "BCC": []any{bcc + "-key"}}, Body: []byte("1")})
	return own, cc, bcc
}

func copyDead(c *client) {
	ch := c.channel()
	own, cc, bcc := ch.dyingWithCopies()
	for _, name := range []string{own, cc, bcc} {
		got := ch.get(name)
		want := death("expired", c.name, "", 1, c.name, cc+"-key")
		c.wantDeathsAndCopies(got, want, []any{cc + "-key"})
	}
}

func copyDeadOtherKey(c *client) {
	ch := c.channel()
	own, cc, bcc := ch.dyingWithCopies("x-dead-letter-routing-key", "another")
	var kept any
	if c.has(versions.KeepsCopies) {
		kept = []any{cc + "-key"}
	}
	c.wantDeathsAndCopies(ch.get(own), death("expired", c.name, "", 1, c.name, cc+"-key"), kept)
	ch.wantQueue(cc)
	ch.wantQueue(bcc)
}

func (c *client) wantDeathsAndCopies(d amqp.Delivery, death amqp.Table, cc any) {
	c.Helper()
	if diff := cmp.Diff(cc, d.Headers["CC"]); diff != "" {
		c.Errorf("CC (-want +got):\n%s", diff)
	}
	delete(d.Headers, "CC")
	c.wantDeaths(d, death, death)
}
