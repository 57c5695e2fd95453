package consumer

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/publish"
)

// republisher publishes messages again: into a parking queue, or so that they come back later. It does so with the
// consumer's publisher, which has a connection of its own, since under an alarm RabbitMQ stops reading from a connection
// that publishes, and acknowledgements must not wait behind that.
//
// Every message is persistent and mandatory, and its confirm is waited for, through outages and alarms, as long as ctx
// permits. So whoever is told nil may acknowledge the original; with any error the original must be put back. It may be
// there twice then, as it may be when its confirm was lost with a connection. Methods may be called from any goroutine.
type republisher struct {
	sending *sending
	left    *leftCopies
	logger  zerolog.Logger
	host    string
}

func newRepublisher(sending *sending, logger zerolog.Logger) *republisher {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &republisher{sending: sending, left: newLeftCopies(), logger: logger, host: host}
}

// ready waits until messages can be published.
func (r *republisher) ready(ctx context.Context) { _ = r.sending.begin().Ready(ctx) }

// park publishes the message into the parking queue; when it returns nil, the broker has confirmed it. The
// queue is used as it is, with whatever arguments; where there is none, a durable one is declared, of the
// virtual host's default type.
func (r *republisher) park(ctx context.Context, d *Delivery, queue string, why failure) error {
	why.parkedIn = queue
	err := r.copy(ctx, d, queue, why, nothingNew)
	if !errors.Is(err, broker.ErrUnroutable) {
		return err
	}
	err = r.sending.begin().DeclareQueue(ctx, queue, broker.QueueOptions{Durable: true})
	switch class, _ := broker.Classify(err); {
	case err == nil:
		r.logger.Info().Str(FieldQueue, queue).Msg("declared the parking queue, which was missing")
	case class != broker.Precondition: // which says that somebody else just declared it, otherwise
		return err
	}
	return r.copy(ctx, d, queue, why, nothingNew)
}

// copy publishes the message into a queue, with as many of our headers as fit, and no fewer than least.
func (r *republisher) copy(ctx context.Context, d *Delivery, queue string, why failure, least detail) error {
	for much := everything; ; much++ {
		m := copyOf(d, r.headers(d, why, much))
		m.RoutingKey = queue
		err := r.send(ctx, d, &m)
		switch {
		case errors.Is(err, broker.ErrHeaderTooLarge) && much < least: // nothing was sent
			continue
		case err == nil && much > everything:
			r.logger.Warn().Str(FieldQueue, queue).Str("message_id", d.MessageID).
				Msgf("the headers of a message leave no room in a frame: it was published with %v", much)
		}
		return err
	}
}

// send waits for the confirm. If a copy of the message was sent before, and left, it waits for that of this one.
func (r *republisher) send(ctx context.Context, d *Delivery, m *broker.Message) error {
	of := r.left.keyOf(d, m.RoutingKey)
	for {
		var sent *publish.Confirmation
		if d.Redelivered {
			sent = r.left.take(of)
		}
		taken := sent != nil
		if !taken {
			var err error
			if sent, err = r.sending.begin().Send(ctx, m); err != nil {
				return err
			}
		}
		select {
		case <-sent.Done():
			if err := sent.Err(); err == nil || !taken {
				return err
			}
			continue
		case <-ctx.Done():
		}
		err := sent.Withdraw(context.Cause(ctx))
		if errors.Is(err, publish.ErrNotKnown) {
			r.left.put(of, sent)
		}
		return err
	}
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
	// A message that is confirmed later may have come too late for the lease.
	ctx, cancel := context.WithTimeout(ctx, delayLease/2)
	defer cancel()
	// RabbitMQ deletes an expired queue with what is in it, and to publish is not to use it; to declare
	// it again renews the lease (https://www.rabbitmq.com/docs/ttl#queue-ttl). Hence before every
	// message: so the queue always outlives it.
	if err := r.sending.begin().DeclareQueue(ctx, queue, options); err != nil {
		return err
	}
	return r.copy(ctx, d, queue, why, essentials) // it must count its attempts
}

// postpone publishes the message to the end of its queue; when it returns nil, the broker has confirmed it.
func (r *republisher) postpone(ctx context.Context, d *Delivery, why failure) error {
	return r.copy(ctx, d, d.Queue, why, essentials)
}

// copyOf is the delivery as it is published again: with all its properties, but those that would hurt.
func copyOf(d *Delivery, headers map[string]any) broker.Message {
	return broker.Message{
		Body:            d.Body,
		Headers:         headers,
		ContentType:     d.ContentType,
		ContentEncoding: d.ContentEncoding,
		Priority:        d.Priority,
		CorrelationID:   d.CorrelationID,
		ReplyTo:         d.ReplyTo,
		MessageID:       d.MessageID,
		NoMessageID:     d.MessageID == "",
		Timestamp:       d.Timestamp,
		NoTimestamp:     d.Timestamp.IsZero(),
		Type:            d.Type,
		AppID:           d.AppID,
	}
}
