package consumer

import (
	"errors"
	"fmt"
	"time"
)

// Retry is what happens to a message whose handler returned an error that is no outcome, or panicked.
// The handler is called again in place after a pause: the delivery keeps its place in the prefetch
// and in the queue's order, and its handler's place among Concurrency. A message that fails too often
// is poison; what becomes of it then, Poison says.
type Retry struct {
	// Attempts is how often the handler is called for one message before it is poison; those before
	// a RetryAfter count, too (see Attempts). Defaults to 4.
	Attempts int
	// Backoff is the pause between them: random between zero and a bound that doubles. Initial
	// defaults to 200 ms, Max to 5 s.
	Backoff Backoff
	// InPlace is the longest delay of a RetryAfter that is waited for in place. For a longer one the
	// message is published into a delay queue and leaves the prefetch. Defaults to 5 s.
	InPlace time.Duration
	// Poison says what becomes of a message that failed too often. Defaults to DeadLetter if Declare
	// has an x-dead-letter-exchange, to Park otherwise (whether a policy gives the queue one cannot
	// be seen from here), and to PutBack if the broker names the queue.
	Poison Poison
	// ParkingQueue is where poison messages are parked. It is declared, durable, where it is missing.
	// Defaults to the queue's name and ".parked".
	ParkingQueue string
}

// Poison is what becomes of a message that cannot be handled.
type Poison string

const (
	// DeadLetter rejects it. The broker drops it if the queue has no dead-letter exchange.
	DeadLetter Poison = "dead-letter"
	// Park publishes it into the parking queue, with headers that tell why (HeaderError and others),
	// and acknowledges it once the broker has confirmed that.
	Park Poison = "park"
	// PutBack returns it to the queue after RequeuePause, again and again; a quorum queue counts that
	// towards its delivery limit (https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling).
	PutBack Poison = "put-back"
)

// Defaults of Retry.
const (
	DefaultAttempts     = 4
	DefaultRetryInitial = 200 * time.Millisecond
	DefaultRetryMax     = 5 * time.Second
	DefaultInPlace      = 5 * time.Second
)

func (r Retry) withDefaults(s Subscription) Retry {
	r.Attempts = or(r.Attempts, DefaultAttempts)
	r.Backoff.Initial = or(r.Backoff.Initial, DefaultRetryInitial)
	r.Backoff.Max = or(r.Backoff.Max, max(DefaultRetryMax, r.Backoff.Initial))
	r.InPlace = or(r.InPlace, DefaultInPlace)
	if r.Poison == "" {
		r.Poison = Park
		switch {
		case s.Declare != nil && s.Declare.Arguments["x-dead-letter-exchange"] != nil:
			r.Poison = DeadLetter
		case s.Queue == "" && r.ParkingQueue == "":
			r.Poison = PutBack
		}
	}
	if r.ParkingQueue == "" && s.Queue != "" {
		r.ParkingQueue = s.Queue + ".parked"
	}
	return r
}

func (r Retry) problems() (problems []string) {
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if r.Attempts < 1 {
		report("Attempts: %d is not positive", r.Attempts)
	}
	for _, problem := range r.Backoff.problems() {
		report("Backoff.%s", problem)
	}
	switch r.Poison {
	case DeadLetter, PutBack:
	case Park:
		if r.ParkingQueue == "" {
			report("ParkingQueue: missing, and Queue has no name to make one of")
		}
		if len(r.ParkingQueue) > 255 { // a short string of AMQP 0-9-1
			report("ParkingQueue: %q has %d bytes, and 255 is the most; by default it is the Queue's name and .parked",
				r.ParkingQueue, len(r.ParkingQueue))
		}
	default:
		report("Poison: %q is none of %q, %q and %q", r.Poison, DeadLetter, Park, PutBack)
	}
	return problems
}

var (
	// Requeue is what a handler returns, wrapped or not, to put a message back on purpose, after
	// Subscription.RequeuePause (basic.nack). It is neither logged nor counted as a failure. On a stream, where
	// nothing can be put back, the handler is called again after the pause.
	Requeue = errors.New("consumer: put back on purpose") //nolint:errname,staticcheck // an outcome, not a failure
	// Reject is what a handler returns, wrapped or not, to give a message to the queue's dead-letter
	// exchange. Without one the broker drops it. On a stream the message is passed over.
	Reject = errors.New("consumer: rejected on purpose") //nolint:errname,staticcheck // an outcome, not a failure
)

// RetryAfter is what a handler returns, wrapped or not, to get a message again after a delay: if it is
// short (see Retry.InPlace), the delivery waits for it in place. Otherwise the message is published into
// a delay queue, from which the broker dead-letters it back to the end of its queue, and is then
// acknowledged. Neither is logged nor counted as a failure, nor is there a limit; but a call it is, and a
// message that fails after Retry.Attempts calls, however they ended, is poison at once.
//
// The delay is rounded up to two digits (1234 ms become 1300 ms), and the delay queue is called by the
// queue's name and .retry.1300. More than 48 days, or a queue that the broker has named, cannot be: the
// message is put back after Subscription.RequeuePause then, and an error is logged.
func RetryAfter(delay time.Duration) error { return &retryAfter{max(delay, time.Millisecond)} }

type retryAfter struct{ delay time.Duration } //nolint:errname // an outcome, not a failure

func (r *retryAfter) Error() string { return fmt.Sprintf("consumer: to be tried again in %v", r.delay) }

// outcome is what becomes of a delivery.
type outcome struct {
	verdict verdict
	pause   time.Duration // of again and postponed
	failure failure
	failed  bool // otherwise the handler chose it, or was not given its chance
	tripped bool // and that was once too often in a row
}

type verdict int

const (
	handled   verdict = iota // acknowledge
	again                    // call the handler again, after the pause
	putBack                  // reject into the queue
	rejected                 // reject into the dead-letter exchange
	skipped                  // acknowledge what cannot be rejected
	postponed                // publish into a delay queue, acknowledge
	parked                   // publish into the parking queue, acknowledge
)

func (v verdict) String() string {
	return [...]string{"handled", "again", "put back", "rejected", "skipped", "postponed", "parked"}[v]
}

// judge decides what an error of the handler's means.
func (d *dispatcher) judge(f failure) outcome {
	o := outcome{failure: f}
	retry := d.spec.Retry
	stream := d.stream
	var after *retryAfter
	switch {
	case errors.Is(f.err, Requeue) && stream:
		o.verdict, o.pause = again, d.spec.RequeuePause
	case errors.Is(f.err, Requeue):
		o.verdict = putBack
	case errors.Is(f.err, Reject) && stream:
		o.verdict = skipped
	case errors.Is(f.err, Reject):
		o.verdict = rejected
	case errors.As(f.err, &after):
		o.verdict, o.pause = postponed, after.delay
		if o.pause <= retry.InPlace || stream {
			o.verdict = again
		}
	default:
		o.failed, o.tripped = true, d.breaker.failed()
		o.verdict = map[Poison]verdict{DeadLetter: rejected, Park: parked, PutBack: putBack}[retry.Poison]
		switch {
		case d.work.Err() != nil: // it was told to stop, and may not have had a chance
			o.verdict = putBack
		case o.tripped: // it may not be the message's fault
			o.verdict = putBack
		case f.attempts < retry.Attempts:
			o.verdict, o.pause = again, retry.Backoff.delay(f.attempts)
		case stream && o.verdict == rejected:
			o.verdict = parked
		case stream && o.verdict == putBack:
			o.verdict, o.pause = again, d.spec.RequeuePause
		}
	}
	return o
}
