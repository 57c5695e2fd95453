package consumer

import "sync/atomic"

// Stats count deliveries over all subscriptions.
type Stats struct {
	// Handled: the handler returned nil and the acknowledgement was sent. Those Suppressed count too.
	Handled uint64
	// Failed: calls of a handler that ended with an error, other than an outcome, or a panic.
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
	// Suppressed: redelivered after it had been handled, and acknowledged without calling the handler.
	Suppressed uint64
	// GivenBack: put back into the queue before a handler had begun with it, because the subscription
	// paused or the consumer stopped.
	GivenBack uint64
	// Stale: the outcome could not be sent, because the delivery's channel was gone. The broker
	// delivers the message again.
	Stale uint64
}

type counts struct {
	handled, failed, requeued, rejected, delayed, parked, suppressed, givenBack, stale atomic.Uint64
}

func (c *counts) stats() Stats {
	return Stats{
		Handled:    c.handled.Load(),
		Failed:     c.failed.Load(),
		Requeued:   c.requeued.Load(),
		Rejected:   c.rejected.Load(),
		Delayed:    c.delayed.Load(),
		Parked:     c.parked.Load(),
		Suppressed: c.suppressed.Load(),
		GivenBack:  c.givenBack.Load(),
		Stale:      c.stale.Load(),
	}
}
