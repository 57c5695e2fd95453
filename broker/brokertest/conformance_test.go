package brokertest_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
)

// scenario is one thing that clients see of a broker.
type scenario struct {
	name string
	run  func(*client)
}

// TestConformance runs the same scenarios against a Server and against RabbitMQ. What a Server does
// otherwise on purpose is listed as a difference.
func TestConformance(t *testing.T) {
	together := slices.Concat(
		connectionScenarios, frameScenarios, channelScenarios, routingScenarios, exchangeScenarios,
		queueScenarios, argumentScenarios, publishScenarios, confirmScenarios, consumeScenarios, prefetchScenarios,
		ackScenarios, singleActiveScenarios, expiryScenarios, deadLetterScenarios, lengthScenarios, quorumScenarios,
	)
	for _, target := range []struct {
		name  string
		start func(*testing.T) server
	}{
		{"rabbitmq", func(t *testing.T) server {
			node := rabbittest.Shared(t)
			needsDescribed(t, node.URL())
			return rabbit{node}
		}},
		{"brokertest", func(t *testing.T) server { return double{brokertest.NewServer(t)} }},
	} {
		t.Run(target.name, func(t *testing.T) {
			t.Parallel()
			server := target.start(t)
			for _, s := range operatorScenarios { // they disturb others, which begin after them
				t.Run(s.name, func(t *testing.T) {
					server.NeedsControl(t)
					s.run(newClient(t, server))
				})
			}
			for _, s := range together {
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					s.run(newClient(t, server))
				})
			}
		})
	}
}

// needsDescribed skips the test if the suite does not describe the RabbitMQ at the URL. CI has one that it
// does describe, or nobody would notice.
func needsDescribed(t *testing.T, url string) {
	t.Helper()
	conn, err := amqp.DialConfig(url, amqp.Config{Dial: amqp.DefaultDial(moment)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if version := fmt.Sprint(conn.Properties["version"]); !isDescribed(version) {
		undescribed := t.Skipf
		if os.Getenv("CI") != "" {
			undescribed = t.Fatalf
		}
		undescribed("the suite describes RabbitMQ %s.x, and this is %s", described, version)
	}
}

const described = "3.10"

func isDescribed(version string) bool { return strings.HasPrefix(version+".", described+".") }

func TestIsDescribed(t *testing.T) {
	for version, want := range map[string]bool{
		"3.10": true, "3.10.0": true, "3.10.25": true,
		"3.9.10": false, "3.1.0": false, "3.100.1": false, "3.11.0": false, "4.0.3": false, "13.10.1": false, "<nil>": false,
	} {
		if got := isDescribed(version); got != want {
			t.Errorf("%s: %t", version, got)
		}
	}
}

// newClient names the scenario's own queue or exchange after it, and no run's like another's.
func newClient(t *testing.T, server server) *client {
	return &client{
		T: t, server: server, deadline: time.Now().Add(patience),
		name: fmt.Sprintf("%.30s-%s", path.Base(t.Name()), rand.Text()[:6]),
	}
}
