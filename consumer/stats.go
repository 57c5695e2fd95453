package consumer

import "sync/atomic"

// Stats count deliveries: those of one queue ([Handle.Stats]), or of all ([Consumer.Stats]).
type Stats struct {
	// Acknowledged: the handler returned nil and the acknowledgement was sent. Those Deduplicated count, too.
	Acknowledged uint64 `json:"acknowledged"`
	// Failed: calls of a handler that ended with an error, other than an outcome, or a panic; and messages that
	// could not be read.
	Failed uint64 `json:"failed"`
	// Kept: to be put back into the queue, by its handler's wish or because it failed, and kept in memory instead,
	// to be handled again after RequeuePause.
	Kept uint64 `json:"kept"`
	// Requeued: put back into the queue after a handler had begun with it, because the consumer stopped before
	// it was handled to its end, or because the broker would not wait any longer for its acknowledgement.
	Requeued uint64 `json:"requeued"`
	// Saved: published again to the end of the queue, because it had come back nearly as often as a quorum queue
	// allows; see Subscription.DeliveryLimit.
	Saved uint64 `json:"saved"`
	// Rejected: given to the dead-letter exchange, or dropped by the broker if the queue has none; on a
	// stream, passed over.
	Rejected uint64 `json:"rejected"`
	// Delayed: published into a delay queue, or to the end of their own since a handler took longer than
	// ConsumerTimeout.
	Delayed uint64 `json:"delayed"`
	// Parked: published into the parking queue.
	Parked uint64 `json:"parked"`
	// Deduplicated: redelivered after it had been handled, and acknowledged without calling the handler.
	Deduplicated uint64 `json:"deduplicated"`
	// ReturnedUnstarted: put back into the queue before a handler had begun with it, because the consumer stopped, or
	// was paused for so long that the broker would not wait any longer.
	ReturnedUnstarted uint64 `json:"returned_unstarted"`
	// Stale: the outcome could not be sent, because the delivery's channel was gone. The broker
	// delivers the message again.
	Stale uint64 `json:"stale"`
}

// Add adds the counts of others.
func (s *Stats) Add(other Stats) {
	s.Acknowledged += other.Acknowledged
	s.Failed += other.Failed
	s.Kept += other.Kept
	s.Requeued += other.Requeued
	s.Saved += other.Saved
	s.Rejected += other.Rejected
	s.Delayed += other.Delayed
	s.Parked += other.Parked
	s.Deduplicated += other.Deduplicated
	s.ReturnedUnstarted += other.ReturnedUnstarted
	s.Stale += other.Stale
}

// counts are the Stats of one subscription.
type counts struct {
	acknowledged, failed, kept, requeued, saved, rejected, delayed, parked, deduplicated, returnedUnstarted, stale atomic.Uint64
}

func (c *counts) stats() Stats {
	return Stats{
		Acknowledged:      c.acknowledged.Load(),
		Failed:            c.failed.Load(),
		Kept:              c.kept.Load(),
		Requeued:          c.requeued.Load(),
		Saved:             c.saved.Load(),
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
		sum.Add(subscriptions[i].stats())
	}
	return sum
}

// minus are the deliveries that were counted since.
func (s Stats) minus(before Stats) Stats {
	return Stats{
		Acknowledged:      s.Acknowledged - before.Acknowledged,
		Failed:            s.Failed - before.Failed,
		Kept:              s.Kept - before.Kept,
		Requeued:          s.Requeued - before.Requeued,
		Saved:             s.Saved - before.Saved,
		Rejected:          s.Rejected - before.Rejected,
		Delayed:           s.Delayed - before.Delayed,
		Parked:            s.Parked - before.Parked,
		Deduplicated:      s.Deduplicated - before.Deduplicated,
		ReturnedUnstarted: s.ReturnedUnstarted - before.ReturnedUnstarted,
		Stale:             s.Stale - before.Stale,
	}
}
