package parked

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
)

var (
	// ErrNoOrigin means that no header tells from which queue a message came.
	ErrNoOrigin = errors.New("parked: no header tells from which queue it came")
	// ErrIncomplete means that a message could not be read as a whole, and would be another one if it was published again.
	ErrIncomplete = errors.New("parked: its properties could not be read")
)

// Retry publishes messages to the queues from which they came: persistent, mandatory, through the default exchange, in
// order. When the broker has confirmed one, it is acknowledged. told, unless it is nil, is called for each message that is
// meant, one after the other: with nil when it is retried, else with the reason why it stays. That is one wrapping
// broker.ErrUnroutable if its queue is not there any more.
//
// The message has its properties and headers, without those that a consumer of Everhop has added and without x-death: its
// handler has all attempts. Some stay, or come back:
//   - x-everhop-exchange and x-everhop-routing-key, unless they say the same as the copy's own, and
//     x-everhop-first-failed: what it was published with, and its history;
//   - expiration has its value again if a consumer of Everhop took it off, and begins anew; "0" stays in its header, since a
//     queue would drop the message;
//   - user-id has its value again if that is Config.User; another one stays in x-everhop-user-id, since the broker
//     would refuse it;
//   - CC stays in x-everhop-cc, since the broker would send copies again.
//
// When ctx ends nothing more is published, and what is on its way is waited for, for some seconds.
func Retry(ctx context.Context, config Config, told func(*Entry, error)) (Tally, error) {
	if config.StreamOffset != nil {
		return Tally{}, ErrStream
	}
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return Tally{}, err
	}
	p, err := publish.New(publish.Config{
		URLs: config.URLs, Name: config.Name, Credentials: config.Credentials, TLS: config.TLS, Dial: config.Dial,
		Logger: config.Logger,
	})
	if err != nil {
		return Tally{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		if err := p.Run(context.WithoutCancel(ctx)); err != nil {
			cancel(err)
		}
	}()
	if told == nil {
		told = func(*Entry, error) {}
	}
	r := &retrying{config: config, publisher: p, told: told, pending: make(chan sent, onTheWay), settled: make(chan struct{})}
	tally, err := browse(ctx, config, r.send, r.finish)
	hurried, hurry := context.WithCancel(context.Background())
	hurry() // nothing is waited for any more
	_ = p.Stop(hurried)
	<-ran
	return tally, err
}

const (
	// onTheWay is how many messages await their confirm.
	onTheWay = 256
	// confirms is how long those are waited for when ctx has ended.
	confirms = 5 * time.Second
)

// retrying publishes in one goroutine, and settles in another one what is confirmed, in order.
type retrying struct {
	config    Config
	publisher *publish.Publisher
	told      func(*Entry, error)
	pending   chan sent
	settled   chan struct{} // closed when all of pending is settled
	began     bool
	next      time.Time // when the next one may be published

	done, failed int   // the settler's, until settled
	err          error // that of an acknowledgement
}

type sent struct {
	entry   *Entry
	ack     func() error
	confirm *publish.Confirmation
	err     error // why it was not sent
}

func (r *retrying) send(b *browser, e *Entry, ack func() error) error {
	if !r.began {
		r.began = true
		go r.settle(b)
	}
	m, err := Again(e, r.config.User)
	if err == nil && m.RoutingKey == r.config.Queue {
		err = fmt.Errorf("parked: it came from this queue, %q, itself", m.RoutingKey)
	}
	if err != nil {
		r.pending <- sent{entry: e, err: err}
		return nil
	}
	if err := r.pace(b.ctx); err != nil {
		return err
	}
	confirm, err := r.publisher.Send(b.ctx, &m)
	r.pending <- sent{e, ack, confirm, err}
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	return nil
}

func (r *retrying) pace(ctx context.Context) error {
	if r.config.Every == 0 {
		return nil
	}
	if wait := time.Until(r.next); wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	r.next = time.Now().Add(r.config.Every)
	return nil
}

func (r *retrying) settle(b *browser) {
	defer close(r.settled)
	late, end := context.WithCancelCause(context.WithoutCancel(b.ctx))
	defer end(nil)
	defer context.AfterFunc(b.ctx, func() {
		if !b.session.Lost() { // else nothing can be acknowledged any more
			select {
			case <-time.After(confirms):
			case <-late.Done():
			}
		}
		end(context.Cause(b.ctx))
	})()
	for s := range r.pending {
		err := s.err
		if err == nil {
			err = await(late, s.confirm)
		}
		if err == nil {
			if err = s.ack(); err != nil {
				err = fmt.Errorf("parked: it was published, and is in this queue, too: %w", err)
				r.err = err
			}
		}
		if err == nil {
			r.done++
		} else {
			r.failed++
		}
		r.told(s.entry, err)
	}
}

// await waits for a confirm. What was not sent when late ends is not sent any more.
func await(late context.Context, confirm *publish.Confirmation) error {
	select {
	case <-confirm.Done():
		return confirm.Err()
	case <-late.Done():
		return confirm.Withdraw(context.Cause(late))
	}
}

func (r *retrying) finish(b *browser) error {
	if r.began {
		close(r.pending)
		<-r.settled
	}
	b.tally.Done, b.tally.Failed = r.done, r.failed
	return r.err
}

// takenOff are the headers that a retried message does not have.
var takenOff = []string{
	consumer.HeaderAttempts, consumer.HeaderError, consumer.HeaderLastFailed, consumer.HeaderQueue, consumer.HeaderOriginQueue,
	consumer.HeaderParkingQueue,
	consumer.HeaderHost, consumer.HeaderSaved, broker.HeaderPublishID,
}

// Again is the message as [Retry] publishes it. The user is that of the connection.
func Again(e *Entry, user string) (broker.Message, error) {
	d := e.Message
	if _, raw := d.Headers[consumer.HeaderRaw]; raw || d.Unreadable != nil {
		return broker.Message{}, ErrIncomplete
	}
	if e.From == "" {
		return broker.Message{}, ErrNoOrigin
	}
	h := consumer.CarriedHeaders(d.Headers)
	for _, name := range takenOff {
		delete(h, name)
	}
	if text(h, consumer.HeaderExchange) == "" && text(h, consumer.HeaderRoutingKey) == e.From {
		delete(h, consumer.HeaderExchange)
		delete(h, consumer.HeaderRoutingKey)
	}
	m := broker.Message{
		RoutingKey: e.From, Body: d.Body, Headers: h,
		ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, Priority: d.Priority,
		CorrelationID: d.CorrelationID, ReplyTo: d.ReplyTo, Expiration: d.Expiration,
		MessageID: d.MessageID, NoMessageID: d.MessageID == "", Timestamp: d.Timestamp, NoTimestamp: d.Timestamp.IsZero(),
		Type: d.Type, AppID: d.AppID,
	}
	if original := text(h, consumer.HeaderExpiration); lives(original) {
		m.Expiration = original
		delete(h, consumer.HeaderExpiration)
	}
	from := text(h, consumer.HeaderUserID)
	if from == "" {
		from = d.UserID
	}
	delete(h, consumer.HeaderUserID)
	switch from {
	case "":
	case user:
		m.UserID = from
	default:
		h[consumer.HeaderUserID] = from
	}
	return m, nil
}

// lives tells whether a message with that expiration may wait in a queue at all, and the broker takes it.
func lives(expiration string) bool {
	n, err := strconv.ParseUint(expiration, 10, 32)
	return err == nil && n > 0
}
