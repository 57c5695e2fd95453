package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// Delivery is one message as the broker delivered it.
type Delivery = broker.Delivery

// Handler handles one delivery. A nil error acknowledges it; any other error, and a panic, puts it
// back into the queue after a pause, and is logged unless it is [Requeue]. The context lives as long
// as the handler may: it is cancelled when the grace period of a stop is over, not when the
// connection is lost.
//
// A message can be delivered more than once: when the connection is lost before its acknowledgement
// arrived at the broker, it comes again. Handlers must be idempotent.
type Handler func(ctx context.Context, d *Delivery) error

// dispatcher hands the deliveries of one subscription to its workers, and settles what they return.
// The workers live as long as the consumer runs, so that a revival never makes more of them.
type dispatcher struct {
	spec    Subscription
	counts  *counts
	logger  zerolog.Logger
	intake  <-chan struct{}    // closed: take no more
	stale   func(fsm.Evidence) // reports an acknowledgement that could not be sent
	jobs    chan job           // unbuffered: what no worker takes stays at the broker
	workers sync.WaitGroup
}

type job struct {
	delivery *Delivery
	consumer *broker.Consumer // the only one it can be settled through
}

func (d *dispatcher) start(ctx context.Context) {
	for range d.spec.Concurrency {
		d.workers.Go(func() { d.work(ctx) })
	}
}

// pump moves deliveries from one consumer to the workers until it is lost or intake ends.
func (d *dispatcher) pump(c *broker.Consumer) {
	for {
		delivery, ok := c.Receive(d.intake)
		if !ok {
			return
		}
		select {
		case d.jobs <- job{delivery, c}:
		case <-c.Lost():
			return
		case <-d.intake:
			return
		}
	}
}

func (d *dispatcher) work(ctx context.Context) {
	over := false
	defer func() {
		if !over { // the handler ended this goroutine (runtime.Goexit): another one takes its place
			d.workers.Go(func() { d.work(ctx) })
		}
	}()
	for {
		select {
		case <-d.intake:
			over = true
			return
		case j := <-d.jobs:
			d.handle(ctx, j)
		}
	}
}

func (d *dispatcher) handle(ctx context.Context, j job) {
	err := errGoexit
	defer func() { d.settle(j, err) }()
	err = d.call(ctx, j.delivery)
}

// call turns a panic into an error.
func (d *dispatcher) call(ctx context.Context, delivery *Delivery) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v\n%s", ErrPanic, r, debug.Stack())
		}
	}()
	return d.spec.Handler(ctx, delivery)
}

func (d *dispatcher) settle(j job, err error) {
	if err == nil {
		if err := j.consumer.Ack(j.delivery.DeliveryTag); err != nil {
			d.reportStale(j, "acknowledgement", err)
			return
		}
		d.counts.handled.Add(1)
		return
	}
	if !errors.Is(err, Requeue) {
		d.reportFailure(j, err)
	}
	pause := time.NewTimer(d.spec.RequeuePause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-j.consumer.Lost():
	case <-d.intake:
	}
	if err := j.consumer.Reject(j.delivery.DeliveryTag, true); err != nil {
		d.reportStale(j, "requeue", err)
	}
}

func (d *dispatcher) reportFailure(j job, err error) {
	d.counts.failed.Add(1)
	d.logger.Warn().Err(err).
		Str(fsm.FieldQueue, j.delivery.Queue).Uint64(fsm.FieldGeneration, j.delivery.Generation).
		Uint64("delivery_tag", j.delivery.DeliveryTag).Str("message_id", j.delivery.MessageID).
		Msgf("handler failed; the message goes back to the queue in %v", d.spec.RequeuePause)
}

func (d *dispatcher) reportStale(j job, what string, err error) {
	d.counts.stale.Add(1)
	d.stale(fsm.Evidence{
		Generation: j.delivery.Generation,
		Queue:      j.delivery.Queue,
		Error:      err.Error(),
		Note:       fmt.Sprintf("%s of delivery tag %d dropped", what, j.delivery.DeliveryTag),
	})
}
