package consumer

import (
	"errors"
	"time"

	"github.com/everhop/everhop/broker"
)

// unreadable is the outcome of a message that could not be read: no handler is called for it, now or later.
func (j *judge) unreadable(came *Delivery) outcome {
	now := time.Now()
	o := j.decide(answer{meaning: failsForGood}, failure{
		delivery: came, reason: came.Unreadable.Error(), cause: NotePermanent, attempts: Attempts(came), first: now, last: now,
	})
	if o.verdict == putBack || o.verdict == parked && errors.Is(came.Unreadable, broker.ErrTooLarge) {
		o.verdict = heldBack // the body is in the queue and nowhere else
	}
	if j.kind.isSaid() && (o.verdict == heldBack || o.verdict == again) {
		o.verdict = passedOver // the stream keeps it
	}
	return o
}
