package demo

import (
	"fmt"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// fault is what goes wrong.
type fault struct {
	name   string   // in the summary
	words  []string // what is said before
	strike func(*brokertest.Server)

	// What ends the fault, and what is said then: after an outage, if it has one, and otherwise only if the
	// demo ends before Everhop has overcome it. Nil if there is nothing to end.
	mend   func(*brokertest.Server) error
	back   string
	outage time.Duration
}

var connectionReset = fault{
	name:   "connection reset",
	words:  []string{"the connection is reset.", "Everhop reads the reset, and opens another connection."},
	strike: injecting(brokertest.Reset()),
}

var networkSilent = fault{
	name: "network silent",
	words: []string{
		"the network goes silent, nothing is closed.",
		fmt.Sprintf("Everhop probes after %v, and gives up after %v more. What is", broker.DefaultDrainTimeout, broker.DefaultProbeTimeout),
		fmt.Sprintf("in flight comes back when the broker misses heartbeats (%v).", Heartbeat),
	},
	strike: injecting(brokertest.Freeze(brokertest.Both)),
	mend: func(server *brokertest.Server) error {
		server.Inject(brokertest.Now(), brokertest.Thaw())
		return nil
	},
	back: "The network passes bytes again, for the ending.",
}

var brokerRestart = fault{
	name: "broker restart",
	words: []string{
		"the broker restarts, and is away for a while.",
		fmt.Sprintf("Everhop tries again, with random pauses of at most %v.", consumer.DefaultBackoffMax),
	},
	strike: (*brokertest.Server).StopApp,
	mend:   (*brokertest.Server).StartApp,
	back:   "The broker comes back.",
	outage: 2 * time.Second,
}

var consumerCancel = fault{
	name:   "consumer cancel",
	words:  []string{"the broker cancels the consumer.", "Everhop subscribes again, on the same connection."},
	strike: injecting(brokertest.CancelConsumers()),
}

// injecting plays a fault on the consumer's connection.
func injecting(what brokertest.Fault) func(*brokertest.Server) {
	return func(server *brokertest.Server) { server.Inject(brokertest.Now().Of(name), what) }
}
