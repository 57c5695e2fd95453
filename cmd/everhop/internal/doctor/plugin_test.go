package doctor

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

// A real management plugin tells of policies, limits, nodes and the time.
func TestManagementOfRabbitMQ(t *testing.T) {
	rabbittest.Shared(t) // or it is skipped
	rabbittest.NeedsControl(t)
	node, err := rabbittest.Start(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, node.Stop()) })
	_, port, _ := net.SplitHostPort(rabbittest.DeadPort(t))
	start := fmt.Sprintf("application:load(rabbitmq_management), application:set_env(rabbitmq_management, tcp_config, [{port, %s}, {ip, \"127.0.0.1\"}]), "+
		"{ok, _} = application:ensure_all_started(rabbitmq_management).", port)
	if _, err := node.Eval(t.Context(), start); err != nil {
		t.Skip("the management plugin is not available:", err)
	}
	call := func(function string, texts ...string) {
		t.Helper()
		must(t, node.Call(t.Context(), function, append(texts, "test")...))
	}
	call("rabbit_auth_backend_internal:add_user", "tight", "p")
	call("rabbit_auth_backend_internal:set_permissions", "tight", "/", ".*", ".*", ".*")
	call("rabbit_auth_backend_internal:set_user_limits", "tight", `{"max-channels": 30}`)
	s := open(t, node.URL())
	must(t, s.DeclareQueue(t.Context(), "orders", durable("x-queue-type", "quorum")))
	s.Abort()
	examine := func() map[string]Finding {
		t.Helper()
		endpoints, err := broker.ParseEndpoints("amqp://tight:p@" + node.Addr())
		must(t, err)
		report := Run(t.Context(), Config{Endpoints: endpoints, Queue: "orders", Management: "http://guest:guest@127.0.0.1:" + port, Step: time.Minute})
		found := map[string]Finding{}
		for _, f := range report.Findings {
			found[f.Check] = f
		}
		return found
	}
	is := func(f Finding, status Status, text string) {
		t.Helper()
		if f.Status != status || !strings.Contains(f.Text, text) {
			t.Errorf("%+v; want %s, %s", f, status, text)
		}
	}
	found := examine()
	is(found["management"], OK, "RabbitMQ "+node.Version())
	is(found["cluster"], OK, "up, no alarms, no partitions")
	is(found["user_limits"], OK, "max-channels 30")
	is(found["vhost_limits"], OK, "none")
	is(found["leader"], OK, "rabbittest-")
	is(found["policy"], OK, "none applies")
	is(found["clock"], OK, "as the broker's")

	setPolicy := func(definition string) {
		t.Helper()
		call("rabbit_policy:parse_set", "/", "keeps", "^orders$", definition, "0", "all")
	}
	setPolicy(`{"delivery-limit": 4}`)
	rabbittest.Eventually(t, time.Minute, "the policy applies", func() bool { return strings.Contains(examine()["policy"].Text, "keeps") })
	is(examine()["delivery_limit"], Warning, "more than 4 times (by its policy)")
	setPolicy(`{"delivery-limit": 4, "dead-letter-exchange": "dead"}`)
	rabbittest.Eventually(t, time.Minute, "the policy has an exchange", func() bool {
		_, told := examine()["delivery_limit"]
		return !told
	})
}
