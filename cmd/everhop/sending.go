package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/publish"
)

// send passes a message on, and returns without waiting for its confirm.
type send func(context.Context, *broker.Message) (confirmation, error)

// confirmation is what is to come for a message; Wait returns nil when the broker has it.
type confirmation interface{ Wait(context.Context) error }

// sending is a message on its way to the broker.
type sending struct {
	number               int // in the input
	exchange, routingKey string
	confirm              confirmation
	err                  error // why it could not be sent
}

// tally is what became of the input.
type tally struct {
	confirmed int // messages
	next      int // the number of the first one that is not
	behind    int // how many of the confirmed ones are behind that
	unknown   int // how many others may be in the queue: they were sent
	whole     bool
}

// errStopped means that something ended publishing, and not the message or the input.
var errStopped = errors.New("stopped")

// publishAll publishes until the input or ctx ends, or something fails, and waits until it is known what became of each
// message. Without an error, all of the input is confirmed. failed is called when the first message fails, and must
// have ctx end.
//
//	input ──► ahead ──► publishEach ──► sent, in order ──► Wait
func publishAll(ctx context.Context, send send, in *input, pace *pace, failed func()) (tally, error) {
	sent := make(chan sending, publish.DefaultWindow)
	var inputErr error // to be read once sent is closed
	go func() {
		defer close(sent)
		inputErr = publishEach(ctx, send, in, pace, sent)
	}()

	t := tally{next: in.from}
	var first error
	for s := range sent {
		if s.err == nil {
			s.err = s.confirm.Wait(context.WithoutCancel(ctx)) // it is told in any case, once publishing has ended
		}
		switch {
		case s.err == nil && first == nil:
			t.confirmed++
			t.next = s.number + 1
			continue
		case s.err == nil:
			t.confirmed++
			t.behind++
		case errors.Is(s.err, publish.ErrNotKnown):
			t.unknown++
		}
		if first == nil {
			first = fmt.Errorf("%s: %w", in.label(s.number), withHint(s.err, s.exchange, s.routingKey))
			failed()
		}
	}
	t.whole = inputErr == nil
	switch {
	case first == nil:
		return t, inputErr
	case errors.Is(first, publish.ErrNotSent), errors.Is(first, publish.ErrNotKnown):
		return t, errStopped
	}
	return t, first
}

// publishEach passes on what is sent, until something cannot be; it returns nil at the end of the input.
func publishEach(ctx context.Context, send send, in *input, pace *pace, sent chan<- sending) error {
	bodies := readAhead(ctx, in.read)
	for number := in.from; ; number++ {
		read, err := bodies.next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return errStopped
		case err != nil:
			return err
		case in.isNothing(read):
			continue
		}
		message, err := in.message(read)
		if err != nil {
			return fmt.Errorf("%s: %w", in.label(number), err)
		}
		if pace.wait(ctx) != nil {
			return errStopped
		}
		s := sending{number: number, exchange: message.Exchange, routingKey: message.RoutingKey}
		s.confirm, s.err = send(ctx, &message)
		if errors.Is(s.err, publish.ErrNotSent) {
			return errStopped
		}
		sent <- s
		if s.err != nil {
			return nil // the error is in sent
		}
	}
}

// told adds to why not all of the input is confirmed, how much of it is, and where to go on.
func (t tally) told(err error, in *input) error {
	err = fmt.Errorf("%w; %s, %s is the first that is not", err, messagesConfirmed(uint64(t.confirmed)), in.label(t.next))
	if t.next > 1 {
		err = fmt.Errorf("%w (--from-line %d goes on there)", err, t.next)
	}
	if t.behind > 0 {
		err = fmt.Errorf("%w; %d behind it are confirmed, too", err, t.behind)
	}
	if t.unknown > 0 {
		err = fmt.Errorf("%w; from there on up to %d may be in the queue all the same: they were sent, and not confirmed", err, t.unknown)
	}
	return err
}
