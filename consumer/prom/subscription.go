package prom

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/everhop/everhop/consumer"
)

// sum is what the subscriptions of a row come to together.
type sum struct {
	doing                      [len(doings)]int
	apart                      int
	inFlight, waiting, aside   int
	prefetch, concurrency      int
	oldest, delivered, settled time.Time
	stats                      consumer.Stats
	handling                   histogram
}

func (s *sum) add(sub consumer.SubscriptionStatus) {
	if i := slices.Index(doings[:], sub.Doing); i >= 0 {
		s.doing[i]++
	}
	if sub.Apart != "" {
		s.apart++
	}
	s.inFlight += sub.InFlight
	s.waiting += sub.Waiting
	s.aside += sub.Aside
	s.prefetch += sub.Prefetch
	s.concurrency += sub.Concurrency
	if at := sub.OldestInFlight; !at.IsZero() && (s.oldest.IsZero() || at.Before(s.oldest)) {
		s.oldest = at
	}
	s.delivered = later(s.delivered, sub.LastDelivery)
	s.settled = later(s.settled, sub.LastSettled)
	addStats(&s.stats, &sub.Stats)
	s.handling.add(sub.Handling)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func addStats(to, s *consumer.Stats) {
	to.Acknowledged += s.Acknowledged
	to.Failed += s.Failed
	to.Kept += s.Kept
	to.Requeued += s.Requeued
	to.Saved += s.Saved
	to.Rejected += s.Rejected
	to.Delayed += s.Delayed
	to.Parked += s.Parked
	to.Deduplicated += s.Deduplicated
	to.ReturnedUnstarted += s.ReturnedUnstarted
	to.Stale += s.Stale
}

// collect shows all rows, one metric after the other: in the order in which a registry wants to have them it sorts faster.
func (r *rows) collect(to *sink, now time.Time) {
	for i, doing := range doings {
		for _, row := range r.all {
			if n := row.sum.doing[i]; n > 0 || doing == consumer.DoingConsume {
				to.gauge(subscriptions, float64(n), row.doing[i])
			}
		}
	}
	for i, o := range outcomes {
		for _, row := range r.all {
			to.counter(deliveries, o.of(&row.sum.stats), row.outcomes[i])
		}
	}
	for _, m := range counters {
		for _, row := range r.all {
			to.counter(m.desc, m.of(&row.sum.stats), row.plain)
		}
	}
	for _, m := range gauges {
		for _, row := range r.all {
			to.gauge(m.desc, float64(m.of(&row.sum)), row.plain)
		}
	}
	for _, row := range r.all {
		if n := row.sum.apart; n > 0 {
			to.gauge(subscriptionsApart, float64(n), row.plain)
		}
		to.age(oldestInFlight, row.sum.oldest, now, row.plain)
		to.moment(lastDelivery, row.sum.delivered, row.plain)
		to.moment(lastSettled, row.sum.settled, row.plain)
		to.put(&histogramMetric{handling, row.plain, row.sum.handling})
	}
}

var counters = [...]struct {
	desc *prometheus.Desc
	of   func(*consumer.Stats) uint64
}{
	{failures, func(s *consumer.Stats) uint64 { return s.Failed }},
	{kept, func(s *consumer.Stats) uint64 { return s.Kept }},
	{deduplicated, func(s *consumer.Stats) uint64 { return s.Deduplicated }},
}

var gauges = [...]struct {
	desc *prometheus.Desc
	of   func(*sum) int
}{
	{inFlight, func(s *sum) int { return s.inFlight }},
	{waiting, func(s *sum) int { return s.waiting }},
	{aside, func(s *sum) int { return s.aside }},
	{prefetch, func(s *sum) int { return s.prefetch }},
	{concurrency, func(s *sum) int { return s.concurrency }},
}
