package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"
)

// handle takes one delivery from its handler to its outcome.
func (d *dispatcher) handle(j job) {
	if !d.wanted(j) {
		return
	}
	if d.recent == nil {
		d.carryOut(j, func(outcome) {})
		return
	}
	id := d.nameOf(d.spec.ID, j.Delivery)
	done, ok := d.recent.begin(id, j.Redelivered, j.acks.source.Lost()) // may have to wait
	switch {
	case done:
		d.counts.suppressed.Add(1)
		j.acks.finish(j.Delivery) // what it had done may still wait for Commit
	case ok && d.wanted(j):
		d.carryOut(j, func(o outcome) { d.recent.end(id, o.verdict == handled) })
	case ok:
		d.recent.end(id, false)
	}
}

// carryOut has the handler called, and carries out what comes of it.
func (d *dispatcher) carryOut(j job, ended func(outcome)) {
	var o outcome
	returned := false
	defer func() {
		if !returned { // the handler has ended this goroutine
			o = outcome{verdict: putBack, failed: true, failure: failure{j.Delivery, errGoexit, 1, time.Now(), time.Now()}}
			if d.stream { // which takes nothing back, and nobody is left to call the handler again
				o.verdict = parked
			}
			d.report(j, o)
		}
		ended(o)
		d.settle(j, o)
	}()
	o = d.attempt(j)
	returned = true
}

// wanted tells whether to begin with a delivery. Without its channel it could not be acknowledged, and
// the broker delivers it again; when the consumer stops or pauses, it goes back.
func (d *dispatcher) wanted(j job) bool {
	if j.acks.lost() {
		return false
	}
	if v := d.view.Load(); v.over || v.paused {
		d.giveBack(j.acks, j.Delivery)
		return false
	}
	return true
}

// attempt calls the handler, and again as long as its outcome is to be tried again in place.
func (d *dispatcher) attempt(j job) outcome {
	asItCame := *j.Delivery // which is the handler's to change
	err := d.call(j.Delivery)
	if err == nil {
		d.breaker.succeeded()
		return outcome{}
	}
	return d.attemptAgain(j, asItCame, err)
}

// attemptAgain gets the Delivery by value, so that it is allocated only here.
func (d *dispatcher) attemptAgain(j job, asItCame Delivery, err error) outcome {
	f := failure{delivery: &asItCame, attempts: Attempts(&asItCame), first: time.Now()}
	for {
		f.err, f.last = err, time.Now()
		f.attempts++
		o := d.decide(f)
		d.report(j, o)
		if o.verdict != again {
			return o
		}
		if !d.wait(j, o.pause) {
			return outcome{verdict: requeued, failure: f}
		}
		delivery := asItCame
		delivery.Headers = maps.Clone(asItCame.Headers)
		if delivery.Headers == nil {
			delivery.Headers = map[string]any{}
		}
		delivery.Headers[HeaderAttempts] = int64(f.attempts)
		if err = d.call(&delivery); err == nil {
			d.breaker.succeeded()
			return outcome{}
		}
	}
}

// call turns a panic into an error.
func (d *dispatcher) call(delivery *Delivery) (err error) {
	ctx := d.work
	if d.spec.HandlerTimeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, d.spec.HandlerTimeout, ErrHandlerTimeout)
		defer cancel()
		ctx = limited
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("consumer: the handler panicked: %v\n%s", r, debug.Stack())
		}
	}()
	return examined(d.spec.Handler(ctx, delivery))
}

// examined calls an error's methods where a panic is recovered: one that holds a nil pointer may panic.
func examined(err error) error {
	if err != nil {
		_, _, _ = errors.Is(err, Requeue), errors.As(err, new(*retryAfter)), err.Error()
	}
	return err
}

// wait keeps a delivery for a while. False: it is not worth it any more, because its channel is gone,
// or the consumer stops or pauses.
func (d *dispatcher) wait(j job, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		v := d.view.Load()
		if v.over || v.paused || j.acks.lost() {
			return false
		}
		select {
		case <-timer.C:
			return true
		case <-j.acks.source.Lost():
		case <-v.changed:
		}
	}
}

// report counts and logs a failure; an outcome that the handler chose is none.
func (d *dispatcher) report(j job, o outcome) {
	if !o.failed {
		return
	}
	d.counts.failed.Add(1)
	d.about(d.logger.Warn(), j.Delivery).Err(o.failure.err).Int(FieldAttempt, o.failure.attempts).
		Msg("handler failed; " + d.inWords(o))
	if o.tripped {
		d.tripped()
	}
}

// inWords tells in a log line what becomes of a message whose handler failed.
func (d *dispatcher) inWords(o outcome) string {
	switch o.verdict {
	case again:
		return fmt.Sprintf("it is tried again in %v", o.pause.Round(time.Millisecond))
	case rejected:
		return "the message is dead-lettered"
	case parked:
		return "the message is parked in " + d.spec.Retry.ParkingQueue
	default:
		return fmt.Sprintf("the message goes back to the queue in %v", d.spec.RequeuePause)
	}
}

// about adds to a line which delivery it is about.
func (d *dispatcher) about(line *zerolog.Event, delivery *Delivery) *zerolog.Event {
	return line.Str(FieldQueue, delivery.Queue).Uint64(FieldGeneration, delivery.Generation).
		Uint64("delivery_tag", delivery.DeliveryTag).Str("message_id", delivery.MessageID)
}
