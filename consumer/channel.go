package consumer

import (
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/consumer/internal/ack"
)

// source is a channel that is consumed: a *broker.Consumer, or a model of one in tests.
type source interface {
	ack.Channel
	Receive(stop <-chan struct{}) (*Delivery, bool)
	Waiting() (deliveries int, tag uint64, since time.Time)
	Lost() <-chan struct{}
}

// channel is a source, and the acknowledger of what it has delivered. It is nil before the first one.
type channel struct {
	source source
	acks   *ack.Acknowledger
	kind   *queueKind
	begins atomic.Uint64 // the tag from which on deliveries are of the current basic.consume
	// forgotten: what no handler has begun with comes again.
	forgotten atomic.Bool
}

func (d *dispatcher) newChannel(s source, prefetch int, from *int64) *channel {
	o := ack.Options{
		Prefetch:     prefetch,
		Each:         d.spec.AckEach,
		From:         from,
		CommitPause:  d.spec.RequeuePause,
		Acknowledged: func(deliveries int) { d.env.counts.acknowledged.Add(uint64(deliveries)) },
		Stale:        d.calls.stale,
	}
	if d.spec.Commit != nil {
		o.Commit = d.calls.commit
	}
	if d.spec.OnSettled != nil {
		o.Settled = d.calls.settled
	}
	return &channel{source: s, acks: ack.New(s, o), kind: &d.kind}
}

// lost tells whether nothing more will come. What is with a handler may still be settled.
func (c *channel) lost() bool { return isLost(c.source) }

// gone tells whether nothing of it is to be begun with: it comes again.
func (c *channel) gone() bool { return c.forgotten.Load() || c.lost() }

// begin notes that what comes from now on is of another basic.consume. Nothing may come meanwhile.
func (c *channel) begin(s source) {
	if c == nil || c.source != s {
		return
	}
	next := c.acks.Next()
	if n, first, _ := c.source.Waiting(); n > 0 {
		next = max(next, first+uint64(n))
	}
	c.begins.Store(next)
}

// fit says how many deliveries may be outstanding now.
func (c *channel) fit(prefetch int) {
	if c != nil {
		c.acks.Fit(prefetch)
	}
}

// flush sends all acknowledgements that are waiting.
func (c *channel) flush() {
	if c != nil {
		c.acks.Flush()
	}
}

// offset is where a stream goes on after this channel. nil means where the subscription says, and 0 is an offset like
// any other.
func (c *channel) offset() *int64 {
	if c == nil || !c.kind.isStream() {
		return nil
	}
	return c.acks.Offset()
}

// backlog is what a channel has delivered that is not settled.
type backlog struct {
	unreceived int       // by any worker
	held       int       // received; their handlers have not finished
	finished   int       // and these wait to be acknowledged
	oldest     uint64    // the delivery tag of the one that came first; 0: there is none
	since      time.Time // it is there
}

func (b backlog) all() int { return b.unreceived + b.held + b.finished }

func (b backlog) unfinished() int { return b.unreceived + b.held }

// hasWaited tells whether the first one has waited for so long.
func (b backlog) hasWaited(long time.Duration) bool {
	return b.all() > 0 && time.Since(b.since) >= long
}

func (c *channel) look() (b backlog) {
	if c == nil {
		return b
	}
	b.unreceived, b.oldest, b.since = c.source.Waiting()
	var first ack.Item
	if b.held, b.finished, first = c.acks.Look(); first.Tag > 0 {
		b.oldest, b.since = first.Tag, first.ReceivedAt
	}
	return b
}
