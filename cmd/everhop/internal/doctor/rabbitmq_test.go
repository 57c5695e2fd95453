package doctor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

// What only a real broker has: permissions, virtual hosts to keep users out of, alarms, policies.
func TestFaultsOfRabbitMQ(t *testing.T) {
	node := rabbittest.Shared(t)
	rabbittest.NeedsControl(t)
	call := func(function string, texts ...string) {
		t.Helper()
		must(t, node.Call(t.Context(), function, append(texts, "test")...))
	}
	const user = "patient"
	call("rabbit_auth_backend_internal:add_user", user, "p")
	call("rabbit_vhost:add", "closed")
	defer call("rabbit_auth_backend_internal:delete_user", user)
	defer call("rabbit_vhost:delete", "closed")
	declare := func(name string, o broker.QueueOptions) {
		t.Helper()
		s := open(t, node.URL())
		must(t, s.DeclareQueue(t.Context(), name, o))
		s.Abort()
	}
	declare("orders", durable())
	declare("limited", durable("x-queue-type", "quorum", "x-delivery-limit", 3))
	declare("log", durable("x-queue-type", "stream"))
	urlOf := func(user, password, vhost string) string {
		return fmt.Sprintf("amqp://%s:%s@%s/%s", user, password, node.Addr(), vhost)
	}
	all := `^(orders.*|amq\..*)$`
	tests := []struct {
		name, queue            string
		configure, write, read string
		vhost                  string
		alarm                  bool
		check, text, advice    string
		status                 Status
		also                   []string
	}{
		{name: "healthy", queue: "orders", configure: all, write: all, read: all},
		{name: "read", queue: "orders", configure: all, write: all, read: `^(amq\..*|.*\.retry\..*)$`, check: "permissions", status: Broken, text: "to consume, patient may not read orders", advice: "set_permissions"},
		{name: "declare", queue: "orders", configure: `^(orders\..*|amq\..*)$`, write: all, read: all, check: "permissions", status: Warning, text: "to declare, patient may not configure orders", advice: "--declare only", also: []string{"queue"}},
		{name: "park", queue: "orders", configure: `^(orders|orders\.retry.*|amq\..*)$`, write: all, read: all, check: "permissions", status: Broken, text: "to park, patient may not configure orders.parked", advice: "set_permissions"},
		{name: "delay", queue: "orders", configure: `^(orders|orders\.parked|amq\..*)$`, write: all, read: all, check: "permissions", status: Warning, text: "to delay, patient may not configure orders.retry.1000", advice: "RetryAfter only"},
		{name: "write", queue: "orders", configure: all, write: "^$", read: all, check: "permissions", status: Broken, text: "may not write to the default exchange", advice: "amq.default"},
		{name: "closed virtual host", queue: "orders", vhost: "closed", check: "vhost", status: Broken, text: "refused for user 'patient'", advice: "set_permissions -p 'closed'"},
		{name: "alarm", queue: "orders", configure: all, write: all, read: all, alarm: true, check: "alarms", status: Broken, text: "low on memory", advice: "vm_memory_high_watermark"},
		{name: "limit without DLX", queue: "limited", configure: ".*", write: ".*", read: ".*", check: "delivery_limit", status: Warning, text: "more than 3 times", advice: "dead-letter-exchange"},
		{name: "stream", queue: "log", configure: ".*", write: ".*", read: ".*", check: "type", status: Warning, text: "it is a stream", advice: "--stream-offset"},
		{name: "no temporary queue", queue: "orders", configure: `^orders.*$`, write: all, read: all},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.vhost == "" {
				call("rabbit_auth_backend_internal:set_permissions", user, "/", tt.configure, tt.write, tt.read)
			}
			if tt.alarm {
				must(t, node.MemoryAlarm(t.Context(), true))
				defer func() { must(t, node.MemoryAlarm(t.Context(), false)) }()
			}
			endpoints, err := broker.ParseEndpoints(urlOf(user, "p", tt.vhost))
			must(t, err)
			before := queues(t, node)
			report := Run(t.Context(), Config{Endpoints: endpoints, Queue: tt.queue, Step: time.Minute})
			rabbittest.Eventually(t, time.Minute, "the queues are those of before", func() bool { return queues(t, node) == before })
			told := tt.check == ""
			for _, f := range report.Findings {
				switch {
				case f.Status == OK, f.Status == Skipped, slices.Contains(tt.also, f.Check):
				case f.Check == tt.check && f.Status == tt.status && strings.Contains(f.Text, tt.text) && strings.Contains(f.Advice, tt.advice):
					told = true
				default:
					t.Errorf("another complaint: %+v", f)
				}
			}
			if !told {
				t.Errorf("not told: %+v", report.Findings)
			}
		})
	}
}

// queues are all that there are, with what they hold.
func queues(t *testing.T, node *rabbittest.Node) string {
	t.Helper()
	text, err := node.Eval(t.Context(), `lists:sort(rabbit_amqqueue:info_all(<<"/">>, [name, arguments, messages, durable, auto_delete])).`)
	must(t, err)
	return text
}

func open(t *testing.T, url string) *broker.Session {
	t.Helper()
	endpoints, err := broker.ParseEndpoints(url)
	must(t, err)
	s, err := broker.Open(t.Context(), broker.Plan{Endpoints: endpoints}, 1, 0)
	must(t, err)
	return s
}
