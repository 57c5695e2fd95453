package consumer

import "sync/atomic"

// Stats count deliveries: those of one queue ([Handle.Stats]), or of all ([Consumer.Stats]).
type Stats struct {
	// Acknowledged: the handler returned nil and the acknowledgement was sent. Those Deduplicated count, too.
	Acknowledged uint64
	// Failed: calls of a handler that ended with an error, other than an outcome, or a panic; and messages that
	// could not be read.
	Failed uint64
	// Requeued: put back into the queue after a handler had begun with it, by its wish, because it failed,
	// or because the consumer stopped or paused before it could be tried again.
	Requeued uint64
	// Rejected: given to the dead-letter exchange, or dropped by the broker if the queue has none; on a
	// stream, passed over.
	Rejected uint64
	// Delayed: published into a delay queue.
	Delayed uint64
	// Parked: published into the parking queue.
	Parked uint64
	// Deduplicated: redelivered after it had been handled, and acknowledged without calling the handler.
	Deduplicated uint64
	// ReturnedUnstarted: put back into the queue before a handler had begun with it, because the subscription
	// paused or the consumer stopped.
	ReturnedUnstarted uint64
	// Stale: the outcome could not be sent, because the delivery's channel was gone. The broker
	// delivers the message again.
	Stale uint64
}

func (s *Stats) add(other Stats) {
	s.Acknowledged += other.Acknowledged
	s.Failed += other.Failed
	s.Requeued += other.Requeued
	s.Rejected += other.Rejected
	s.Delayed += other.Delayed
	s.Parked += other.Parked
	s.Deduplicated += other.Deduplicated
	s.ReturnedUnstarted += other.ReturnedUnstarted
	s.Stale += other.Stale
}

// counts are the Stats of one subscription.
type counts struct {
	acknowledged, failed, requeued, rejected, delayed, parked, deduplicated, returnedUnstarted, stale atomic.Uint64
}

func (c *counts) stats() Stats {
	return Stats{
		Acknowledged:      c.acknowledged.Load(),
		Failed:            c.failed.Load(),
		Requeued:          c.requeued.Load(),
		Rejected:          c.rejected.Load(),
		Delayed:           c.delayed.Load(),
		Parked:            c.parked.Load(),
		Deduplicated:      c.deduplicated.Load(),
		ReturnedUnstarted: c.returnedUnstarted.Load(),
		Stale:             c.stale.Load(),
	}
}

func sumOf(subscriptions []counts) (sum Stats) {
	for i := range subscriptions {
		sum.add(subscriptions[i].stats())
	}
	return sum
}
