package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/everhop/everhop/broker"
)

// sending is a message on its way to the broker.
type sending struct {
	number               int // in the input
	exchange, routingKey string
	confirm              confirmation
	err                  error // why it could not be sent
}

// publishAll publishes until the input or soft ends, or something fails, and waits for the confirms
// of what it has published. Without an error, all of the input is confirmed; with one, next is the number of what is
// the first in the input that is not.
//
//	input ──► ahead ──► publishEach ──► sent, in order ──► Wait
func publishAll(soft, hard context.Context, send send, in *input, pace *pace, confirmed *atomic.Int64) (next int, err error) {
	ctx, stop := context.WithCancel(soft)
	defer stop()
	sent := make(chan sending, broker.MaxUnconfirmed)
	var inputErr error // to be read once sent is closed
	go func() {
		defer close(sent)
		inputErr = publishEach(ctx, hard, send, in, pace, sent)
	}()

	next = in.from
	var failed error
	for s := range sent {
		if s.err == nil {
			s.err = s.confirm.Wait(hard)
		}
		switch {
		case failed != nil: // the first one says it
		case s.err == nil:
			confirmed.Add(1)
			next = s.number + 1
		default:
			failed = fmt.Errorf("%s: %w", in.label(s.number), withHint(s.err, s.exchange, s.routingKey))
			stop()
		}
	}
	switch {
	case failed != nil:
		return next, failed
	case inputErr != nil && soft.Err() != nil:
		return next, fmt.Errorf("stopped before the end of the input: %w", context.Cause(soft))
	}
	return next, inputErr
}

// publishEach passes on what is sent, until something cannot be; it returns nil at the end of the input.
func publishEach(ctx, hard context.Context, send send, in *input, pace *pace, sent chan<- sending) error {
	bodies := readAhead(ctx, in.read)
	for number := in.from; ; number++ {
		read, err := bodies.next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case in.isNothing(read):
			continue
		}
		message, err := in.message(read)
		if err != nil {
			return fmt.Errorf("%s: %w", in.label(number), err)
		}
		if err := pace.wait(ctx); err != nil {
			return err
		}
		s := sending{number: number, exchange: message.Exchange, routingKey: message.RoutingKey}
		s.confirm, s.err = send(hard, &message)
		sent <- s
		if s.err != nil {
			return nil // the error is in sent
		}
	}
}
