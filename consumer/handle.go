package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/fsm"
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
			o = outcome{verdict: putBack, failed: true, failure: failure{errGoexit, 1, time.Now(), time.Now()}}
			if d.stream { // where nothing can be put back
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
	err := d.call(j.Delivery)
	if err == nil {
		d.breaker.succeeded()
		return outcome{}
	}
	delivery := *j.Delivery
	f := failure{attempts: Attempts(j.Delivery), first: time.Now()}
	for ; err != nil; err = d.call(&delivery) {
		f.err, f.last = err, time.Now()
		f.attempts++
		o := d.judge(f)
		d.report(j, o)
		if o.verdict != again {
			return o
		}
		if !d.wait(j, o.pause) {
			return outcome{verdict: putBack, failure: f}
		}
		delivery.Headers = maps.Clone(delivery.Headers) // the handler may have kept the last ones
		if delivery.Headers == nil {
			delivery.Headers = map[string]any{}
		}
		delivery.Headers[HeaderAttempts] = int64(f.attempts)
	}
	d.breaker.succeeded()
	return outcome{}
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
			err = fmt.Errorf("%w: %v\n%s", ErrPanic, r, debug.Stack())
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

// settle tells the broker the outcome. Whatever cannot be carried out puts the message back.
func (d *dispatcher) settle(j job, o outcome) {
	source := j.acks.source
	switch o.verdict {
	case handled:
		j.acks.finish(j.Delivery)
		return
	case skipped:
		d.alone(j, source.Ack, &d.counts.rejected)
		return
	case rejected:
		d.alone(j, func(tag uint64) error { return source.Reject(tag, false) }, &d.counts.rejected)
		return
	case parked:
		if d.republish(j, o) {
			d.alone(j, source.Ack, &d.counts.parked)
			return
		}
	case postponed:
		if d.republish(j, o) {
			d.alone(j, source.Ack, &d.counts.delayed)
			return
		}
	}
	d.wait(j, d.spec.RequeuePause)
	switch {
	case d.stream: // which keeps it, and is read from there the next time
	case o.verdict == putBack && o.failed && !o.tripped && d.work.Err() == nil:
		d.alone(j, func(tag uint64) error { return source.Reject(tag, true) }, &d.counts.requeued)
	default: // it is not the message's fault, and shall not count towards a quorum queue's delivery limit
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
		err := d.tryRepublish(j, o)
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

func (d *dispatcher) tryRepublish(j job, o outcome) error {
	ctx, cancel := context.WithTimeout(d.work, republishTimeout)
	defer cancel()
	if o.verdict == postponed {
		return d.outbox.delay(ctx, j.Delivery, o.pause, o.failure)
	}
	return d.outbox.park(ctx, j.Delivery, d.spec.Retry.ParkingQueue, o.failure)
}

// report counts and logs a failure; an outcome that the handler chose is none.
func (d *dispatcher) report(j job, o outcome) {
	if !o.failed {
		return
	}
	d.counts.failed.Add(1)
	what := map[verdict]string{
		again:    fmt.Sprintf("it is tried again in %v", o.pause.Round(time.Millisecond)),
		rejected: "the message is dead-lettered",
		parked:   "the message is parked in " + d.spec.Retry.ParkingQueue,
		putBack:  fmt.Sprintf("the message goes back to the queue in %v", d.spec.RequeuePause),
	}[o.verdict]
	d.about(d.logger.Warn(), j.Delivery).Err(o.failure.err).Int(fsm.FieldAttempt, o.failure.attempts).
		Msg("handler failed; " + what)
	if o.tripped {
		d.tripped()
	}
}

// about adds to a line which delivery it is about.
func (d *dispatcher) about(line *zerolog.Event, delivery *Delivery) *zerolog.Event {
	return line.Str(fsm.FieldQueue, delivery.Queue).Uint64(fsm.FieldGeneration, delivery.Generation).
		Uint64("delivery_tag", delivery.DeliveryTag).Str("message_id", delivery.MessageID)
}

// commit calls Subscription.Commit: for one channel at a time, and not after Run.
func (d *dispatcher) commit() (err error) {
	d.committing.Lock()
	defer d.committing.Unlock()
	if d.ended.Load() {
		return errEnded
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v\n%s", ErrPanic, r, debug.Stack())
		}
		if err != nil && !errors.Is(err, Requeue) {
			d.logger.Error().Err(err).Str(fsm.FieldQueue, d.spec.Queue).
				Msgf("commit failed; nothing is acknowledged, and it is tried again in %v", d.spec.RequeuePause)
		}
	}()
	return examined(d.spec.Commit(d.work))
}

var errEnded = errors.New("consumer: it has ended")

// Stale is a delivery whose outcome was not sent, because the channel that delivered it was gone. If
// it came from a queue that still holds it, the broker delivers it again.
type Stale struct {
	Queue       string
	MessageID   string
	DeliveryTag uint64
	Generation  uint64
	// Age is how long ago it was received.
	Age time.Duration
}

// staleOutcomes counts what could not be sent, and tells the supervisor and the caller.
func (d *dispatcher) staleOutcomes(deliveries []*Delivery, why error) {
	if d.ended.Load() {
		return
	}
	d.counts.stale.Add(uint64(len(deliveries)))
	first, last := deliveries[0], deliveries[len(deliveries)-1]
	note := fmt.Sprintf("outcome of delivery tag %d dropped", first.DeliveryTag)
	if len(deliveries) > 1 {
		note = fmt.Sprintf("%d outcomes of delivery tags %d to %d dropped", len(deliveries), first.DeliveryTag, last.DeliveryTag)
	}
	d.dropped(fsm.Evidence{Generation: first.Generation, Queue: first.Queue, Error: why.Error(), Note: note})
	if d.onStale == nil {
		return
	}
	for _, delivery := range deliveries {
		d.tellStale(delivery)
	}
}

func (d *dispatcher) tellStale(delivery *Delivery) {
	defer func() {
		if r := recover(); r != nil {
			d.about(d.logger.Error(), delivery).Msgf("OnStale panicked: %v", r)
		}
	}()
	d.onStale(Stale{
		Queue: delivery.Queue, MessageID: delivery.MessageID, DeliveryTag: delivery.DeliveryTag,
		Generation: delivery.Generation, Age: time.Since(delivery.ReceivedAt),
	})
}
