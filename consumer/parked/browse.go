package parked

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/broker"
)

var (
	// ErrStream means that the queue is a stream, and Config.StreamOffset is not set: nothing can be taken out of it.
	ErrStream = errors.New("parked: the queue is a stream")
	// ErrTooMany means that there are more messages than can be held at once: 256 times 65,535, or 256 times
	// Config.MaxMemory. Those at the front were looked at.
	ErrTooMany = errors.New("parked: the queue is too long: the rest was not looked at")
	// ErrElsewhere means that messages wait in the queue and are not delivered: it has a single active consumer, say.
	ErrElsewhere = errors.New("parked: messages wait in the queue, and it delivers none: it has a single active consumer, is a stream, or does not work")
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
	// Returned is how often one of the messages had come back to its quorum queue before, at most.
	Returned int
}

const (
	maxParts = 256
	// maxPart is how many deliveries may be unacknowledged before another basic.consume: what AMQP has 16 bits for.
	maxPart = math.MaxUint16
	// firstPart is how many are asked for while their size is not known.
	firstPart = 256
	// idle is after how long without a delivery the queue is asked whether there is any left.
	idle = time.Second
	// patience is for how long none may come while there are.
	patience = 10 * time.Second
	// around is what a message takes in memory beside its body, about.
	around = 1 << 10
	// closing is how long the end may take.
	closing = 15 * time.Second
	// comesBack is how long a quorum queue may take until it has taken back what was held, and recheck how often it is asked.
	comesBack = 2 * time.Second
	recheck   = 20 * time.Millisecond
)

// browser is one walk through the messages of a queue. They are taken in parts, each on a channel of its own: closing one
// after the other puts them back in order, also where a queue has no order among the consumers of one channel, as a quorum
// queue has none.
type browser struct {
	ctx     context.Context // ends with the connection, too
	config  Config
	session *broker.Session
	parts   []*part
	// returned: what came in last had come back to a quorum queue before.
	returned atomic.Bool
	tally    Tally

	seen   int64 // bytes of all that was looked at
	offset int64 // of the next message of a stream
}

// seer is called for each message that is meant. ack takes it out of the queue, at any time before the end.
type seer func(b *browser, e *Entry, ack func() error) error

// browse calls see for each message that waits and is meant, in the queue's order; none is acknowledged unless see does
// so. At the end it calls after, gives back what is not acknowledged, and disconnects.
func browse(ctx context.Context, config Config, see seer, after func(*browser) error) (Tally, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return Tally{}, err
	}
	plan, err := config.plan()
	if err != nil {
		return Tally{}, err
	}
	b := &browser{config: config}
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
	if err == nil && b.tally.Failed > 0 { // all was seen, and then the connection was lost
		err = context.Cause(ctx)
	}
	b.askLives(ctx)
	err = errors.Join(err, b.end(ctx))
	cancel(nil)
	close(ended)
	watch.Wait()
	return b.tally, err
}

// walk goes through what was there at the start, part by part.
func (b *browser) walk(ctx context.Context, see seer) error {
	left, err := b.length(ctx)
	if err == nil && left == 0 && b.isStream(ctx) { // whose length is told some seconds late
		err = ErrStream
	}
	if err != nil || left == 0 {
		return err
	}
	for left > 0 && err == nil {
		var n int
		n, err = b.take(ctx, left, see)
		left -= n
	}
	if err == nil || errors.Is(err, errDone) {
		err = b.keepOrder(ctx)
	}
	return err
}

// keepOrder takes more, of a quorum queue, which puts what comes back behind what has come back before. So all that has, is
// taken, and comes back in its order. What was never delivered is behind that.
func (b *browser) keepOrder(ctx context.Context) error {
	for b.returned.Load() && b.config.StreamOffset == nil {
		ready, err := b.session.QueueLength(ctx, b.config.Queue)
		if err != nil || ready == 0 {
			return err
		}
		if _, err = b.take(ctx, ready, nil); errors.Is(err, errDone) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

var (
	errDone   = errors.New("nothing more is wanted")
	errNoMore = errors.New("nothing more is delivered")
)

// room is how many messages of the size that they have so far there is memory for.
func (b *browser) room() int {
	most := int64(maxPart)
	if b.config.Every > 0 { // a part is held for some minutes: the broker's consumer_timeout is 30 by default
		most = min(most, max(1, int64(5*time.Minute/b.config.Every)))
	}
	if b.tally.Seen == 0 {
		return int(min(most, firstPart, max(1, b.config.MaxMemory/around)))
	}
	size := max(around, b.seen/int64(b.tally.Seen))
	return int(min(most, max(1, b.config.MaxMemory/size)))
}

// length is how many messages are to be looked at.
func (b *browser) length(ctx context.Context) (int, error) {
	if b.config.StreamOffset != nil { // whose messages are not counted
		if b.config.Count > 0 {
			return b.config.Count, nil
		}
		return math.MaxInt, nil
	}
	ready, err := b.session.QueueLength(ctx, b.config.Queue)
	if err != nil {
		return 0, err
	}
	b.tally.Waiting = ready
	if b.config.Count > 0 && b.config.Filter.matchesAll() { // do not take what would only be given back
		ready = min(ready, b.config.Count)
	}
	return ready, nil
}

func (b *browser) look(p *part, d *broker.Delivery, see seer) error {
	if _, stream := d.Headers["x-stream-offset"]; stream && b.config.StreamOffset == nil {
		return ErrStream
	}
	b.tally.Returned = max(b.tally.Returned, timesReturned(d))
	b.tally.Lives = max(b.tally.Lives, b.livesOf(d))
	b.offset = d.StreamOffset + 1
	b.tally.Seen++
	b.seen += sizeOf(d)
	e := NewEntry(d)
	if !b.config.Filter.Match(e) {
		return nil
	}
	b.tally.Matched++
	ack := func() error {
		p.awaitQuiet()
		err := p.consumer.Ack(d.DeliveryTag)
		if err == nil {
			p.acked.Add(1)
		}
		return err
	}
	if err := see(b, e, ack); err != nil {
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing+time.Duration(len(b.parts))*time.Second)
	defer cancel()
	var err error
	back, seen := 0, len(b.parts) > 0 && b.config.StreamOffset == nil && !b.session.Lost()
	if seen {
		var unseen error
		back, unseen = b.session.QueueLength(ctx, b.config.Queue)
		seen = unseen == nil
	}
	for _, p := range b.parts {
		if b.session.Lost() {
			break // and what was lost by that has been told
		}
		if b.nackSparesLives() {
			_ = p.consumer.NackAll()
		}
		if closed := p.consumer.Close(ctx); closed != nil {
			err = errors.Join(err, closed)
			continue
		}
		back += int(p.arrived.Load() - p.acked.Load())
		seen = seen && b.isBack(ctx, back)
	}
	_ = b.session.Close(ctx)
	return err
}

// isBack waits until so many messages wait in the queue again. A quorum queue takes back what was held a moment after the
// channel is closed: the next part must not come before it, and who looks again at once would find the end of it first. It
// is false if that is not to be seen, since others consume.
func (b *browser) isBack(ctx context.Context, messages int) bool {
	for waited := time.Duration(0); waited < comesBack; waited += recheck {
		ready, err := b.session.QueueLength(ctx, b.config.Queue)
		if err != nil || ready >= messages {
			return err == nil
		}
		time.Sleep(recheck)
	}
	return false
}
