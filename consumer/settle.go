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
	case heldBack:
		d.holdBack(c, tag, o)
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
	published, never := d.republish(c, o)
	switch {
	case published:
		count(moved, c.acks.Ack(tag))
	case never:
		d.holdBack(c, tag, o)
	default:
		d.requeue(c, tag, o)
	}
}

// holdBack keeps a message that can go nowhere, and would come again at once. It takes no worker meanwhile, but a
// place in the prefetch. Then it is put back, since the broker's consumer_timeout would end the channel of all.
func (d *dispatcher) holdBack(c *channel, tag uint64, o outcome) {
	d.workers.Go(func() {
		d.linger(c, d.env.holdFor)
		d.requeue(c, tag, o)
	})
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

// refusals is after how many of them a message is taken to be the one that the broker refuses: it ends the channel,
// and with it what others were publishing.
const refusals = 3

// republish publishes the message again, and keeps trying: to put it back each time would use up a quorum
// queue's delivery limit. It gives up if the channel is gone, the consumer stops or pauses, or it can never be.
func (d *dispatcher) republish(c *channel, o outcome) (published, never bool) {
	for refused := 0; !c.lost(); { // else it comes again, and would be there twice
		err := d.tryRepublish(o)
		if err == nil {
			return true, false
		}
		if isRefusal(err) {
			refused++
		}
		never = errors.Is(err, broker.ErrHeaderTooLarge) || refused == refusals
		then, pause := "it is tried again", d.spec.RequeuePause
		switch {
		case never:
			then, pause = "it is held back, unacknowledged, and put back", d.env.holdFor
		case errors.Is(err, errDelay):
			then = "it goes back to the queue"
		}
		if !c.lost() {
			d.about(d.env.logger.Error(), o.failure.delivery).Err(err).
				Msgf("the message could not be %s; %s in %v", o.verdict, then, pause)
		}
		if never || errors.Is(err, errDelay) || !d.linger(c, d.spec.RequeuePause) {
			break
		}
	}
	return false, never
}

// isRefusal tells whether the broker has ended the channel over a message: it is larger than max_message_size, for one.
func isRefusal(err error) bool {
	var e *broker.Error
	return errors.As(err, &e) && e.Op == "publish" && e.Class == broker.Precondition
}

func (d *dispatcher) tryRepublish(o outcome) error {
	ctx, cancel := context.WithTimeout(d.env.work, republishTimeout)
	defer cancel()
	if o.verdict == delayed {
		return d.env.outbox.delay(ctx, o.failure.delivery, o.pause, o.failure)
	}
	return d.env.outbox.park(ctx, o.failure.delivery, d.spec.Retry.ParkingQueue, o.failure)
}
