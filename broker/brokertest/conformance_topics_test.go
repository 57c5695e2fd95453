package brokertest_test

import (
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/internal/versions"
)

// permissionsOfTopics are those of a user who may publish with some keys, and bind with others.
func permissionsOfTopics(c *client) {
	user := c.other("user")
	c.server.AddUser(c, user)
	c.server.Grant(c, user, "/", brokertest.Permissions{Configure: ".*", Write: ".*", Read: ".*"})
	owner := c.channel()
	owner.durable(c.name)
	owner.exchange("topic")
	other, direct := owner.exchangeNamed(c.other("other"), "topic"), owner.exchangeNamed(c.other("direct"), "direct")
	permitted := brokertest.TopicPermissions{Write: "^out[.]|^{username}$", Read: "^in[.]|^{vhost}$"}
	c.server.GrantTopics(c, user, c.name, permitted)
	c.server.GrantTopics(c, user, direct, permitted) // of which nothing comes

	publish := func(exchange, key string, headers amqp.Table) func(*channel) error {
		return func(ch *channel) error {
			c.ok(ch.PublishWithContext(c.Context(), exchange, key, false, false, amqp.Publishing{Headers: headers}))
			err := ch.ExchangeDeclarePassive("amq.direct", "direct", true, false, false, false, nil)
			if err == nil {
				return nil
			}
			said, _ := await(c, "the channel is closed", ch.closes) // before the declaration, or instead of its answer
			return said
		}
	}
	bind := func(exchange, key string) func(*channel) error {
		return func(ch *channel) error { return ch.QueueBind(c.name, key, exchange, false, nil) }
	}
	copies := "" // of which only some versions look at the keys
	if c.has(versions.AsksForCopies) {
		copies = "write"
	}
	for _, test := range []struct {
		what        string
		act         func(*channel) error
		access, key string // that is refused; none if it is not
	}{
		{"publish", publish(c.name, "out.a", nil), "", ""},
		{"publish with the name", publish(c.name, user, nil), "", ""},
		{"publish with another key", publish(c.name, "in.a", nil), "write", "in.a"},
		{"publish with no key", publish(c.name, "", nil), "write", ""},
		{"publish with a copy", publish(c.name, "out.a", amqp.Table{"CC": []any{"out.b", "in.b"}}), copies, "in.b"},
		{"publish with a hidden copy", publish(c.name, "out.a", amqp.Table{"BCC": []any{"in.c"}}), copies, "in.c"},
		{"publish to the other one", publish(other, "in.a", nil), "", ""},
		{"publish to one that is not of topics", publish(direct, "in.a", nil), "", ""},
		{"bind", bind(c.name, "in.#"), "", ""},
		{"bind with the virtual host", bind(c.name, "/"), "", ""},
		{"bind with another key", bind(c.name, "out.#"), "read", "out.#"},
		{"bind with all", bind(c.name, "#"), "read", "#"},
		{"bind to one that is not of topics", bind(direct, "out.a"), "", ""},
		{"unbind with another key", func(ch *channel) error { return ch.QueueUnbind(c.name, "out.#", c.name, nil) }, "read", "out.#"},
		{"bind exchanges", func(ch *channel) error { return ch.ExchangeBind(other, "in.a", c.name, false, nil) }, "", ""},
		{"bind exchanges with another key", func(ch *channel) error { return ch.ExchangeBind(other, "out.a", c.name, false, nil) }, "read", "out.a"},
		{"unbind exchanges with another key", func(ch *channel) error { return ch.ExchangeUnbind(other, "out.a", c.name, false, nil) }, "read", "out.a"},
		{"bind the other way", func(ch *channel) error { return ch.ExchangeBind(c.name, "out.a", other, false, nil) }, "", ""},
		{"bind with no key to the queue declared last", func(ch *channel) error {
			_, err := ch.QueueDeclarePassive(c.name, true, false, false, false, nil)
			c.ok(err)
			return ch.QueueBind("", "", c.name, false, nil)
		}, "read", c.name},
	} {
		err := test.act(c.as(user, "/").channel()) // which remembers no permission
		want := ""
		if test.access != "" {
			want = "ACCESS_REFUSED - " + topicRefused(c, test.access, test.key, c.name, user)
		}
		if got := reason(err); got != want {
			c.Errorf("%s:\n%q, want\n%q", test.what, got, want)
		}
	}
}

func topicRefused(c *client, access, key, exchange, user string) string {
	if access += " access"; !c.has(versions.NamesAccess) {
		access = "access"
	}
	return access + " to topic '" + key + "' in exchange '" + exchange + "' in vhost '/' refused for user '" + user + "'"
}
