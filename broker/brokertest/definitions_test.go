package brokertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The hash is RabbitMQ's of "secret", with the salt 01020304.
const exported = `{
	"rabbit_version": "3.10.8", "rabbitmq_version": "3.10.8", "product_name": "RabbitMQ",
	"users": [
		{"name": "ada", "password_hash": "AQIDBDB9kM21iEUzN1lZ+6VReCsdNqS0sERdAQTcY6Xs3PMz", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ["administrator"], "limits": {}},
		{"name": "bob", "password": "plain", "tags": ""}
	],
	"vhosts": [{"name": "orders"}, {"name": "/"}],
	"permissions": [{"user": "ada", "vhost": "orders", "configure": ".*", "write": ".*", "read": ".*"}],
	"topic_permissions": [], "parameters": [], "global_parameters": [{"name": "cluster_name", "value": "rabbit@a"}],
	"policies": [
		{"vhost": "orders", "name": "p", "pattern": "^dead$", "apply-to": "queues", "definition": {"max-length": 1}, "priority": 0},
		{"vhost": "orders", "name": "mirrored", "pattern": "", "apply-to": "all", "definition": {"ha-mode": "all"}, "priority": 0}
	],
	"queues": [
		{"name": "q", "vhost": "orders", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 3}},
		{"name": "dead", "vhost": "orders", "durable": true, "auto_delete": false, "arguments": {}}
	],
	"exchanges": [
		{"name": "in", "vhost": "orders", "type": "topic", "durable": true, "auto_delete": false, "internal": false, "arguments": {}},
		{"name": "behind", "vhost": "orders", "type": "headers", "durable": true, "auto_delete": false, "internal": true, "arguments": {}},
		{"name": "amq.rabbitmq.log", "vhost": "/", "type": "topic", "durable": true, "auto_delete": false, "internal": true, "arguments": {}}
	],
	"bindings": [
		{"source": "amq.rabbitmq.log", "vhost": "orders", "destination": "q", "destination_type": "queue", "routing_key": "#", "arguments": {}},
		{"source": "in", "vhost": "orders", "destination": "amq.rabbitmq.log", "destination_type": "exchange", "routing_key": "#", "arguments": {}},
		{"source": "in", "vhost": "orders", "destination": "behind", "destination_type": "exchange", "routing_key": "#", "arguments": {}},
		{"source": "behind", "vhost": "orders", "destination": "q", "destination_type": "queue", "routing_key": "", "arguments": {"x-match": "all", "n": 7}}
	]
}`

func TestDefinitions(t *testing.T) {
	t.Parallel() // whom it refuses it lets wait
	s := NewServer(t, Config{Definitions: []byte(exported)})
	if !strings.HasSuffix(s.URL(), "/") || s.Users()[0] != "ada" || len(s.Users()) != 2 {
		t.Errorf("%s, users %q", s.URL(), s.Users())
	}
	if got := s.Ignored(); !slices.Equal(got, []string{"definitions binding from amq.rabbitmq.log", "definitions binding to amq.rabbitmq.log", "definitions policy mirrored"}) {
		t.Errorf("ignored %q", got)
	}
	dial := func(user, password, host string) (*amqp.Connection, error) {
		return amqp.DialConfig(s.URL(), amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{Username: user, Password: password}}, Vhost: host})
	}
	for _, refused := range [][3]string{{"ada", "wrong", "orders"}, {"ada", "", "orders"}, {"ada", "secret", "/"}, {"bob", "plain", "/"}, {"guest", "guest", "orders"}} {
		if conn, err := dial(refused[0], refused[1], refused[2]); err == nil {
			conn.Close()
			t.Errorf("%q was let in", refused)
		}
	}
	conn, err := dial("ada", "secret", "orders")
	ok(t, err)
	defer conn.Close()
	ch := openChannel(t, conn)
	_, err = ch.QueueDeclare("q", true, false, false, false, amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 3})
	ok(t, err)
	for _, n := range []int{7, 8} {
		ok(t, ch.PublishWithContext(t.Context(), "in", "any", false, false, amqp.Publishing{Headers: amqp.Table{"n": n}}))
	}
	await(t, s, "one of two has come", func() bool { q, _ := s.In("orders").Queue("q"); return q.Ready == 1 })
	ok(t, s.In("orders").Publish("dead", "a", "b"))
	if q, _ := s.In("orders").Queue("dead"); q.Ready != 1 {
		t.Errorf("of two messages %d are left, and its policy permits one", q.Ready)
	}
	s.SetPassword("ada", "another")
	if _, err := dial("ada", "secret", "orders"); err == nil {
		t.Error("the old password still does")
	}
}

// A queue whose lease ends while the server is still starting is there until its bindings are.
func TestDefinitionsWithShortLeases(t *testing.T) {
	const queue, binding = `{"name":"q%d","arguments":{"x-expires":1}}`, `{"source":"amq.fanout","destination":"q%d"}`
	var queues, bindings []string
	for i := range 2000 {
		queues, bindings = append(queues, fmt.Sprintf(queue, i)), append(bindings, fmt.Sprintf(binding, i))
	}
	s := NewServer(t, Config{InMemory: true, Definitions: fmt.Appendf(nil, `{"queues":[%s],"bindings":[%s]}`,
		strings.Join(queues, ","), strings.Join(bindings, ","))})
	await(t, s, "all leases have ended", func() bool { return len(s.Queues()) == 0 })
}

func TestDefinitionsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                      "unexpected EOF",
		`{} {}`:                  "there is more behind the end",
		`[]`:                     "cannot unmarshal",
		`{"users":[{"name":1}]}`: "cannot unmarshal",
		`{"queues":[{"name":"q","vhost":"nowhere"}]}`:                    `queue "q": there is no virtual host "nowhere"`,
		`{"queues":[{"name":"q","arguments":{"x-max-length":-1}}]}`:      `queue "q": 406`,
		`{"queues":[{"name":"q","arguments":{"x-nobody-knows":1}}]}`:     `queue "q": 540`,
		`{"exchanges":[{"name":"x","type":"nonsense"}]}`:                 `exchange "x": 406`,
		`{"bindings":[{"source":"amq.direct","destination":"q"}]}`:       `binding from "amq.direct" to "q": 404`,
		`{"permissions":[{"user":"guest","vhost":"/","configure":"("}]}`: "permissions of guest",
		`{"queues":[{"name":"` + strings.Repeat("q", 256) + `"}]}`:       "has up to 255 bytes",
	} {
		s, err := Start(Config{InMemory: true, Definitions: []byte(text)})
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
	}
}

// Whatever the definitions are, they are loaded or refused, and what is loaded can be asked about.
func FuzzDefinitions(f *testing.F) {
	f.Add([]byte(exported))
	f.Add([]byte(`{"queues":[{"name":"q","arguments":{"x-expires":1,"a":[1.5,{"b":null}]}}],"bindings":[{"source":"amq.headers","destination":"q"}]}`))
	f.Add([]byte(`{"users":[{"name":"","password_hash":"AAAA"}],"vhosts":[{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Start(Config{InMemory: true, Definitions: text, IgnoreUnknown: true, Heartbeat: time.Minute})
		if err != nil {
			return
		}
		defer s.Close()
		for _, q := range s.Queues() {
			if _, known := s.In(q.VirtualHost).Queue(q.Name); !known {
				t.Errorf("%+v is not there", q)
			}
		}
	})
}
