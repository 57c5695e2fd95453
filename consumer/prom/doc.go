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
// A Collector is a [prometheus.Gatherer], too: without a registry between, a scrape of very many queues takes about half of
// the time.
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
// everhop_handler_duration_seconds is a classic histogram, and in a scrape that asks for protobuf a native one, too
// (scrape_native_histograms in the scrape's configuration; with always_scrape_classic_histograms Prometheus keeps
// both). Its buckets are 9 % wide (schema 3). They are filled from [consumer.HandlingTime].Fine, whose buckets are up
// to a quarter wide and end otherwise: a call is at most an eighth away from the bucket that counts it, and a quantile
// is wrong by 22 % at most. Up to a microsecond is the zero bucket, and what takes longer than 67 minutes is in the
// bucket behind those. everhop_consumer_outage_duration_seconds is classic only.
//
// # What the caller must do
//
//  1. Give each consumer a Name of its own within the process, and each publisher.
//  2. Serve the registry, on an address that only Prometheus reaches: names of queues and nodes are shown. Neither
//     credentials nor anything of a message are.
package prom
