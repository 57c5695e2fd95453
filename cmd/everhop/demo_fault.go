package main

import (
	"fmt"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

const (
	// demoName is the consumer's at the broker, so that faults hit its connection and not the publisher's.
	demoName = "everhop-demo"
	// demoHeartbeat is shorter than the default, so that the broker too notices within the demo that the
	// network is silent. It must not be shorter than this: amqp091-go gives up a connection that was silent
	// for one and a half of it, and that shall be later than the probe does.
	demoHeartbeat = 3 * time.Second
	// demoOutage is how long the broker is away when it restarts.
	demoOutage = 2 * time.Second
)

// fault is what goes wrong in a demo.
type fault struct {
	name   string   // in the summary
	words  []string // what is said before
	strike func(*brokertest.Server)

	// Of a fault that lasts: how long, what is said when it ends, and what ends it.
	outage time.Duration
	back   string
	mend   func(*brokertest.Server) error
}

// demoFaults are those that a user gets to see.
func demoFaults() []fault {
	return []fault{connectionReset(), networkSilent(), brokerRestart(demoOutage), consumerCancelled()}
}

func connectionReset() fault {
	return fault{
		name: "connection reset",
		words: []string{
			"the connection is reset, as by a firewall that has forgotten it.",
			"Everhop reads the reset, and opens another connection at once.",
		},
		strike: injecting(brokertest.Reset()),
	}
}

func networkSilent() fault {
	return fault{
		name: "network silent",
		words: []string{
			"the network goes silent: no byte passes, no connection is closed.",
			fmt.Sprintf("Everhop probes a broker that is silent for %s, and gives it up after %s more.",
				inSeconds(broker.DefaultDrainTimeout), inSeconds(broker.DefaultProbeTimeout)),
			fmt.Sprintf("Messages on their way come back once the broker misses heartbeats (%s here).", inSeconds(demoHeartbeat)),
		},
		strike: injecting(brokertest.Freeze(brokertest.Both)),
	}
}

func brokerRestart(outage time.Duration) fault {
	return fault{
		name: "broker restart",
		words: []string{
			fmt.Sprintf("the broker restarts, closes all connections and is away for %s.", inSeconds(outage)),
			fmt.Sprintf("Everhop tries again, with pauses that are random and grow to at most %s.", inSeconds(consumer.DefaultBackoffMax)),
		},
		strike: (*brokertest.Server).StopApp,
		outage: outage,
		back:   "The broker comes back.",
		mend:   (*brokertest.Server).StartApp,
	}
}

func consumerCancelled() fault {
	return fault{
		name: "consumer cancelled",
		words: []string{
			"the broker cancels the consumer, as when its queue moves.",
			"Everhop subscribes again on a new channel; the connection is left alone.",
		},
		strike: injecting(brokertest.CancelConsumers()),
	}
}

// injecting plays a fault on the consumer's connection.
func injecting(what brokertest.Fault) func(*brokertest.Server) {
	return func(server *brokertest.Server) { server.Inject(brokertest.Now.Of(demoName), what) }
}

// heal ends a silence that nobody waits for any more.
func heal(server *brokertest.Server) { server.Inject(brokertest.Now, brokertest.Thaw()) }
