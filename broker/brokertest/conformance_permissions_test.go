package brokertest_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/rabbittest"
)

var permissionScenarios = []scenario{
	{"permissions", permissions},
	{"permissions of names that the broker makes", permissionsOfGenerated},
	{"permissions are of one virtual host", permissionsOfHost},
	{"permissions of topics", permissionsOfTopics},
	{"a user is deleted", userDeleted},
	{"a virtual host is deleted", hostDeleted},
	{"a virtual host has its own queues", hostsApart},
}

// as dials as a user whose password is the name.
func (c *client) as(user, host string) *connection {
	c.Helper()
	return c.dial(amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{Username: user, Password: user}}, Vhost: host})
}

// permissions are those of a user who may do anything with what begins with mine, and one thing with each of some others.
func permissions(c *client) {
	user, mine, theirs := c.other("user"), "mine-"+c.name, "theirs-"+c.name
	c.server.AddUser(c, user)
	c.server.Grant(c, user, "/", brokertest.Permissions{Configure: "^(mine|made)-", Write: "^(mine|to)-", Read: "^(mine|from)-"})
	owner := c.channel()
	for _, prefix := range []string{"mine-", "made-", "to-", "from-", "theirs-"} {
		owner.durable(prefix + c.name)
		owner.exchangeNamed(prefix+c.name, "fanout")
	}
	made, to, from := "made-"+c.name, "to-"+c.name, "from-"+c.name
	letters := func(exchange string) amqp.Table { return amqp.Table{"x-dead-letter-exchange": exchange} }
	alternate := func(exchange string) amqp.Table { return amqp.Table{"alternate-exchange": exchange} }
	declare := func(name string, args amqp.Table) func(*channel) error {
		return func(ch *channel) error {
			_, err := ch.QueueDeclare(name, true, false, false, false, args)
			return err
		}
	}
	exchange := func(name string, args amqp.Table) func(*channel) error {
		return func(ch *channel) error { return ch.ExchangeDeclare(name, "fanout", false, true, false, false, args) }
	}
	bind := func(queue, exchange string) func(*channel) error {
		return func(ch *channel) error { return ch.QueueBind(queue, "", exchange, false, nil) }
	}
	join := func(destination, source string) func(*channel) error {
		return func(ch *channel) error { return ch.ExchangeBind(destination, "", source, false, nil) }
	}
	get := func(queue string) func(*channel) error {
		return func(ch *channel) error { _, _, err := ch.Get(queue, true); return err }
	}
	consume := func(queue string) func(*channel) error {
		return func(ch *channel) error {
			_, err := ch.Consume(queue, "", true, false, false, false, nil)
			return err
		}
	}
	purge := func(queue string) func(*channel) error {
		return func(ch *channel) error { _, err := ch.QueuePurge(queue, false); return err }
	}
	remove := func(queue string) func(*channel) error {
		return func(ch *channel) error { _, err := ch.QueueDelete(queue, false, false, false); return err }
	}
	publish := func(exchange string) func(*channel) error {
		return func(ch *channel) error {
			c.ok(ch.PublishWithContext(c.Context(), exchange, theirs, false, false, amqp.Publishing{}))
			_, err := ch.QueueDeclarePassive(mine, true, false, false, false, nil) // which the user may configure
			if err == nil {
				return nil
			}
			said, _ := await(c, "the channel is closed", ch.closes) // before the declaration, or instead of its answer
			return said
		}
	}
	const queue, x = "queue", "exchange"
	look, seenQueue, seenExchange := "", "", "" // a passive declaration takes no permission
	if c.has(versions.AsksToLook) {
		look, seenQueue, seenExchange = "configure", queue, x
	}
	for _, test := range []struct {
		what               string
		act                func(*channel) error
		access, kind, name string // that is refused; none if it is not
	}{
		{"declare mine", declare(mine, nil), "", "", ""},
		{"declare theirs", declare(theirs, nil), "configure", queue, theirs},
		{"declare a new one of theirs", declare(theirs+"2", nil), "configure", queue, theirs + "2"},
		{"passive declare of theirs", func(ch *channel) error {
			_, err := ch.QueueDeclarePassive(theirs, true, false, false, false, nil)
			return err
		}, look, seenQueue, theirs},
		{"dead letters of what is only made", declare(made+"2", letters(mine)), "read", queue, made + "2"},
		{"dead letters to theirs", declare(mine+"2", letters(theirs)), "write", x, theirs},
		{"declare exchange of mine", exchange(mine+"x", nil), "", "", ""},
		{"declare exchange of theirs", exchange(theirs+"x", nil), "configure", x, theirs + "x"},
		{"alternate of what is only made", exchange(made+"x", alternate(mine)), "read", x, made + "x"},
		{"alternate of theirs", exchange(mine+"y", alternate(theirs)), "write", x, theirs},
		{"passive declare of their exchange", func(ch *channel) error {
			return ch.ExchangeDeclarePassive(theirs, "fanout", false, false, false, false, nil)
		}, look, seenExchange, theirs},
		{"delete their exchange", func(ch *channel) error { return ch.ExchangeDelete(theirs, false, false) }, "configure", x, theirs},
		{"bind mine", bind(mine, mine), "", "", ""},
		{"bind to from", bind(to, from), "", "", ""},
		{"bind theirs", bind(theirs, theirs), "write", queue, theirs},
		{"bind from theirs", bind(mine, theirs), "read", x, theirs},
		{"unbind theirs", func(ch *channel) error { return ch.QueueUnbind(theirs, "", theirs, nil) }, "write", queue, theirs},
		{"bind exchanges to theirs", join(theirs, mine), "write", x, theirs},
		{"bind exchanges from theirs", join(mine, theirs), "read", x, theirs},
		{"get", get(from), "", "", ""},
		{"get theirs", get(theirs), "read", queue, theirs},
		{"get nobody's", get(theirs + "nobody"), "read", queue, theirs + "nobody"},
		{"consume theirs", consume(theirs), "read", queue, theirs},
		{"purge theirs", purge(theirs), "read", queue, theirs},
		{"delete theirs", remove(theirs), "configure", queue, theirs},
		{"delete nobody's", remove(theirs + "nobody"), "configure", queue, theirs + "nobody"},
		{"consume replies", consume("amq.rabbitmq.reply-to"), "", "", ""},
		{"publish", publish(to), "", "", ""},
		{"publish to theirs", publish(theirs), "write", x, theirs},
		{"publish to nobody's", publish(theirs + "nobody"), "write", x, theirs + "nobody"},
		{"publish to a queue", publish(""), "write", x, "amq.default"},
	} {
		err := test.act(c.as(user, "/").channel()) // which remembers no permission
		want := ""
		if test.kind != "" {
			want = c.refused(test.access, test.kind, test.name, "/", user)
		}
		if got := reason(err); got != want {
			c.Errorf("%s:\n%q, want\n%q", test.what, got, want)
		}
	}
}

func (c *client) refused(access, kind, name, host, user string) string {
	if c.has(versions.NamesAccess) {
		access += " access"
	} else {
		access = "access"
	}
	return "ACCESS_REFUSED - " + access + " to " + kind + " '" + name + "' in vhost '" + host + "' refused for user '" + user + "'"
}

// reason is what the broker says, or else the error.
func reason(err error) string {
	var said *amqp.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &said):
		return said.Reason
	}
	return err.Error()
}

func permissionsOfGenerated(c *client) {
	user := c.other("user")
	c.server.AddUser(c, user)
	c.server.Grant(c, user, "/", brokertest.Permissions{Configure: "^mine-"})
	_, err := c.as(user, "/").channel().QueueDeclare("", false, false, true, false, nil)
	before, after, _ := strings.Cut(c.refused("configure", "queue", "|", "/", user), "|")
	if got := reason(err); !strings.HasPrefix(got, before+"amq.gen-") || !strings.HasSuffix(got, after) {
		c.Errorf("got %q", got)
	}
	c.server.Grant(c, user, "/", brokertest.Permissions{Configure: "^amq[.]gen-"})
	_, err = c.as(user, "/").channel().QueueDeclare("", false, false, true, false, nil)
	c.ok(err)
}

func permissionsOfHost(c *client) {
	user, host := c.other("user"), c.other("host")
	c.server.AddUser(c, user)
	c.server.AddHost(c, host)
	c.server.Grant(c, user, host, brokertest.Permissions{Configure: ".*", Write: ".*", Read: ".*"})
	c.as(user, host).channel().queue()
	_, err := amqp.DialConfig(c.server.URL(), amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{Username: user, Password: user}}, Vhost: "/"})
	var refused *amqp.Error
	want := "NOT_ALLOWED - access to vhost '/' refused for user '" + user + "'"
	if !errors.As(err, &refused) || refused.Code != 530 || refused.Reason != want {
		c.Errorf("got %v, want %q", err, want)
	}
}

func userDeleted(c *client) {
	user := c.other("user")
	c.server.AddUser(c, user)
	c.server.Grant(c, user, "/", brokertest.Permissions{Configure: ".*", Write: ".*", Read: ".*"})
	conn, other := c.as(user, "/"), c.channel()
	conn.channel().sync()
	c.server.DeleteUser(c, user)
	conn.wantForced("user '" + user + "' is deleted")
	other.sync()
}

func hostDeleted(c *client) {
	host := c.other("host")
	c.server.AddHost(c, host)
	c.server.Grant(c, "guest", host, brokertest.Permissions{Configure: ".*", Write: ".*", Read: ".*"})
	conn, other := c.dial(amqp.Config{Vhost: host}), c.channel()
	conn.channel().queue()
	c.server.DeleteHost(c, host)
	// RabbitMQ ends its connections for both reasons, and which one comes first is chance.
	conn.wantForced("vhost '"+host+"' is deleted", "vhost '"+host+"' is down")
	other.sync()
	if _, err := amqp.DialConfig(c.server.URL(), amqp.Config{Vhost: host}); reason(err) != "NOT_ALLOWED - vhost "+host+" not found" {
		c.Errorf("got %v", err)
	}
}

// wantForced expects that an operator has closed the connection, with one of these reasons.
func (conn *connection) wantForced(texts ...string) {
	c := conn.c
	c.Helper()
	got, _ := await(c, "the connection is closed", conn.closes)
	if _, played := c.server.(double); got != nil && !got.Server && !played {
		return // RabbitMQ hangs up after its words, and the client's answer to them may meet that first
	}
	if got == nil || got.Code != 320 || !slices.ContainsFunc(texts, func(text string) bool { return got.Reason == "CONNECTION_FORCED - "+text }) {
		c.Errorf("closed with %v, want 320 %q", got, texts)
	}
}

func hostsApart(c *client) {
	host := c.other("host")
	c.server.AddHost(c, host)
	c.server.Grant(c, "guest", host, brokertest.Permissions{Configure: ".*", Write: ".*", Read: ".*"})
	here, there := c.channel(), c.dial(amqp.Config{Vhost: host}).channel()
	here.queue()
	there.queue()
	here.publish(c.name, "here")
	there.publish(c.name, "there")
	here.wantQueue(c.name, "here")
	there.wantQueue(c.name, "there")
}

// TestDefinitionsOfRabbitMQ loads what a RabbitMQ exports.
func TestDefinitionsOfRabbitMQ(t *testing.T) {
	rabbittest.NeedsControl(t)
	node := rabbittest.Shared(t)
	c := newClient(t, rabbit{node})
	user, host, bounded := c.other("user"), c.other("host"), c.other("bounded")
	c.server.AddUser(c, user)
	c.server.AddHost(c, host)
	all := brokertest.Permissions{Configure: ".*", Write: ".*", Read: ".*"}
	c.server.Grant(c, user, host, all)
	c.server.GrantTopics(c, user, "amq.topic", brokertest.TopicPermissions{Write: "^a$", Read: "^b$"})
	c.server.SetOperatorPolicy(c, brokertest.Policy{Pattern: "^" + bounded, Definition: map[string]any{"max-length": 1}})
	c.server.SetPolicy(c, brokertest.Policy{Pattern: "^" + bounded, Definition: map[string]any{"max-length": 3}})
	ch := c.as(user, host).channel()
	_, err := ch.QueueDeclare("q", true, false, false, false, amqp.Table{"x-max-length": 5, "x-queue-type": "classic"})
	c.ok(err)
	c.ok(ch.ExchangeDeclare("x", "headers", true, false, false, false, nil))
	c.ok(ch.QueueBind("q", "key", "x", false, amqp.Table{"n": 1, "s": "t", "x-match": "any"}))
	text, err := node.Ctl(t.Context(), "--quiet", "export_definitions", "-")
	c.ok(err)

	server := brokertest.NewServer(t, brokertest.Config{Version: "3.10", Definitions: []byte(text)})
	c = newClient(t, double{server, "3.10"})
	ch = c.as(user, host).channel()
	_, err = ch.QueueDeclare("q", true, false, false, false, amqp.Table{"x-max-length": 5, "x-queue-type": "classic"})
	c.ok(err)
	c.ok(ch.ExchangeDeclare("x", "headers", true, false, false, false, nil))
	ch.send("x", "", amqp.Publishing{Headers: amqp.Table{"n": 1}})
	if q, _ := server.In(host).Queue("q"); q.Ready != 1 {
		t.Errorf("the queue has %+v", q)
	}
	ch = c.as("guest", "/").channel() // whose password is well known
	ch.queueNamed(bounded)
	ch.publish(bounded, "1", "2", "3")
	ch.wantQueue(bounded, "3")
	c.server.Grant(c, user, "/", all)
	ch = c.as(user, "/").channel()
	c.ok(ch.PublishWithContext(t.Context(), "amq.topic", "b", false, false, amqp.Publishing{}))
	ch.wantClosed(403, "ACCESS_REFUSED - "+topicRefused(c, "write", "b", "amq.topic", user))
}
