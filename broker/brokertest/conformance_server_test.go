package brokertest_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
)

// server is a broker under test, and what its operator does to it.
type server interface {
	URL() string
	Addr() string
	Version() string                  // such as 4.0.5
	NeedsControl(*testing.T)          // skips the test unless the methods below work
	Alarm(c *client, resource string) // memory or disk
	ClearAlarm(c *client, resource string)
	StopApp(*client)
	StartApp(*client)
	Suspend(c *client, queues ...string)
	Resume(c *client, queues ...string)
	Withhold(c *client, queue string) // confirms of a classic one
	Release(c *client, queue string)
	AddUser(c *client, user string) // with that password; removed with the test
	DeleteUser(c *client, user string)
	Grant(c *client, user, host string, p brokertest.Permissions)
	GrantTopics(c *client, user, exchange string, p brokertest.TopicPermissions) // in "/"
	AddHost(c *client, name string)                                              // removed with the test
	DeleteHost(c *client, name string)
	Deadly(c *client, queue string)           // publishes a message that cannot be delivered
	SetPolicy(c *client, p brokertest.Policy) // of the scenario's name, until the test ends
	ClearPolicy(c *client)                    // before that
	SetOperatorPolicy(c *client, p brokertest.Policy)
	ClearOperatorPolicy(c *client)
	Hurry(c *client)                         // channels look at once for what is overdue
	Lenient(c *client) server                // the same, or one like it, that passes over unknown arguments
	Limited(c *client, bytes int) server     // the same, or one like it, with a max_message_size while the test runs
	Secure(c *client, required bool) secured // the same, or one like it, with TLS
}

type rabbit struct{ node *rabbittest.Node }

func (r rabbit) URL() string               { return r.node.URL() }
func (r rabbit) Addr() string              { return r.node.Addr() }
func (r rabbit) Version() string           { return r.node.Version() }
func (r rabbit) NeedsControl(t *testing.T) { rabbittest.NeedsControl(t) }

func (r rabbit) StopApp(c *client)  { c.ok(r.node.StopApp(context.Background())) }
func (r rabbit) StartApp(c *client) { c.ok(r.node.StartApp(context.Background())) }

func (r rabbit) Alarm(c *client, resource string) {
	r.eval(c, fmt.Sprintf("rabbit_alarm:set_alarm({{resource_limit, %s, node()}, []}), ", resource)+rabbittest.AlarmsKnown)
}

func (r rabbit) ClearAlarm(c *client, resource string) {
	r.eval(c, fmt.Sprintf("rabbit_alarm:clear_alarm({resource_limit, %s, node()}), ", resource)+rabbittest.AlarmsKnown)
}

func (r rabbit) Suspend(c *client, queues ...string) {
	for _, queue := range queues {
		c.ok(r.node.SuspendQueue(context.Background(), queue))
	}
}

func (r rabbit) Resume(c *client, queues ...string) {
	for _, queue := range queues {
		c.ok(r.node.ResumeQueue(context.Background(), queue))
	}
}

// Withhold suspends the queue: it confirms nothing, and what is published to it waits before it.
func (r rabbit) Withhold(c *client, queue string) { r.Suspend(c, queue) }
func (r rabbit) Release(c *client, queue string)  { r.Resume(c, queue) }

func (r rabbit) Deadly(c *client, queue string) { c.wire().publishDeadly(queue, deadlyBody) }

func (r rabbit) AddUser(c *client, user string) {
	r.call(c, "rabbit_auth_backend_internal:add_user", user, user, "test")
	c.Cleanup(func() { // who may be gone
		_ = r.node.Call(context.Background(), "rabbit_auth_backend_internal:delete_user", user, "test")
	})
}

func (r rabbit) DeleteUser(c *client, user string) {
	r.call(c, "rabbit_auth_backend_internal:delete_user", user, "test")
}

func (r rabbit) Grant(c *client, user, host string, p brokertest.Permissions) {
	r.call(c, "rabbit_auth_backend_internal:set_permissions", user, host, p.Configure, p.Write, p.Read, "test")
}

func (r rabbit) GrantTopics(c *client, user, exchange string, p brokertest.TopicPermissions) {
	r.call(c, "rabbit_auth_backend_internal:set_topic_permissions", user, "/", exchange, p.Write, p.Read, "test")
}

func (r rabbit) AddHost(c *client, name string) {
	r.call(c, "rabbit_vhost:add", name, "test")
	c.Cleanup(func() { _ = r.node.Call(context.Background(), "rabbit_vhost:delete", name, "test") }) // which may be gone
}

func (r rabbit) DeleteHost(c *client, name string) { r.call(c, "rabbit_vhost:delete", name, "test") }

func (r rabbit) SetPolicy(c *client, p brokertest.Policy)         { r.setPolicy(c, "", p) }
func (r rabbit) SetOperatorPolicy(c *client, p brokertest.Policy) { r.setPolicy(c, "_op", p) }
func (r rabbit) ClearPolicy(c *client)                            { r.call(c, "rabbit_policy:delete", "/", c.name, "test") }
func (r rabbit) ClearOperatorPolicy(c *client) {
	r.call(c, "rabbit_policy:delete_op", "/", c.name, "test")
}

func (r rabbit) setPolicy(c *client, kind string, p brokertest.Policy) {
	c.Helper()
	definition, err := json.Marshal(p.Definition)
	c.ok(err)
	name := c.name
	r.call(c, "rabbit_policy:parse_set"+kind, "/", name, p.Pattern, string(definition), fmt.Sprint(p.Priority), cmp.Or(p.ApplyTo, "all"), "test")
	c.Cleanup(func() { _ = r.node.Call(context.Background(), "rabbit_policy:delete"+kind, "/", name, "test") }) // it may be gone
}

// call has the node call a function with texts, which is to give ok.
func (r rabbit) call(c *client, function string, texts ...string) {
	c.Helper()
	c.ok(r.node.Call(context.Background(), function, texts...))
}

func (r rabbit) eval(c *client, expression string) {
	c.Helper()
	_, err := r.node.Eval(context.Background(), expression)
	c.ok(err)
}

// Hurry shortens how often channels that are opened from now on look.
func (r rabbit) Hurry(c *client) {
	set := func(milliseconds int) {
		r.eval(c, fmt.Sprintf("application:set_env(rabbit, channel_tick_interval, %d).", milliseconds))
	}
	set(100)
	c.Cleanup(func() { set(60000) })
}

func (r rabbit) Lenient(*client) server { return r }

// Limited sets what a channel reads when it is opened, or in later versions with each message.
func (r rabbit) Limited(c *client, bytes int) server {
	set := func(bytes int) (before int) {
		before, err := r.node.MaxMessageSize(context.Background(), bytes)
		c.ok(err)
		return before
	}
	before := set(bytes)
	c.Cleanup(func() { set(before) })
	return r
}

type double struct {
	*brokertest.Server
	version string
}

func (d double) Version() string                       { return d.version }
func (double) NeedsControl(*testing.T)                 {}
func (d double) Alarm(_ *client, resource string)      { d.Server.Alarm("low on " + resource) }
func (d double) ClearAlarm(_ *client, resource string) { d.EndAlarm("low on " + resource) }
func (d double) StopApp(*client)                       { d.Server.StopApp() }
func (d double) StartApp(c *client)                    { d.Server.StartApp() }

func (d double) Withhold(_ *client, queue string) { d.WithholdConfirms(queue) }
func (d double) Release(_ *client, queue string)  { d.ReleaseConfirms(queue) }

func (d double) Deadly(c *client, queue string) {
	d.EndConnectionsAt(queue, deadlyBody)
	c.ok(d.Publish(queue, deadlyBody))
}

func (d double) AddUser(c *client, user string) {
	d.SetPassword(user, user)
	c.ok(d.ClearPermissions(user, "/")) // nobody but the operator grants any
}

func (d double) DeleteUser(_ *client, user string) { d.Server.DeleteUser(user) }

func (d double) Grant(c *client, user, host string, p brokertest.Permissions) {
	c.ok(d.SetPermissions(user, host, p))
}

func (d double) GrantTopics(c *client, user, exchange string, p brokertest.TopicPermissions) {
	c.ok(d.SetTopicPermissions(user, "/", exchange, p))
}

func (d double) AddHost(_ *client, name string)    { d.AddVirtualHost(name) }
func (d double) DeleteHost(_ *client, name string) { d.DeleteVirtualHost(name) }

func (d double) SetPolicy(c *client, p brokertest.Policy) { c.ok(d.Server.SetPolicy(c.name, p)) }
func (d double) ClearPolicy(c *client)                    { c.ok(d.Server.ClearPolicy("", c.name)) }
func (d double) SetOperatorPolicy(c *client, p brokertest.Policy) {
	c.ok(d.Server.SetOperatorPolicy(c.name, p))
}
func (d double) ClearOperatorPolicy(c *client) { c.ok(d.Server.ClearOperatorPolicy("", c.name)) }
func (double) Hurry(*client)                   {}

func (d double) Lenient(c *client) server {
	return double{brokertest.NewServer(c, brokertest.Version(d.version), brokertest.IgnoreUnknown()), d.version}
}

func (d double) Limited(c *client, bytes int) server {
	return double{brokertest.NewServer(c, brokertest.Version(d.version), brokertest.MaxMessageSize(bytes)), d.version}
}

func (d double) Suspend(_ *client, queues ...string) {
	for _, queue := range queues {
		d.SuspendQueue(queue)
	}
}

func (d double) Resume(_ *client, queues ...string) {
	for _, queue := range queues {
		d.ResumeQueue(queue)
	}
}
