package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/everhop/everhop/consumer"
)

// limit lets handle succeed n times and no more, then calls reached. Up to n deliveries are with
// handle at once; any further one waits, since one of those may fail:
//
//	n = 2    A ── handle ── nil
//	         B ── handle ── error: back to the queue, and its place is free
//	         C ── waits ─── takes the place ── nil: reached
//	         D ── waits ─── stopping: back to the queue, untried
//
// stopping must be closed when the consumer stops for whatever reason, or D would keep it.
func limit(n int, handle consumer.Handler, reached func(), stopping <-chan struct{}) consumer.Handler {
	places := make(chan struct{}, n) // of size 0 each
	var handled atomic.Int64
	return func(ctx context.Context, d *consumer.Delivery) error {
		select {
		case places <- struct{}{}:
		case <-stopping:
			return errBeyondCount
		case <-ctx.Done():
			return errBeyondCount
		}
		if err := handle(ctx, d); err != nil {
			<-places
			return err
		}
		if handled.Add(1) == int64(n) {
			reached()
		}
		return nil
	}
}

var errBeyondCount = fmt.Errorf("beyond --count: %w", consumer.Requeue)
