package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

var (
	errFails  = errors.New("no such customer")
	errPanics = errors.New("the handler is to panic")
	errWaits  = errors.New("the handler is to wait for the end of its context")
)

// In this time the messages behind one that is kept, or delayed, are handled.
const keptFor, delayed = time.Second, 2 * time.Second

// ending is three messages, of which the first is answered as it says, and where they end.
type ending struct {
	name    string
	answers []error // of the handler for message 1; nil from then on
	set     func(*consumer.Subscription)

	calls string // of the handler: the numbers of the messages
	seen  string // Attempts of message 1 at each call
	stats consumer.Stats
	left  map[string]int // what is in other queues, by the end of their names
	check func(*testing.T, calls)
}

func times(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func poison(p consumer.Poison, attempts int) func(*consumer.Subscription) {
	return func(s *consumer.Subscription) { s.Retry.Poison, s.Retry.Attempts = p, attempts }
}

var endings = []ending{
	{
		name:  "handled",
		calls: "123", seen: "0", stats: consumer.Stats{Acknowledged: 3},
	},
	{
		name: "fails-then-succeeds", answers: times(2, errFails),
		calls: "11123", seen: "012", stats: consumer.Stats{Acknowledged: 3, Failed: 2},
	},
	{
		name: "panics-then-succeeds", answers: times(1, errPanics),
		calls: "1123", seen: "01", stats: consumer.Stats{Acknowledged: 3, Failed: 1},
	},
	{
		name: "poison-dead-lettered", answers: times(3, errFails), set: poison(consumer.DeadLetter, 3),
		calls: "11123", seen: "012", stats: consumer.Stats{Acknowledged: 2, Failed: 3, Rejected: 1},
		left: map[string]int{".dead": 1},
	},
	{
		name: "poison-parked", answers: times(2, errFails), set: poison(consumer.Park, 2),
		calls: "1123", seen: "01", stats: consumer.Stats{Acknowledged: 2, Failed: 2, Parked: 1},
		left: map[string]int{".parked": 1},
	},
	{
		name: "poison-put-back", answers: times(2, errFails), set: poison(consumer.PutBack, 1),
		calls: "12311", seen: "000", stats: consumer.Stats{Acknowledged: 3, Failed: 2, Kept: 2},
		check: redelivered(1, 2),
	},
	{
		name: "reject", answers: times(1, consumer.Reject),
		calls: "123", seen: "0", stats: consumer.Stats{Acknowledged: 2, Rejected: 1},
		left: map[string]int{".dead": 1},
	},
	{
		name: "reject-wrapped", answers: times(1, fmt.Errorf("customer 7: %w", consumer.Reject)),
		calls: "123", seen: "0", stats: consumer.Stats{Acknowledged: 2, Rejected: 1},
		left: map[string]int{".dead": 1},
	},
	{
		name: "requeue", answers: times(2, consumer.Requeue),
		calls: "12311", seen: "000", stats: consumer.Stats{Acknowledged: 3, Kept: 2},
		check: redelivered(1, 2),
	},
	{
		name: "requeue-joined", answers: times(1, errors.Join(errFails, consumer.Requeue)),
		calls: "1231", seen: "00", stats: consumer.Stats{Acknowledged: 3, Kept: 1},
		check: redelivered(1),
	},
	{
		name: "retry-after-short", answers: times(2, consumer.RetryAfter(20*time.Millisecond)),
		calls: "11123", seen: "012", stats: consumer.Stats{Acknowledged: 3},
		check: apart(20 * time.Millisecond),
	},
	{
		name: "retry-after-long", answers: times(2, consumer.RetryAfter(delayed)),
		calls: "12311", seen: "012", stats: consumer.Stats{Acknowledged: 3, Delayed: 2},
		left: map[string]int{".retry.2000": 0}, check: apart(delayed),
	},
	{
		name: "retry-after-wrapped", answers: times(1, fmt.Errorf("busy: %w", consumer.RetryAfter(delayed))),
		calls: "1231", seen: "01", stats: consumer.Stats{Acknowledged: 3, Delayed: 1},
		left: map[string]int{".retry.2000": 0}, check: apart(delayed),
	},
	{
		name: "handler-timeout", answers: times(1, errWaits),
		set:   func(s *consumer.Subscription) { s.HandlerTimeout = 50 * time.Millisecond },
		calls: "1123", seen: "01", stats: consumer.Stats{Acknowledged: 3, Failed: 1},
	},
}

// Every way in which a handler can end, on RabbitMQ: no message is lost, and none is left over.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"classic", "quorum"} {
		for _, e := range endings {
			t.Run(kind+"-"+e.name, func(t *testing.T) {
				t.Parallel()
				play(t, kind, e)
			})
		}
	}
}

// call is one call of the handler.
type call struct {
	number   string
	attempts int
	at       time.Time
	headers  map[string]any
	again    bool // the delivery said that it was one
}

type calls []call

// play consumes three messages with one handler at a time, and checks where they end.
func play(t *testing.T, kind string, e ending) {
	r := newRig(t)
	arguments := map[string]any{}
	if kind != "stream" {
		arguments = map[string]any{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": r.queue + ".dead"}
	}
	r.remake(kind, arguments)
	r.declare(r.queue + ".dead")
	others := []string{".dead", ".parked", ".retry.2000"}
	t.Cleanup(func() {
		for _, end := range others {
			r.deleteQueue(r.queue + end)
		}
	})
	s := &r.config.Subscriptions[0]
	s.RequeuePause = keptFor
	s.Retry = consumer.Retry{MaxInPlace: 100 * time.Millisecond, Backoff: consumer.Backoff{Initial: 10 * time.Millisecond, Max: 10 * time.Millisecond}}
	if e.set != nil {
		e.set(s)
	}
	if kind == "stream" {
		s.Stream = &consumer.Stream{Offset: "first"}
	}
	script := &script{T: t, answers: e.answers}
	s.Handler = script.handle
	r.load(3)
	r.start()
	r.await("every message to have ended", func() bool {
		n := r.c.Stats()
		return n.Acknowledged+n.Rejected+n.Parked == 3
	})
	r.stop()
	script.check(e)
	if got := r.c.Stats(); got != e.stats {
		t.Errorf("%+v, want %+v", got, e.stats)
	}
	if kind != "stream" { // which keeps everything
		r.awaitDepth(r.queue, 0, 0)
	}
	for _, end := range others {
		want, exists := e.left[end]
		if end == ".dead" || exists {
			r.awaitDepth(r.queue+end, want, 0)
			continue
		}
		switch ready, _, err := r.node.Depth(t.Context(), r.queue+end); {
		case err == nil:
			t.Errorf("there is a queue %s, with %d messages", r.queue+end, ready)
		case !errors.Is(err, rabbittest.ErrNoQueue):
			t.Fatalf("whether there is a queue %s: %v", r.queue+end, err)
		}
	}
	if e.left[".parked"] > 0 {
		checkParked(t, r, e)
	}
	if kind == "quorum" && e.stats.Kept > 0 {
		script.checkDeliveryCount()
	}
}

// script answers message 1 as it was told to, and notes each call.
type script struct {
	*testing.T
	answers []error

	mu    sync.Mutex
	calls calls
}

func (s *script) handle(ctx context.Context, d *consumer.Delivery) error {
	number := strings.TrimPrefix(string(d.Body), "message ")
	s.mu.Lock()
	s.calls = append(s.calls, call{number, consumer.Attempts(d), time.Now(), d.Headers, d.Redelivered})
	var answer error
	if number == "1" && len(s.answers) > 0 {
		answer, s.answers = s.answers[0], s.answers[1:]
	}
	s.mu.Unlock()
	switch answer {
	case errPanics:
		panic(answer)
	case errWaits:
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, consumer.ErrHandlerTimeout) {
			s.Errorf("the handler's context ended because of %v", cause)
		}
		return ctx.Err()
	}
	return answer
}

func (s *script) check(e ending) {
	s.Helper()
	var numbers, seen string
	for _, c := range s.calls {
		numbers += c.number
		if c.number == "1" {
			seen += fmt.Sprint(c.attempts)
		}
	}
	if numbers != e.calls || seen != e.seen {
		s.Errorf("calls for %s, attempts %s; want %s and %s", numbers, seen, e.calls, e.seen)
	}
	if e.check != nil {
		e.check(s.T, s.calls.of("1"))
	}
}

// checkDeliveryCount: a quorum queue does not see what is put back.
func (s *script) checkDeliveryCount() {
	s.Helper()
	for i, c := range s.calls.of("1") {
		if got, _ := c.headers["x-delivery-count"].(int64); got != 0 {
			s.Errorf("call %d: x-delivery-count is %v, want 0", i+1, got)
		}
	}
}

func (all calls) of(number string) (some calls) {
	for _, c := range all {
		if c.number == number {
			some = append(some, c)
		}
	}
	return some
}

// redelivered checks which calls were of redeliveries, the first being 0.
func redelivered(which ...int) func(*testing.T, calls) {
	return func(t *testing.T, all calls) {
		t.Helper()
		want := map[int]bool{}
		for _, i := range which {
			want[i] = true
		}
		for i, c := range all {
			if c.again != want[i] {
				t.Errorf("call %d: redelivered %v", i, c.again)
			}
		}
	}
}

// apart checks that no call came before the delay was over.
func apart(delay time.Duration) func(*testing.T, calls) {
	return func(t *testing.T, all calls) {
		t.Helper()
		for i := 1; i < len(all); i++ {
			if pause := all[i].at.Sub(all[i-1].at); pause < delay {
				t.Errorf("call %d came after %v, and was to wait for %v", i, pause, delay)
			}
		}
	}
}

// checkParked takes the message from the parking queue and looks at what it tells.
func checkParked(t *testing.T, r *rig, e ending) {
	t.Helper()
	r.onChannel(func(c *amqp.Channel) error {
		m, ok, err := c.Get(r.queue+".parked", true)
		if err != nil || !ok {
			return errors.Join(err, errors.New("nothing is parked"))
		}
		want := map[string]any{
			consumer.HeaderAttempts: int64(len(e.answers)), consumer.HeaderError: errFails.Error(),
			consumer.HeaderQueue: r.queue, consumer.HeaderExchange: "", consumer.HeaderRoutingKey: r.queue,
		}
		for name, value := range want {
			if m.Headers[name] != value {
				t.Errorf("%s is %v, want %v", name, m.Headers[name], value)
			}
		}
		first, _ := m.Headers[consumer.HeaderFirstFailed].(time.Time)
		last, _ := m.Headers[consumer.HeaderLastFailed].(time.Time)
		if first.IsZero() || last.Before(first) || m.Headers[consumer.HeaderHost] == nil {
			t.Errorf("headers %v", m.Headers)
		}
		if string(m.Body) != "message 1" || m.MessageId != "message 1" || m.DeliveryMode != amqp.Persistent {
			t.Errorf("parked was %q, id %q, delivery mode %d", m.Body, m.MessageId, m.DeliveryMode)
		}
		return nil
	})
}
