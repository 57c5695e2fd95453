package prom

import "github.com/prometheus/client_golang/prometheus"

// all are the metrics that there can be, and said is what is said of each.
var (
	all  []*prometheus.Desc
	said []struct{ name, help string }
)

func metric(name, help string, labels ...string) *prometheus.Desc {
	name = "everhop_" + name
	d := prometheus.NewDesc(name, help, labels, nil)
	all, said = append(all, d), append(said, struct{ name, help string }{name, help})
	return d
}

var buildInfo = metric("build_info", "The version of Everhop and of Go; always 1.", "version", "go_version")

// Of a consumer.
var (
	consumerState = metric("consumer_state",
		"1 for the state that the consumer is in, 0 for the others.", "consumer", "state")
	consumerSince = metric("consumer_state_entered_timestamp_seconds",
		"When the consumer came to its state. Idle checks do not end Consuming.", "consumer")
	consumerReady = metric("consumer_ready",
		"Whether everything is consumed: 1 or 0.", "consumer")
	consumerAlive = metric("consumer_alive",
		"Whether the consumer does what it can, be it through an outage: 1 or 0. If not, it should be restarted.", "consumer")
	consumerReason = metric("consumer_reason",
		"1 for each reason for which the consumer is not ready, or not alive; 0 for the others.", "consumer", "reason")
	consumerTransitions = metric("consumer_transitions_total",
		"Transitions of the consumer's lifecycle.", "consumer", "from", "trigger", "to")
	consumerNotes = metric("consumer_notes_total",
		"What happened that changed no state, by the name of the event.", "consumer", "name")
	consumerOutages = metric("consumer_outages_total",
		"Outages that have begun: it did not consume, because of a failure or since the process stood still.", "consumer")
	consumerRecoveries = metric("consumer_recoveries_total",
		"Outages that ended with consuming, by what began them: the class of the error, or a trigger.", "consumer", "class")
	consumerOutage = metric("consumer_outage_duration_seconds",
		"How long outages lasted that ended with consuming.", "consumer")
)

// Of a consumer's connections.
var (
	connectionUp = metric("connection_up",
		"Whether the consumer's shared connection is open: 1 or 0.", "consumer")
	connections = metric("connections",
		"Connections that the consumer has or is opening. Role is home (the shared one) or apart.", "consumer", "role")
	connectionsOpen = metric("connections_open",
		"Open connections, by the node that they go to.", "consumer", "role", "endpoint")
	connectionsFailing = metric("connections_failing",
		"Connections that are not well again since an error of this class.", "consumer", "role", "class")
	connectionsBlocked = metric("connections_blocked",
		"Connections from which the broker does not read, because of an alarm.", "consumer")
	connectionBlocked = metric("connection_blocked_seconds",
		"For how long the broker has not read, of the connection for which that is longest; 0 if it reads from all.", "consumer")
	connectionSilence = metric("connection_silence_seconds",
		"For how long nothing has come in over the shared connection; 0 if it is not open.", "consumer")
	connectionAttempts = metric("connection_attempts",
		"Attempts to revive since it was lost, of the connection that has most of them.", "consumer", "role")
)

// Of a queue's subscriptions: together, if there are several of one queue.
var (
	subscriptions = metric("subscriptions",
		"Subscriptions by what they do; that which none does is left out, but for consuming.", "consumer", "queue", "doing")
	subscriptionsApart = metric("subscriptions_apart",
		"Subscriptions that are on a connection of their own; left out if there are none.", "consumer", "queue")
	inFlight = metric("deliveries_in_flight",
		"Deliveries that are with a handler.", "consumer", "queue")
	waiting = metric("deliveries_waiting",
		"Deliveries that wait in memory for a handler.", "consumer", "queue")
	aside = metric("deliveries_aside",
		"Unacknowledged deliveries that wait to be handled again, or to be published elsewhere.", "consumer", "queue")
	oldestInFlight = metric("oldest_in_flight_seconds",
		"For how long the handler has been at work that has been so the longest; 0 if none is.", "consumer", "queue")
	lastDelivery = metric("last_delivery_timestamp_seconds",
		"When a handler was last given a delivery.", "consumer", "queue")
	lastSettled = metric("last_settled_timestamp_seconds",
		"When a delivery was last done with.", "consumer", "queue")
	prefetch = metric("prefetch",
		"How many unacknowledged deliveries are asked for now.", "consumer", "queue")
	concurrency = metric("concurrency",
		"How many deliveries are handled at once.", "consumer", "queue")
	deliveries = metric("deliveries_total",
		"Deliveries by what became of them; each counts once.", "consumer", "queue", "outcome")
	failures = metric("handler_failures_total",
		"Calls of a handler that ended with an error or a panic, and messages that could not be read.", "consumer", "queue")
	kept = metric("deliveries_kept_total",
		"How often a delivery was kept in memory, to be handled again, instead of being put back.", "consumer", "queue")
	deduplicated = metric("deliveries_deduplicated_total",
		"Deliveries that were acknowledged without calling the handler; they count as acknowledged, too.", "consumer", "queue")
	handling = metric("handler_duration_seconds",
		"How long handlers took.", "consumer", "queue")
)

// Of a publisher.
var (
	publisherState = metric("publisher_state",
		"1 for the state that the publisher is in, 0 for the others.", "publisher", "state")
	publisherSince = metric("publisher_state_entered_timestamp_seconds",
		"When the publisher came to its state.", "publisher")
	publisherUp = metric("publisher_connection_up",
		"Whether the publisher's connection is open: 1 or 0.", "publisher")
	publisherEndpoint = metric("publisher_connections_open",
		"Open connections, by the node that they go to.", "publisher", "endpoint")
	publisherFailing = metric("publisher_connections_failing",
		"1 while there is no connection since an error of this class.", "publisher", "class")
	publisherBlocked = metric("publisher_blocked_seconds",
		"For how long the broker has not read, because of an alarm; 0 if it reads.", "publisher")
	publisherSilence = metric("publisher_silence_seconds",
		"For how long nothing has come in; 0 if there is no connection.", "publisher")
	publisherAttempts = metric("publisher_attempts",
		"Attempts to connect since the connection was lost.", "publisher")
	publisherTransitions = metric("publisher_transitions_total",
		"Transitions of the publisher's lifecycle.", "publisher", "from", "trigger", "to")
	published = metric("published_total",
		"Messages by what became of them; each counts once.", "publisher", "outcome")
	publishResent = metric("publish_resent_total",
		"Messages that were sent once more, after a connection or a channel was lost.", "publisher")
	publishWaiting = metric("publish_waiting",
		"Messages that wait for room in the window.", "publisher")
	publishUnconfirmed = metric("publish_unconfirmed",
		"Messages that the broker has not confirmed yet.", "publisher")
	oldestUnconfirmed = metric("publish_oldest_unconfirmed_seconds",
		"How long ago the oldest message was given to the publisher that awaits its confirm, or room in the window; 0 if none does.",
		"publisher")
)
