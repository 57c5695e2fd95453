// Package prom shows consumers and publishers to Prometheus: the metrics, a dashboard for Grafana (dashboard.json) and alert
// rules (alerts.yaml). Importing package consumer costs none of what this one needs.
//
//	Status of consumers, publishers --------------+
//	                                              +--> Collector --> registry --> /metrics
//	events --> Observe --> transitions, outages --+
//
// Nothing is counted here that Status counts: a scrape shows what it says at that moment. Only what happens between two
// scrapes comes from events: transitions, outages and notes.
//
// # Use
//
//	metrics := prom.New(prom.Config{})
//	config.Observers = append(config.Observers, metrics.Observe)
//	c, err := consumer.New(config)
//	...
//	err = metrics.Add(c)
//	prometheus.MustRegister(metrics)
//
// # Names
//
// All names begin with everhop_; testdata/metrics.txt is a whole scrape. Labels are consumer or publisher (the Name in
// their configuration), queue, endpoint, class, outcome, state and a few more, each with few values. Queues beyond
// [Config].Queues are summed up as (other), those that the broker has named as (temporary), and several subscriptions of
// one queue are one. The outcomes of everhop_deliveries_total exclude each other. Without outcome there are
// everhop_handler_failures_total, which counts calls, everhop_deliveries_kept_total and
// everhop_deliveries_deduplicated_total.
//
// The durations are classic histograms. Native ones have bounds that are powers of a root of 2, and those that
// consumer.HandlingTime counts by are round numbers, so they cannot be made of them without moving calls into buckets
// they are not in. Prometheus makes native histograms of the classic ones as they are, with
// convert_classic_histograms_to_nhcb: true in the scrape's configuration (from 3.0 on).
//
// # What the caller must do
//
//  1. Give each consumer a Name of its own within the process, and each publisher.
//  2. Serve the registry, on an address that only Prometheus reaches: names of queues and nodes are shown. Neither
//     credentials nor anything of a message are.
package prom
