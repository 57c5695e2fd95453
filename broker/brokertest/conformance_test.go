package brokertest_test

import (
	"crypto/rand"
	"fmt"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/rabbittest"
)

// scenario is one thing that clients see of a broker.
type scenario struct {
	name string
	run  func(*client)
}

// TestConformance runs the same scenarios against RabbitMQ, of the version that the tests run on, and against a
// Server of each version. What a Server does otherwise on purpose is listed as a difference, and what versions do
// otherwise has a feature.
func TestConformance(t *testing.T) {
	type target struct {
		name  string
		start func(*testing.T) server
	}
	targets := []target{{"rabbitmq", func(t *testing.T) server { return rabbit{rabbittest.Shared(t)} }}}
	for _, version := range versions.Tested {
		targets = append(targets, target{"brokertest " + version, func(t *testing.T) server {
			return double{brokertest.NewServer(t, brokertest.Version(version)), version}
		}})
	}
	for _, target := range targets {
		t.Run(target.name, func(t *testing.T) {
			t.Parallel()
			server := target.start(t)
			t.Logf("as RabbitMQ %s", server.Version())
			for _, s := range slices.Concat(operatorScenarios, permissionScenarios) { // they disturb others, which begin after them
				t.Run(s.name, func(t *testing.T) {
					server.NeedsControl(t)
					s.run(newClient(t, server))
				})
			}
			for _, s := range together() {
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					s.run(newClient(t, server))
				})
			}
		})
	}
}

// together are the scenarios that do not disturb each other.
func together() []scenario {
	return slices.Concat(
		connectionScenarios, frameScenarios, channelScenarios, routingScenarios, exchangeScenarios,
		queueScenarios, argumentScenarios, publishScenarios, confirmScenarios, consumeScenarios, prefetchScenarios, replyScenarios, copyScenarios, transactionScenarios,
		publisherScenarios, alternateScenarios, ackScenarios, singleActiveScenarios, expiryScenarios, deadLetterScenarios, lengthScenarios, quorumScenarios,
		knownScenarios, priorityScenarios, bytesScenarios, streamScenarios,
	)
}

// has tells whether the broker's version has a feature.
func (c *client) has(f versions.Feature) bool { return versions.Has(c.server.Version(), f) }

// newClient names the scenario's own queue or exchange after it, and no run's like another's.
func newClient(t *testing.T, server server) *client {
	return &client{
		T: t, server: server, deadline: time.Now().Add(patience),
		name: fmt.Sprintf("%.30s-%s", path.Base(t.Name()), rand.Text()[:6]),
	}
}
