package consumer

import (
	"errors"
	"time"

	"github.com/everhop/everhop/broker"
)

// unreadable is the outcome of a message that could not be read: no handler is called, now or later, and it is
// poison at once.
func (d *dispatcher) unreadable(came *Delivery) outcome {
	now := time.Now()
	o := outcome{
		verdict: d.spec.Retry.Poison.verdict(), failed: true,
		failure: failure{delivery: came, reason: came.Unreadable.Error(), attempts: Attempts(came), first: now, last: now},
	}
	if o.verdict == parked && errors.Is(came.Unreadable, broker.ErrTooLarge) {
		o.verdict = putBack // the rest of it is in the queue and nowhere else
	}
	if d.stream {
		o = o.onStream(0)
		if o.verdict == again { // it would be the same again, and the stream keeps it
			o.verdict = passedOver
		}
	}
	return o
}
