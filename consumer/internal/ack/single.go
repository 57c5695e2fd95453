package ack

// Ack acknowledges one delivery at once, by a frame of its own and without Commit. If that cannot be sent,
// the delivery is stale.
func (a *Acknowledger) Ack(tag uint64) error { return a.outcome(tag, AckFrame, a.channel.Ack(tag)) }

// Nack gives one delivery back to its queue, without blame. Errors are those of Ack.
func (a *Acknowledger) Nack(tag uint64) error { return a.outcome(tag, NackFrame, a.channel.Nack(tag)) }

// Reject gives one delivery back to its queue, or to the dead-letter exchange. Errors are those of Ack.
func (a *Acknowledger) Reject(tag uint64, requeue bool) error {
	return a.outcome(tag, RejectFrame, a.channel.Reject(tag, requeue))
}

// Return gives a delivery back that nobody has begun with. If that cannot be sent, there is no outcome that
// got lost.
func (a *Acknowledger) Return(tag uint64) error {
	err := a.channel.Nack(tag)
	a.settled(tag)
	return err
}

func (a *Acknowledger) outcome(tag uint64, by Frame, err error) error {
	item := a.settled(tag)
	switch {
	case err != nil:
		a.options.Stale([]Item{item}, err)
	case a.options.Settled != nil:
		a.options.Settled([]Item{item}, by)
	}
	return err
}

// settled takes note of a frame only when it was sent, so that no acknowledgement has gone past it before.
func (a *Acknowledger) settled(tag uint64) Item {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tracker.settle(tag)
}
