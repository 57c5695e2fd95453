package parked

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/broker"
)

var (
	// ErrStream means that a message came from a stream, and Config.StreamOffset is not set: nothing can be taken out of it.
	ErrStream = errors.New("parked: the queue is a stream")
	// ErrElsewhere means that messages wait in the queue and are not delivered: it has a single active consumer, say.
	ErrElsewhere = errors.New("parked: messages wait in the queue, and it delivers none: it has a single active consumer, or does not work")
)

// Tally is how far a call has come.
type Tally struct {
	// Waiting is how many messages there were when it began.
	Waiting int
	// Seen is how many of those it has looked at, Matched how many are meant.
	Seen, Matched int
	// Done is how many were retried or discarded, Failed how many could not be.
	Done, Failed int
	// Lives tells whether the look has cost what was looked at one of its lives.
	Lives Lives
}

// Lives is what looking costs the messages of a queue.
type Lives int

const (
	// LivesUnknown: nothing tells whether it is a quorum queue, since no message has come back before.
	LivesUnknown Lives = iota
	// LivesKept: it is no quorum queue, or the broker counts no look (from RabbitMQ 4.3 on).
	LivesKept
	// LivesSpent: it is a quorum queue, and each message that was looked at and stays has come back once more.
	LivesSpent
)

const (
	// maxPart is how many deliveries may be unacknowledged before another basic.consume: what AMQP has 16 bits for.
	maxPart = math.MaxUint16
	// idle is after how long without a delivery the queue is asked whether there is any left.
	idle = time.Second
	// patience is for how long none may come while there are.
	patience = 10 * time.Second
	// around is what a message takes in memory beside its body, about.
	around = 1 << 10
	// closing is how long the end may take.
	closing = 15 * time.Second
)

// browser is one walk through the messages of a queue.
type browser struct {
	ctx      context.Context // ends with the connection, too
	config   Config
	session  *broker.Session
	consumer *broker.Consumer
	tally    Tally

	asked   atomic.Int64 // deliveries, with all basic.consume
	arrived atomic.Int64
	waiting atomic.Int64 // bytes
	enough  chan struct{}

	offset int64 // of the next message of a stream
}

// browse calls see for each message that waits and is meant, in the queue's order; none is acknowledged unless see does
// so. At the end it calls after, gives back what is not acknowledged, and disconnects.
func browse(ctx context.Context, config Config, see func(*browser, *Entry) error, after func(*browser) error) (Tally, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return Tally{}, err
	}
	plan, err := config.plan()
	if err != nil {
		return Tally{}, err
	}
	b := &browser{config: config, enough: make(chan struct{}, 1)}
	if b.session, err = broker.Open(ctx, plan, 1, 0); err != nil {
		return Tally{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	b.ctx = ctx
	var watch sync.WaitGroup
	ended := make(chan struct{})
	watch.Go(func() {
		for {
			select {
			case l := <-b.session.Losses():
				cancel(l.Err)
			case <-ended:
				return
			}
		}
	})
	err = b.walk(ctx, see)
	if after != nil {
		err = errors.Join(err, after(b))
	}
	err = errors.Join(err, b.end(ctx))
	cancel(nil)
	close(ended)
	watch.Wait()
	return b.tally, err
}

// walk goes through what was there at the start, part by part.
func (b *browser) walk(ctx context.Context, see func(*browser, *Entry) error) error {
	left, err := b.length(ctx)
	if err != nil || left == 0 {
		return err
	}
	for left > 0 {
		part := min(left, maxPart)
		n, err := b.part(ctx, part, see)
		if err != nil {
			if errors.Is(err, errDone) {
				return nil
			}
			return err
		}
		left -= n
	}
	return nil
}

var (
	errDone    = errors.New("nothing more is wanted")
	errDrained = errors.New("nothing more is delivered")
)

// length is how many messages are to be looked at.
func (b *browser) length(ctx context.Context) (int, error) {
	if b.config.StreamOffset != nil { // whose messages are not counted
		if b.config.Count > 0 {
			return b.config.Count, nil
		}
		return math.MaxInt, nil
	}
	ready, _, err := b.session.QueueLength(ctx, b.config.Queue)
	if err != nil {
		return 0, err
	}
	b.tally.Waiting = ready
	if b.config.Count > 0 && b.config.Filter.matchesAll() { // do not take what would only be given back
		ready = min(ready, b.config.Count)
	}
	return ready, nil
}

// part subscribes for so many messages, and looks at those that come. It returns fewer if their memory is used up.
func (b *browser) part(ctx context.Context, messages int, see func(*browser, *Entry) error) (n int, err error) {
	if err := b.subscribe(ctx, messages); err != nil {
		return 0, err
	}
	// More than were asked for would come when some are acknowledged, and more than fits when they come faster than
	// they are dealt with.
	over := make(chan struct{})
	var canceller sync.WaitGroup
	var cancelled atomic.Bool
	var failure error
	canceller.Go(func() {
		select {
		case <-b.enough:
			cancelled.Store(true)
			failure = b.consumer.Cancel(ctx)
		case <-over:
		}
	})
	for err == nil && n < messages {
		var d *broker.Delivery
		if d, err = b.receive(ctx, &cancelled); err != nil {
			break
		}
		n++
		err = b.look(d, see)
		b.waiting.Add(-sizeOf(d))
	}
	close(over)
	canceller.Wait()
	switch {
	case errors.Is(err, errDrained) && n > 0 && failure == nil:
		err = nil // and there is room again
	case errors.Is(err, errDrained):
		err = failure
		if err == nil {
			err = errDone
		}
	case err == nil && !cancelled.Load():
		err = b.consumer.Cancel(ctx)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return n, err
}

func (b *browser) subscribe(ctx context.Context, messages int) (err error) {
	select {
	case <-b.enough: // of the part before
	default:
	}
	b.asked.Store(b.arrived.Load() + int64(messages))
	in := broker.Intake{Prefetch: messages}
	if b.consumer != nil {
		if b.config.StreamOffset != nil {
			in.StreamOffset = &b.offset
		}
		return b.consumer.Resume(ctx, in)
	}
	in.Arrived = func(d *broker.Delivery, _ int64) {
		waiting := b.waiting.Add(sizeOf(d))
		if b.arrived.Add(1) >= b.asked.Load() || waiting >= b.config.MaxMemory {
			select {
			case b.enough <- struct{}{}:
			default:
			}
		}
	}
	b.consumer, err = b.session.Consume(ctx, 0, in)
	return err
}

func sizeOf(d *broker.Delivery) int64 { return int64(len(d.Body)) + around }

// receive waits for the next message. It returns errDrained when the consumer was cancelled and all is received, and
// errDone when the queue has none left: others have taken them, or their time was over.
func (b *browser) receive(ctx context.Context, cancelled *atomic.Bool) (*broker.Delivery, error) {
	empty := 0
	for waited := time.Duration(0); ; waited += idle {
		quiet, stop := context.WithTimeout(ctx, idle)
		d, ok := b.consumer.Receive(quiet.Done())
		inTime := quiet.Err() == nil
		stop()
		switch {
		case ok:
			return d, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case inTime && cancelled.Load():
			return nil, errDrained
		case inTime: // lost, of which the session is about to tell
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-time.After(idle):
				return nil, fmt.Errorf("parked: the consumer of queue %q is gone", b.config.Queue)
			}
		case b.config.StreamOffset != nil:
			return nil, errDone
		}
		ready, _, err := b.session.QueueLength(ctx, b.config.Queue)
		switch {
		case err != nil:
			return nil, err
		case ready > 0 && waited >= patience:
			return nil, ErrElsewhere
		case ready > 0:
			empty = 0
		default:
			if empty++; empty > 1 { // what was on its way has come meanwhile
				return nil, errDone
			}
		}
	}
}

func (b *browser) look(d *broker.Delivery, see func(*browser, *Entry) error) error {
	if _, stream := d.Headers["x-stream-offset"]; stream && b.config.StreamOffset == nil {
		return ErrStream
	}
	b.tally.Lives = max(b.tally.Lives, b.livesOf(d))
	b.offset = d.StreamOffset + 1
	b.tally.Seen++
	e := NewEntry(d)
	if !b.config.Filter.Match(e) {
		return nil
	}
	b.tally.Matched++
	if err := see(b, e); err != nil {
		return err
	}
	if b.config.Count > 0 && b.tally.Matched >= b.config.Count {
		return errDone
	}
	return nil
}

// end gives back what is not acknowledged. It is told to the broker behind all acknowledgements, and answered when
// they have been dealt with.
func (b *browser) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	var err error
	if b.consumer != nil && !b.session.Lost() {
		if b.nackSparesLives() {
			_ = b.consumer.Cancel(ctx) // or they would come again
			_ = b.consumer.NackAll()
		}
		err = b.consumer.Close(ctx)
	}
	_ = b.session.Close(ctx)
	return err
}

// livesOf is what one delivery tells.
func (b *browser) livesOf(d *broker.Delivery) Lives {
	_, counted := d.Headers["x-delivery-count"]
	switch {
	case b.config.StreamOffset != nil, b.nackSparesLives():
		return LivesKept
	case counted:
		return LivesSpent
	case d.Redelivered:
		return LivesKept
	}
	return LivesUnknown
}

// nackSparesLives tells whether it costs no life of a message of a quorum queue: from RabbitMQ 4.3 on.
func (b *browser) nackSparesLives() bool {
	major, minor := b.session.ServerVersion()
	return b.config.StreamOffset == nil && (major > 4 || major == 4 && minor >= 3)
}
