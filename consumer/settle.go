package consumer

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/broker"
)

// settle tells the broker any outcome but a success.
func (d *dispatcher) settle(c *channel, tag uint64, o outcome) {
	counts := d.env.counts
	switch o.verdict {
	case rejected:
		count(&counts.rejected, c.acks.Reject(tag, false))
	case passedOver:
		count(&counts.rejected, c.acks.Ack(tag))
	case delayed:
		d.move(c, tag, o, &counts.delayed)
	case parked:
		d.move(c, tag, o, &counts.parked)
	default:
		d.requeue(c, tag, o)
	}
}

// count counts what was sent.
func count(n *atomic.Uint64, err error) {
	if err == nil {
		n.Add(1)
	}
}

// move publishes the message into another queue and then acknowledges it. What cannot be moved goes back.
func (d *dispatcher) move(c *channel, tag uint64, o outcome, moved *atomic.Uint64) {
	if d.republish(c, o) {
		count(moved, c.acks.Ack(tag))
		return
	}
	d.requeue(c, tag, o)
}

// requeue gives a message back, after a pause. A quorum queue counts a reject towards its delivery limit,
// and from RabbitMQ 4.3 on no nack: that is for what was not the message's fault.
func (d *dispatcher) requeue(c *channel, tag uint64, o outcome) {
	d.linger(c, d.spec.RequeuePause)
	d.awaitSilence(c)
	requeued := &d.env.counts.requeued
	switch {
	case d.kind.isStream(): // which keeps it, and is read from there the next time
	case o.verdict == putBack && d.env.work.Err() == nil:
		count(requeued, c.acks.Reject(tag, true))
	default:
		count(requeued, c.acks.Nack(tag))
	}
}

// republishTimeout is how long the broker may take to confirm a message that is published again.
const republishTimeout = 30 * time.Second

// republish publishes the message again, and keeps trying: to put it back each time would use up a quorum
// queue's delivery limit. It returns false if the channel is gone, or the consumer stops or pauses.
func (d *dispatcher) republish(c *channel, o outcome) bool {
	for !c.lost() { // else it comes again, and would be there twice
		err := d.tryRepublish(o)
		if err == nil {
			return true
		}
		never, then := errors.Is(err, errDelay) || errors.Is(err, broker.ErrHeaderTooLarge), "it is tried again"
		if never {
			then = "it goes back to the queue"
		}
		if !c.lost() {
			d.about(d.env.logger.Error(), o.failure.delivery).Err(err).
				Msgf("the message could not be %s; %s in %v", o.verdict, then, d.spec.RequeuePause)
		}
		if never || !d.linger(c, d.spec.RequeuePause) {
			break
		}
	}
	return false
}

func (d *dispatcher) tryRepublish(o outcome) error {
	ctx, cancel := context.WithTimeout(d.env.work, republishTimeout)
	defer cancel()
	if o.verdict == delayed {
		return d.env.outbox.delay(ctx, o.failure.delivery, o.pause, o.failure)
	}
	return d.env.outbox.park(ctx, o.failure.delivery, d.spec.Retry.ParkingQueue, o.failure)
}
