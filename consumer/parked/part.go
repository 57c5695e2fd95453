package parked

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/broker"
)

// part is a consumer that has asked for some of the messages.
type part struct {
	consumer  *broker.Consumer
	arrived   atomic.Int64
	waiting   atomic.Int64 // bytes
	acked     atomic.Int64
	enough    chan struct{}
	cancelled atomic.Bool
	quiet     chan struct{} // closed when the broker delivers nothing more
}

// awaitQuiet waits until the broker delivers nothing more. Only then may something of the part be acknowledged: it makes room,
// so more is delivered, and what of that is on its way when the consumer is cancelled comes back behind what the next part has
// taken. A quorum queue would lose its order. If fewer messages come than were asked for, the part ends after a second.
func (p *part) awaitQuiet() {
	select {
	case <-p.quiet:
		return
	case <-time.After(idle):
	}
	p.end()
	<-p.quiet
}

// end has the consumer cancelled.
func (p *part) end() {
	select {
	case p.enough <- struct{}{}:
	default:
	}
}

// take subscribes for a part of what is left, and looks at all that comes.
func (b *browser) take(ctx context.Context, left int, see seer) (n int, err error) {
	p, err := b.subscribe(ctx, min(left, b.room()))
	if err != nil {
		return 0, err
	}
	// More than fits comes when they are larger than those before.
	over := make(chan struct{})
	var canceller sync.WaitGroup
	var failure error
	canceller.Go(func() {
		select {
		case <-p.enough:
		case <-over:
		}
		p.cancelled.Store(true)
		failure = p.consumer.Cancel(context.WithoutCancel(ctx)) // or nothing could be acknowledged any more
		close(p.quiet)
	})
	for err == nil && n < left {
		var d *broker.Delivery
		if d, err = b.receive(ctx, p); err != nil {
			break
		}
		n++
		if see != nil {
			err = b.look(p, d, see)
		}
		p.waiting.Add(-sizeOf(d))
	}
	close(over)
	canceller.Wait()
	noMore := errors.Is(err, errNoMore)
	switch {
	case (noMore || err == nil) && failure != nil:
		err = failure
	case noMore && int64(n) < p.arrived.Load(): // the rest was dropped
		err = b.gone(ctx)
	case noMore && n == 0:
		err = errDone
	case noMore:
		err = nil
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return n, err
}

// subscribe begins a part.
func (b *browser) subscribe(ctx context.Context, messages int) (*part, error) {
	if len(b.parts) == maxParts {
		return nil, ErrTooMany
	}
	p := &part{enough: make(chan struct{}, 1), quiet: make(chan struct{})}
	in := broker.Intake{Prefetch: messages, Arrived: func(d *broker.Delivery, _ int64) {
		b.returned.Store(timesReturned(d) > 0 || number(d.Headers, "x-acquired-count") > 0) // the latter from 4.3 on
		waiting := p.waiting.Add(sizeOf(d))
		if p.arrived.Add(1) >= int64(messages) || waiting >= b.config.MaxMemory {
			p.end()
		}
	}}
	if b.config.StreamOffset != nil && len(b.parts) > 0 {
		in.StreamOffset = &b.offset
	}
	var err error
	if p.consumer, err = b.session.Consume(ctx, len(b.parts), in); err != nil {
		return nil, err
	}
	b.parts = append(b.parts, p)
	return p, nil
}

func sizeOf(d *broker.Delivery) int64 { return int64(len(d.Body)) + around }

// receive waits for the next message. It returns errNoMore when the consumer was cancelled and all is received, and
// errDone when the queue has none left: others have taken them, or their time was over.
func (b *browser) receive(ctx context.Context, p *part) (*broker.Delivery, error) {
	empty := 0
	for waited := time.Duration(0); ; waited += idle {
		quiet, stop := context.WithTimeout(ctx, idle)
		d, ok := p.consumer.Receive(quiet.Done())
		inTime := quiet.Err() == nil
		stop()
		switch {
		case ok:
			return d, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case inTime && p.cancelled.Load():
			return nil, errNoMore
		case inTime:
			return nil, b.gone(ctx)
		case b.config.StreamOffset != nil:
			return nil, errDone
		}
		ready, err := b.session.QueueLength(ctx, b.config.Queue)
		switch {
		case err != nil:
			return nil, err
		case ready > 0 && waited >= patience:
			return nil, ErrElsewhere
		case ready > 0 && waited == 0 && b.tally.Seen == 0 && b.isStream(ctx):
			return nil, ErrStream
		case ready > 0:
			empty = 0
		default:
			if empty++; empty > 1 { // what was on its way has come meanwhile
				return nil, errDone
			}
		}
	}
}

// gone is the error for a consumer that is lost, of which the session is about to tell.
func (b *browser) gone(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(idle):
		return fmt.Errorf("parked: the consumer of queue %q is gone", b.config.Queue)
	}
}
