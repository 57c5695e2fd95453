package consumer

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// settle tells the broker the outcome.
func (d *dispatcher) settle(j job, o outcome) {
	source := j.acks.source
	switch o.verdict {
	case handled:
		j.acks.finish(j.Delivery)
	case rejected:
		d.alone(j, func(tag uint64) error { return source.Reject(tag, false) }, &d.counts.rejected)
	case passedOver:
		d.alone(j, source.Ack, &d.counts.rejected)
	case delayed:
		d.move(j, o, &d.counts.delayed)
	case parked:
		d.move(j, o, &d.counts.parked)
	default:
		d.requeue(j, o)
	}
}

// move publishes the message into another queue and then acknowledges it. What cannot be moved goes back.
func (d *dispatcher) move(j job, o outcome, count *atomic.Uint64) {
	if d.republish(j, o) {
		d.alone(j, j.acks.source.Ack, count)
		return
	}
	d.requeue(j, o)
}

// requeue gives a message back, after a pause. A quorum queue counts a reject towards its delivery limit,
// and from RabbitMQ 4.3 on no nack: that is for what was not the message's fault.
func (d *dispatcher) requeue(j job, o outcome) {
	d.wait(j, d.spec.RequeuePause)
	source := j.acks.source
	switch {
	case d.stream: // which keeps it, and is read from there the next time
	case o.verdict == putBack && d.work.Err() == nil:
		d.alone(j, func(tag uint64) error { return source.Reject(tag, true) }, &d.counts.requeued)
	default:
		d.alone(j, source.Nack, &d.counts.requeued)
	}
}

// alone settles one delivery, and counts that.
func (d *dispatcher) alone(j job, settle func(deliveryTag uint64) error, count *atomic.Uint64) {
	if j.acks.alone(j.Delivery, settle) == nil {
		count.Add(1)
	}
}

// republishTimeout is how long the broker may take to confirm a message that is published again.
const republishTimeout = 30 * time.Second

// republish publishes the message again, and keeps trying: to put it back each time would use up a quorum
// queue's delivery limit. It returns false if the channel is gone, or the consumer stops or pauses.
func (d *dispatcher) republish(j job, o outcome) bool {
	for !j.acks.lost() { // else it comes again, and would be there twice
		err := d.tryRepublish(o)
		if err == nil {
			return true
		}
		never, then := errors.Is(err, errDelay), "it is tried again"
		if never {
			then = "it goes back to the queue"
		}
		if !j.acks.lost() {
			d.about(d.logger.Error(), j.Delivery).Err(err).
				Msgf("the message could not be %s; %s in %v", o.verdict, then, d.spec.RequeuePause)
		}
		if never || !d.wait(j, d.spec.RequeuePause) {
			break
		}
	}
	return false
}

func (d *dispatcher) tryRepublish(o outcome) error {
	ctx, cancel := context.WithTimeout(d.work, republishTimeout)
	defer cancel()
	if o.verdict == delayed {
		return d.outbox.delay(ctx, o.failure.delivery, o.pause, o.failure)
	}
	return d.outbox.park(ctx, o.failure.delivery, d.spec.Retry.ParkingQueue, o.failure)
}
