package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// Headers of a message that was published again because its handler failed: to be retried after a delay,
// or into a parking queue.
const (
	// HeaderAttempts is how often the handler has been called for the message so far (int64); see [Attempts].
	// Take it off a message that is moved back from the parking queue, or its next failure parks it again.
	HeaderAttempts = "x-everhop-attempts"
	// HeaderError is the text of the last failure: valid UTF-8, at most 1 KiB.
	HeaderError = "x-everhop-error"
	// HeaderFirstFailed and HeaderLastFailed are when the handler failed first and last (timestamp, so in
	// seconds).
	HeaderFirstFailed = "x-everhop-first-failed"
	HeaderLastFailed  = "x-everhop-last-failed"
	// HeaderQueue is the queue from which the message was consumed.
	HeaderQueue = "x-everhop-queue"
	// HeaderHost is the name of the host on which the handler failed last.
	HeaderHost = "x-everhop-host"
	// HeaderExchange and HeaderRoutingKey are what the message was published with before any of this.
	HeaderExchange   = "x-everhop-exchange"
	HeaderRoutingKey = "x-everhop-routing-key"
	// HeaderExpiration is the expiration property, which is taken off: a message that waits for a human or
	// for its next attempt must not vanish.
	HeaderExpiration = "x-everhop-expiration"
	// HeaderUserID is the user-id property, which is taken off: the broker refuses it from another user.
	HeaderUserID = "x-everhop-user-id"
	// HeaderCC is the CC header, which is taken off: the broker would send copies to its routing keys again.
	HeaderCC = "x-everhop-cc"
)

// maxErrorText is how many bytes of an error go into HeaderError.
const maxErrorText = 1 << 10

// Attempts is how often the handler was called for this message before, as its header says: counted are
// the calls after which it was tried again in place, delayed or parked, not those after which it was put
// back or its connection was lost. It is 0 when there is no such header, or one that is not a number.
func Attempts(d *Delivery) int {
	switch v := reflect.ValueOf(d.Headers[HeaderAttempts]); {
	case v.CanInt():
		return int(min(max(v.Int(), 0), math.MaxInt32))
	case v.CanUint():
		return int(min(v.Uint(), math.MaxInt32))
	}
	return 0
}

// failure is why a message is published again.
type failure struct {
	err         error
	attempts    int       // how often the handler was called for it so far
	first, last time.Time // when it failed; an earlier round's first goes before this one
}

var (
	// errDelay means that a message cannot be delayed as asked, now or later.
	errDelay = errors.New("consumer: cannot delay")
	// errAlarm means that the broker has stopped reading because of an alarm.
	errAlarm = errors.New("consumer: the broker accepts no messages because of an alarm")
	// errNotRepublishing means that the republisher was closed.
	errNotRepublishing = errors.New("consumer: the consumer has stopped, and publishes nothing more")
)

// republisher publishes messages again: into a parking queue, or so that they come back later. It does so
// over a connection of its own, since under an alarm RabbitMQ stops reading from a connection that
// publishes, and acknowledgements must not wait behind that. The connection is opened at the first use,
// shared by all, and opened again when it was lost.
//
// Every message is persistent and mandatory, and its confirm is waited for. So whoever is told nil may
// acknowledge the original; with any error the original must be put back. When the connection is lost
// before the confirm came, the message is published once more on a new one: it may be there twice then,
// as it may be when an error is returned. Methods may be called from any goroutine.
type republisher struct {
	plan   broker.Plan
	logger zerolog.Logger
	host   string
	life   context.Context // ends with close
	end    context.CancelFunc
	tasks  sync.WaitGroup // what goes on when its caller has left

	mu     sync.Mutex
	link   *publishing // nil before the first use
	closed bool
}

// publishing is a connection to publish on, or the attempt to open it.
type publishing struct {
	opened    chan struct{} // closed when the other two are set
	publisher *broker.Publisher
	err       error
}

func newRepublisher(plan broker.Plan, logger zerolog.Logger) *republisher {
	plan.Name += " (republishing)"
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	r := &republisher{plan: plan, logger: logger, host: host}
	r.life, r.end = context.WithCancel(context.Background())
	return r
}

// park publishes the message into the parking queue; when it returns nil, the broker has confirmed it. The
// queue is used as it is, with whatever arguments; where there is none, a durable one is declared, of the
// virtual host's default type.
func (r *republisher) park(ctx context.Context, d *Delivery, queue string, why failure) error {
	m := r.message(d, why)
	m.RoutingKey = queue
	return r.try(ctx, func(p *broker.Publisher) error {
		err := r.publish(ctx, p, m)
		if !errors.Is(err, broker.ErrUnroutable) {
			return err
		}
		err = r.declare(ctx, p, queue, broker.QueueOptions{Durable: true})
		switch class, _ := broker.Classify(err); {
		case err == nil:
			r.logger.Info().Str(fsm.FieldQueue, queue).Msg("declared the parking queue, which was missing")
		case class != broker.Precondition: // which says that somebody else just declared it, otherwise
			return err
		}
		return r.publish(ctx, p, m)
	})
}

// delay publishes the message so that it comes back into d.Queue after the delay, or up to a tenth more;
// when it returns nil, the broker has confirmed it. It returns errDelay if that can never be.
//
// A message comes back by dead-lettering, which RabbitMQ does without confirms for all but some quorum
// queues (https://www.rabbitmq.com/docs/dlx#safety): it is lost if d.Queue does not exist then, refuses it
// because it is full, or is on a node that is down.
func (r *republisher) delay(ctx context.Context, d *Delivery, after time.Duration, why failure) error {
	queue, options, err := delayQueue(d.Queue, after)
	if err != nil {
		return err
	}
	m := r.message(d, why)
	m.RoutingKey = queue
	return r.try(ctx, func(p *broker.Publisher) error {
		// A message that is confirmed later may have come too late for the lease.
		ctx, cancel := context.WithTimeout(ctx, delayLease/2)
		defer cancel()
		// RabbitMQ deletes an expired queue with what is in it, and to publish is not to use it; to declare
		// it again renews the lease (https://www.rabbitmq.com/docs/ttl#queue-ttl). Hence before every
		// message: so the queue always outlives it.
		if err := r.declare(ctx, p, queue, options); err != nil {
			return err
		}
		return r.publish(ctx, p, m)
	})
}

const (
	// delayLease is how much longer than its messages a delay queue lives.
	delayLease = 10 * time.Minute
	// maxDelay: x-message-ttl and x-expires are less than 2^32 ms, and this is the last with two digits.
	maxDelay = 4_200_000_000 * time.Millisecond
)

// delayQueue is where messages wait that come back into queue after the delay: one queue for each pair of
// these, since only the head of a queue expires. So that varied delays do not make endless queues, they
// are rounded up to two significant digits, in milliseconds.
func delayQueue(queue string, after time.Duration) (name string, o broker.QueueOptions, err error) {
	if after <= 0 || after > maxDelay {
		return "", o, fmt.Errorf("%w by %v: a delay is more than 0 and at most %v", errDelay, after, maxDelay)
	}
	milliseconds, unit := (after + time.Millisecond - 1).Milliseconds(), int64(1)
	for milliseconds > 99*unit {
		unit *= 10
	}
	milliseconds = (milliseconds + unit - 1) / unit * unit

	name = fmt.Sprintf("%s.retry.%d", queue, milliseconds)
	if queue == "" || strings.HasPrefix(name, "amq.") {
		return "", o, fmt.Errorf("%w from queue %q: only the broker may declare %q", errDelay, queue, name)
	}
	if len(name) > 255 { // a short string of AMQP 0-9-1
		return "", o, fmt.Errorf("%w from queue %s: the name of its delay queue, %s, has %d bytes, and 255 is the most",
			errDelay, queue, name, len(name))
	}
	return name, broker.QueueOptions{Durable: true, Arguments: map[string]any{
		"x-queue-type":              "classic", // the lease of a quorum queue is not renewed (RabbitMQ 3.10)
		"x-message-ttl":             milliseconds,
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": queue,
		"x-expires":                 milliseconds + delayLease.Milliseconds(),
	}}, nil
}

// message is the delivery as it is published again: with all its properties, but those that would hurt.
func (r *republisher) message(d *Delivery, why failure) broker.Message {
	return broker.Message{
		Body:            d.Body,
		Headers:         r.headers(d, why),
		ContentType:     d.ContentType,
		ContentEncoding: d.ContentEncoding,
		Priority:        d.Priority,
		CorrelationID:   d.CorrelationID,
		ReplyTo:         d.ReplyTo,
		MessageID:       d.MessageID,
		Timestamp:       d.Timestamp,
		NoTimestamp:     d.Timestamp.IsZero(),
		Type:            d.Type,
		AppID:           d.AppID,
	}
}

// headers are a copy of the delivery's, and ours.
func (r *republisher) headers(d *Delivery, why failure) map[string]any {
	h := make(map[string]any, len(d.Headers)+12)
	maps.Copy(h, d.Headers)
	// RabbitMQ drops a message that dead-letters into a queue in which it died before, unless it was
	// rejected on the way (https://www.rabbitmq.com/docs/dlx#dead-letter-cycle); x-death is how it knows.
	// x-first-death-* stay, until RabbitMQ sees no x-death when the delay is over, and writes them anew.
	delete(h, "x-death")
	delete(h, "x-delivery-count") // these two are about the original's place in a quorum queue or a stream
	delete(h, "x-stream-offset")

	earlier := func(name string, value any) { // what an earlier round says goes before
		if _, there := h[name]; !there {
			h[name] = value
		}
	}
	earlier(HeaderExchange, d.Exchange)
	earlier(HeaderRoutingKey, d.RoutingKey)
	earlier(HeaderFirstFailed, why.first)

	h[HeaderLastFailed] = why.last
	h[HeaderAttempts] = int64(why.attempts)
	h[HeaderError] = errorText(why.err)
	h[HeaderQueue] = d.Queue
	h[HeaderHost] = r.host
	if d.Expiration != "" {
		h[HeaderExpiration] = d.Expiration
	}
	if d.UserID != "" {
		h[HeaderUserID] = d.UserID
	}
	if cc, there := h["CC"]; there {
		h[HeaderCC] = cc
		delete(h, "CC")
	}
	return h
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	text := strings.ToValidUTF8(err.Error(), "\uFFFD")
	if len(text) <= maxErrorText {
		return text
	}
	end := maxErrorText
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// try runs attempt with a publisher, and once more with another one if that one was lost.
func (r *republisher) try(ctx context.Context, attempt func(*broker.Publisher) error) error {
	for again := false; ; again = true {
		p, err := r.publisher(ctx)
		if err != nil {
			return err
		}
		if p.Blocked() { // or each attempt would leave one more message that the broker reads in the end
			return errAlarm
		}
		err = attempt(p)
		if err == nil || again || ctx.Err() != nil || !p.Lost() {
			return err
		}
	}
}

// publish waits for the confirm.
func (r *republisher) publish(ctx context.Context, p *broker.Publisher, m broker.Message) error {
	confirm, err := p.Publish(ctx, m)
	if err != nil {
		return err
	}
	err = confirm.Wait(ctx)
	if err == nil || ctx.Err() == nil {
		return err
	}
	r.background(func() { _ = confirm.Wait(r.life) }) // it keeps its place among the unconfirmed until then
	if p.Blocked() {
		return fmt.Errorf("%w: %w", errAlarm, err)
	}
	return err
}

// declare is not ended with ctx, only left: that would end the connection, and with it the publishing of
// everybody else.
func (r *republisher) declare(ctx context.Context, p *broker.Publisher, queue string, o broker.QueueOptions) error {
	declared := make(chan error, 1)
	if !r.background(func() { declared <- p.DeclareQueue(r.life, queue, o) }) {
		return errNotRepublishing
	}
	select {
	case err := <-declared:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// publisher is the one that all use. Where there is none, or it was lost, one caller opens it for all; who
// waits for that waits no longer than ctx.
func (r *republisher) publisher(ctx context.Context) (*broker.Publisher, error) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, errNotRepublishing
	}
	if !r.link.usable() {
		r.open()
	}
	l := r.link
	r.mu.Unlock()
	select {
	case <-l.opened:
		return l.publisher, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// usable tells whether it is open, or may come to be.
func (l *publishing) usable() bool {
	if l == nil {
		return false
	}
	select {
	case <-l.opened:
		return l.err == nil && !l.publisher.Lost()
	default:
		return true
	}
}

// open begins to replace the link; mu is held.
func (r *republisher) open() {
	old, l := r.link, &publishing{opened: make(chan struct{})}
	r.link = l
	again := old != nil && old.publisher != nil
	if again {
		r.tasks.Go(func() { _ = old.publisher.Close(r.life) }) // it is lost: there is no error worth telling
	}
	r.tasks.Go(func() {
		defer close(l.opened)
		l.publisher, l.err = broker.OpenPublisher(r.life, r.plan)
		if l.err == nil {
			r.logger.Debug().Bool("again", again).Msg("opened a connection to publish messages again")
		}
	})
}

// background runs f, for which close waits; it returns false once closed.
func (r *republisher) background(f func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.tasks.Go(f)
	}
	return !r.closed
}

// close ends the connection, gracefully within ctx. What is not confirmed by then returns an error.
func (r *republisher) close(ctx context.Context) {
	r.mu.Lock()
	r.closed = true
	l := r.link
	r.mu.Unlock()
	r.end()
	if l != nil {
		<-l.opened // soon: its context has ended
		if l.publisher != nil {
			_ = l.publisher.Close(ctx) // it is not needed any more, however it ended
		}
	}
	r.tasks.Wait()
}
