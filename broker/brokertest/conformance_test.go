package brokertest_test

import (
	"crypto/rand"
	"fmt"
	"path"
	"slices"
	"testing"
	"time"

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
		{"rabbitmq", func(t *testing.T) server { return rabbit{rabbittest.Shared(t)} }},
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

// newClient names the scenario's own queue or exchange after it, and no run's like another's.
func newClient(t *testing.T, server server) *client {
	return &client{
		T: t, server: server, deadline: time.Now().Add(patience),
		name: fmt.Sprintf("%.30s-%s", path.Base(t.Name()), rand.Text()[:6]),
	}
}
