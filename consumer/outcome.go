package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/everhop/everhop/broker"
)

var (
	// Requeue is what a handler returns, wrapped or not, to put a message back on purpose: a handler is called for it
	// again after Subscription.RequeuePause, as for a redelivery, and for others meanwhile. It waits for that in
	// memory, where no delivery limit counts it, and goes back to the queue (basic.nack) only when the consumer
	// stops or three quarters of ConsumerTimeout have passed. It is neither logged nor counted as a failure. On a
	// stream it keeps its handler's place among Concurrency.
	Requeue = errors.New("consumer: put back on purpose") //nolint:errname,staticcheck // an outcome, not a failure
	// Reject is what a handler returns, wrapped or not, to give a message to the queue's dead-letter
	// exchange. Without one the broker drops it. On a stream the message is passed over; if it was not said to be
	// one (Subscription.Stream), it is parked.
	Reject = errors.New("consumer: rejected on purpose") //nolint:errname,staticcheck // an outcome, not a failure
)

// Permanent is what a handler returns, wrapped or not, for an error that trying again cannot heal, such as a
// body that cannot be read: the handler is not called again, and what becomes of the message is what
// Retry.Poison says. It is logged and counted as a failure. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

type permanent struct{ error }

func (p *permanent) Unwrap() error { return p.error }

// RetryAfter is what a handler returns, wrapped or not, to get a message again after a delay: if it is
// short (see Retry.MaxInPlace), the delivery waits for it in place, unless three quarters of ConsumerTimeout would pass
// meanwhile. Otherwise the message is published into
// a delay queue, from which the broker dead-letters it back to the end of its queue, and is then
// acknowledged. Neither is logged nor counted as a failure, and it may be returned any number of times. But
// each call counts: a message that fails after Retry.Attempts calls, however those ended, is poison at
// once.
//
// The delay is rounded up to two digits (1234 ms become 1300 ms), and the delay queue is called by the
// queue's name and .retry.1300; the user must be allowed to configure and read it, and to write to
// amq.default, the default exchange. More than 48 days, a queue that the broker has named, or one whose name is too long to
// make that of a delay queue, cannot be: the message waits in memory then, for three quarters of ConsumerTimeout at most. If
// that is shorter, it is handled again before its time, and an error is logged. Past 1024 messages that wait so, or past
// Prefetch in an auto-delete queue or one with a single active consumer, nothing more is delivered until one is due.
func RetryAfter(delay time.Duration) error { return &retryAfter{max(delay, time.Millisecond)} }

type retryAfter struct{ delay time.Duration } //nolint:errname // an outcome, not a failure

func (r *retryAfter) Error() string { return fmt.Sprintf("consumer: to be tried again in %v", r.delay) }

// Delay tells others that it is no failure; see package otel.
func (r *retryAfter) Delay() time.Duration { return r.delay }

// answer is what came of one call of the handler. Its error is read once, where a panic is recovered: the
// methods of an error are the caller's code, too.
type answer struct {
	meaning meaning
	delay   time.Duration // of asksForDelay
	text    string        // the error's
	brief   string        // the same, without its details
	details []extra
	cause   string // the name of the note about it, if it is rare
}

type meaning int

const (
	succeeded    meaning = iota
	fails                // with an error that is no outcome, or a panic
	failsForGood         // with a Permanent error
	asksForRequeue
	asksForReject
	asksForDelay
	couldNotTry // with an Unavailable error
	overran     // for longer than the broker waits
)

// answerOf reads an error, which is not nil.
func answerOf(err error) answer {
	a := answer{meaning: fails, text: err.Error()}
	a.brief, a.details = detailsOf(err)
	var after *retryAfter
	switch {
	case errors.As(err, new(*unavailable)):
		a.meaning = couldNotTry
	case errors.Is(err, Requeue):
		a.meaning = asksForRequeue
	case errors.Is(err, Reject):
		a.meaning = asksForReject
	case errors.As(err, &after):
		a.meaning, a.delay = asksForDelay, after.delay
	case errors.As(err, new(*permanent)):
		a.meaning, a.cause = failsForGood, NotePermanent
	}
	return a
}

// in says of a failure whether its context had ended for HandlerTimeout.
func (a answer) in(ctx context.Context) answer {
	if a.meaning == fails && errors.Is(context.Cause(ctx), ErrHandlerTimeout) {
		a.cause = NoteTimedOut
	}
	return a
}

// outcome is what becomes of a delivery.
type outcome struct {
	verdict verdict
	pause   time.Duration // of again and delayed; of parked, before it is published to where it came from
	failure failure
	failed  bool // otherwise the handler chose it, or was not given its chance
	tripped bool // and that was once too often in a row
	missing bool // something was not there that it needs
}

// failure is how a message failed so far.
type failure struct {
	delivery    *Delivery // as it came
	reason      string    // the text of the last error
	brief       string    // the same without its details, if there are any
	details     []extra
	cause       string    // the name of the note about it, if it is rare
	told        string    // the cause that an event has told of
	parkedIn    string    // set when it is published: into this parking queue
	attempts    int       // how often the handler was called for it so far
	first, last time.Time // when it failed; an earlier round's first goes before this one
}

type verdict int

const (
	acknowledged verdict = iota // acknowledge
	again                       // call the handler again, after the pause
	requeued                    // keep and handle again; or basic.nack, without blame (from RabbitMQ 4.3 on)
	putBack                     // likewise; or basic.reject, which a quorum queue counts
	rejected                    // basic.reject, to the dead-letter exchange
	passedOver                  // acknowledge, in a stream, what cannot be rejected
	delayed                     // publish into a delay queue, acknowledge
	parked                      // publish into the parking queue, acknowledge
	heldBack                    // stay unacknowledged for a while, and then go back
	postponed                   // publish to the end of the queue, acknowledge
)

func (v verdict) String() string {
	return [...]string{"acknowledged", "again", "requeued", "put back", "rejected", "passed over", "delayed", "parked", "held back", "postponed"}[v]
}

// judge says what becomes of a message by what its subscription asks for. It does nothing about it, but for counting
// failures in a row.
type judge struct {
	spec    *Subscription
	kind    *queueKind
	breaker *breaker
	keepFor time.Duration   // how long a delivery may stay unacknowledged
	work    context.Context // of the handlers
}

// mayKeep is for how long a delivery may still stay unacknowledged.
func (j *judge) mayKeep(came *Delivery) time.Duration {
	return max(0, j.keepFor-time.Since(came.ReceivedAt))
}

// success is the outcome when the handler has returned nil.
func (j *judge) success() outcome {
	if j.breaker.limit > 0 {
		j.breaker.succeeded()
	}
	return outcome{}
}

// decide tells what an answer of the handler's means, other than success.
func (j *judge) decide(a answer, f failure) outcome {
	o := outcome{failure: f}
	switch a.meaning {
	case asksForRequeue:
		o.verdict = requeued
	case couldNotTry:
		o.verdict, o.missing = requeued, true
	case asksForReject:
		o.verdict = rejected
	case asksForDelay:
		o.verdict, o.pause = delayed, a.delay
		if a.delay <= j.spec.Retry.MaxInPlace {
			o.verdict = again
		}
	default:
		o = j.afterFailure(f, a.meaning == failsForGood)
	}
	if a.meaning == overran && (o.verdict == again || o.verdict == putBack) {
		o.verdict = postponed
	}
	if o.verdict == parked && j.parkingQueue(f.delivery) == f.delivery.Queue { // it comes again, and has failed often
		o.pause = max(j.spec.RequeuePause, j.spec.Retry.pause(f.attempts))
	}
	if o.verdict == again && o.pause >= j.mayKeep(f.delivery) {
		o.verdict, o.pause = delayed, max(o.pause, time.Millisecond)
	}
	if j.kind.isStream() {
		o = o.onStream(j.kind.isSaid(), j.spec.RequeuePause)
	}
	return o
}

// afterFailure tells what becomes of a message after an error that is no outcome.
func (j *judge) afterFailure(f failure, permanent bool) outcome {
	o := outcome{failure: f, failed: true}
	o.tripped = !permanent && j.breaker.failed() // the breaker is for what the handler depends on
	retry := j.spec.Retry
	switch {
	case j.work.Err() != nil: // it was told to stop, and may not have had a chance
		o.verdict = requeued
	case permanent:
		o.verdict = retry.Poison.verdict()
	case o.tripped: // it may not be the message's fault
		o.verdict = requeued
	case f.attempts < retry.Attempts:
		o.verdict, o.pause = again, retry.pause(f.attempts)
	default:
		o.verdict = retry.Poison.verdict()
	}
	return o
}

// pauseAside is for how long a message is put aside. One that should be delayed, and cannot be, waits for its time, unless the
// broker would not wait so long for its acknowledgement.
func (j *judge) pauseAside(o outcome) time.Duration {
	pause := j.spec.RequeuePause
	if o.verdict == delayed {
		pause = max(pause, min(o.pause, j.mayKeep(o.failure.delivery)-pause))
	}
	return pause
}

func (p Poison) verdict() verdict {
	switch p {
	case DeadLetter:
		return rejected
	case PutBack:
		return putBack
	default:
		return parked
	}
}

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
