package operator

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ready is how many messages a queue has.
func (d desk) ready(vhost, queue string) int {
	q, _ := d.server.In(vhost).Queue(queue)
	return q.Ready
}

func (d desk) channel() *amqp.Channel {
	d.Helper()
	conn, err := amqp.Dial(d.server.URL())
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		d.Fatal(err)
	}
	return ch
}

func TestTopologyAndPolicies(t *testing.T) {
	d := newDesk(t)
	d.acts(`{"action":"add-vhost","vhost":"v"}`)
	d.acts(`{"action":"declare-queue","vhost":"v","queue":"q","arguments":{"x-max-length":4}}`)
	for _, step := range []struct {
		action string
		left   int // of five
	}{
		{`{"action":"set-policy","vhost":"v","policy":"p","pattern":"^q","apply-to":"queues","priority":1,"definition":{"max-length":3}}`, 3},
		{`{"action":"set-operator-policy","vhost":"v","policy":"o","pattern":"q","definition":{"max-length":2}}`, 2},
		{`{"action":"clear-operator-policy","vhost":"v","policy":"o"}`, 3},
		{`{"action":"clear-policy","vhost":"v","policy":"p"}`, 4},
	} {
		d.acts(step.action)
		d.acts(`{"action":"publish","vhost":"v","queue":"q","bodies":["1","2","3","4","5"]}`)
		if got := d.ready("v", "q"); got != step.left {
			t.Errorf("%s: %d messages, want %d", step.action, got, step.left)
		}
	}
	d.refuses("POST", "/actions", `{"action":"set-policy","policy":"p","pattern":"","definition":{"max-length":1.5}}`, "max-length")
	d.refuses("POST", "/actions", `{"action":"clear-policy","policy":"p","vhost":"nowhere"}`, "no virtual host")
}

func TestBindings(t *testing.T) {
	d := newDesk(t)
	d.acts(`{"action":"declare-queue","queue":"q"}`)
	d.acts(`{"action":"declare-exchange","exchange":"x","type":"headers"}`)
	d.acts(`{"action":"bind","exchange":"x","key":"k","queue":"q","arguments":{"n":7}}`)
	ch := d.channel()
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	publish := func() {
		confirmation, err := ch.PublishWithDeferredConfirm("x", "k", false, false, amqp.Publishing{Headers: amqp.Table{"n": 7}})
		if err != nil {
			t.Fatal(err)
		}
		confirmation.Wait()
	}
	publish()
	d.want("POST", "/faults", `{"fault":"unbind","exchange":"x","key":"k","queue":"q","arguments":{"n":7}}`, `{"id":1,"played":true}`)
	publish()
	if got := d.ready("/", "q"); got != 1 {
		t.Errorf("%d messages, want the one from before", got)
	}
}

func TestPermissionsAndFaultsOfQueues(t *testing.T) {
	d := newDesk(t)
	d.acts(`{"action":"declare-queue","queue":"q"}`)
	get := func(want string) {
		t.Helper()
		ch := d.channel()
		_, _, err := ch.Get("q", true)
		switch said, _ := err.(*amqp.Error); {
		case want == "" && err != nil, want != "" && (said == nil || said.Reason != want):
			t.Errorf("got %v, want %q", err, want)
		}
	}
	get("")
	d.acts(`{"action":"set-permissions","user":"guest","configure":".*","write":".*","read":"^other$"}`)
	get("ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'guest'")
	d.acts(`{"action":"set-permissions","user":"guest","configure":".*","write":".*","read":".*"}`)
	d.acts(`{"action":"publish","queue":"q","bodies":["deadly"]}`)
	d.want("POST", "/faults", `{"fault":"end-connections-at","queue":"q","text":"deadly"}`, `{"id":1,"played":true}`)
	get("INTERNAL_ERROR")

	bind := func(want bool) {
		t.Helper()
		if err := d.channel().QueueBind("q", "k", "amq.topic", false, nil); (err == nil) != want {
			t.Errorf("got %v", err)
		}
	}
	d.acts(`{"action":"set-topic-permissions","user":"guest","exchange":"amq.topic","write":".*","read":"^other$"}`)
	bind(false)
	d.acts(`{"action":"clear-topic-permissions","user":"guest","exchange":"amq.topic"}`)
	bind(true)
	d.acts(`{"action":"clear-permissions","user":"guest"}`)
	if conn, err := amqp.Dial(d.server.URL()); err == nil {
		conn.Close()
		t.Error("let in without permissions")
	}
}
