package consumer

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/internal/revival"
)

// Retry is what happens to a message whose handler returned an error that is no outcome, or panicked.
// The handler is called again in place after a pause: the delivery keeps its place in the prefetch
// and in the queue's order, and its handler's place among Concurrency. If three quarters of ConsumerTimeout would pass
// meanwhile, it is delayed as by RetryAfter instead. A message that fails too often
// is poison; what becomes of it then, Poison says. So is one that could not be read (Delivery.Unreadable), at once
// and without a call of the handler.
type Retry struct {
	// Attempts is how often the handler is called for one message before it is poison; those before
	// a RetryAfter count, too (see Attempts). Defaults to 4.
	Attempts int
	// Backoff is the pause between them: random between half of a bound that doubles and the bound. So how long the
	// attempts last is known: with Attempts 8 and Backoff 1 s to 1 min, for a minute at least. Initial defaults to
	// 200 ms, Max to 5 s.
	Backoff Backoff
	// MaxInPlace is the longest delay of a RetryAfter that is waited for in place. For a longer one the
	// message is published into a delay queue and leaves the prefetch. Defaults to 5 s.
	MaxInPlace time.Duration
	// Poison says what becomes of a message that failed too often. Defaults to DeadLetter if Declare
	// has an x-dead-letter-exchange, to Park otherwise (whether a policy gives the queue one cannot
	// be seen from here), and to PutBack if the broker names the queue.
	Poison Poison
	// ParkingQueue is where poison messages are parked. It is declared, durable, where it is missing. Defaults to the
	// queue's name and ".parked", and for what comes from a parking queue to that: to a queue whose name ends so, or
	// into which the message was parked (HeaderParkingQueue). What fails again is published to its end, with its
	// history, after RequeuePause or the pause that Backoff has by then, if that is longer: it comes again. The user must
	// be allowed to write to amq.default, the default exchange, and to configure the queue where it is missing. Refused,
	// the message stays unacknowledged, with an error in the log, for three quarters of the ConsumerTimeout, or until the
	// consumer stops.
	ParkingQueue string
}

// Poison is what becomes of a message that cannot be handled.
type Poison string

const (
	// DeadLetter rejects it. The broker drops it if the queue has no dead-letter exchange.
	DeadLetter Poison = "dead-letter"
	// Park publishes it into the parking queue, with headers that tell why (HeaderError and others),
	// and acknowledges it once the broker has confirmed that. What cannot be parked, such as a message above
	// MaxMessageSize, stays unacknowledged for three quarters of the ConsumerTimeout, and is put back then.
	Park Poison = "park"
	// PutBack has it handled again after RequeuePause, again and again, as for Requeue.
	PutBack Poison = "put-back"
)

// DefaultAttempts is the default of Retry.Attempts.
const DefaultAttempts = 4

func (r Retry) withDefaults(s Subscription) Retry {
	r.Attempts = or(r.Attempts, DefaultAttempts)
	r.Backoff.Initial = or(r.Backoff.Initial, defaultRetryInitial)
	r.Backoff.Max = or(r.Backoff.Max, max(defaultRetryMax, r.Backoff.Initial))
	r.MaxInPlace = or(r.MaxInPlace, defaultInPlace)
	if r.Poison == "" {
		r.Poison = Park
		switch {
		case s.Declare != nil && s.Declare.Arguments["x-dead-letter-exchange"] != nil:
			r.Poison = DeadLetter
		case s.Queue == "" && r.ParkingQueue == "":
			r.Poison = PutBack
		}
	}
	return r
}

// parkingSuffix is what the names of parking queues end with, unless they are given.
const parkingSuffix = ".parked"

// IsParkingQueue tells whether a queue has the name of a parking queue, by default.
func IsParkingQueue(queue string) bool { return strings.HasSuffix(queue, parkingSuffix) }

// DefaultParkingQueue is where messages of a queue are parked, unless Retry.ParkingQueue says otherwise.
func DefaultParkingQueue(queue string) string {
	if IsParkingQueue(queue) {
		return queue
	}
	return queue + parkingSuffix
}

// IsParked tells whether a message that came from a queue with these headers was parked there, whatever the queue's name.
func IsParked(headers map[string]any, queue string) bool {
	return IsParkingQueue(queue) || headers[HeaderParkingQueue] == queue
}

// parkingQueue is where a message is parked. What came from a parking queue goes back there, unless another one was asked for.
func (j *judge) parkingQueue(came *Delivery) string {
	if j.spec.Retry.ParkingQueue == "" && IsParked(came.Headers, came.Queue) {
		return came.Queue
	}
	return j.spec.Retry.parkingQueueOf(j.spec.Queue)
}

// parkingQueueOf is where messages of a queue are parked that were not before; "" if there is no name for it.
func (r Retry) parkingQueueOf(queue string) string {
	if r.ParkingQueue == "" && queue != "" {
		return DefaultParkingQueue(queue)
	}
	return r.ParkingQueue
}

// pause before the next attempt, after so many.
func (r Retry) pause(attempts int) time.Duration {
	bound := revival.Backoff(r.Backoff).Bound(attempts)
	least := bound / 2
	return least + rand.N(bound-least+1)
}

func (r Retry) problems(queue string) (problems []string) {
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if r.Attempts < 1 {
		report("Attempts: %d is not positive", r.Attempts)
	}
	for _, problem := range revival.Backoff(r.Backoff).Problems() {
		report("Backoff.%s", problem)
	}
	switch r.Poison {
	case DeadLetter, PutBack:
	case Park:
		bin := r.parkingQueueOf(queue)
		if bin == "" {
			report("ParkingQueue: missing, and Queue has no name to make one of")
		}
		if err := broker.CheckName(bin); err != nil {
			report("ParkingQueue: %q: %v; by default it is the Queue's name and .parked", bin, err)
		}
	default:
		report("Poison: %q is none of %q, %q and %q", r.Poison, DeadLetter, Park, PutBack)
	}
	return problems
}

// Backoff spaces attempts: the delay before the next one is random between zero and a bound that
// starts at Initial and doubles up to Max ("full jitter"), so that a thousand consumers do not come
// back in step. The first attempt to revive is immediate; but when the broker has shut the connection down, as it does
// to all of them when it stops, all attempts of that revival have the bound Max, from the first on.
//
// When reviving, Max is the most that a consumer adds to an outage when its attempts fail at once, as they do where
// connections are refused or a queue is missing. That is why it is low.
type Backoff struct {
	// Initial defaults to 100 ms, in Retry to 200 ms.
	Initial time.Duration
	// Max defaults to 1 s, in Retry to 5 s, or Initial if that is more.
	Max time.Duration
}

// DefaultBackoffMax is the default of Backoff.Max, when reviving.
const DefaultBackoffMax = time.Second
