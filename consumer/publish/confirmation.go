package publish

import (
	"context"
	"fmt"
	"time"

	"github.com/everhop/everhop/broker"
)

// Confirmation stands for what becomes of one message. Its methods may be called from any goroutine.
type Confirmation struct {
	ledger  *ledger
	message broker.Message
	id      string
	number  uint64
	size    int64
	target  *target

	accepted time.Time

	// Guarded by ledger.mu.
	way      way
	sent     bool // it was written, or is being written
	out      bool // on a lane, where it awaits its confirm
	returned bool
	inDoubt  bool  // it may be what the broker has ended a lane for
	left     bool  // nobody waits for it: it is not sent again
	deaths   int   // of connections while it was on trial
	fits     *lane // into a frame of which it fits, as far as is known

	room chan struct{} // closed when it is admitted; nil if that was at once
	done chan struct{} // closed when err is set
	err  error
}

// way is where a message is.
type way int

const (
	awaitsRoom way = iota // in the window
	onMain                // outgoing, or on the main lane
	onSide                // doubtful, or on a side lane or one that is aside
	behind                // held, behind those
)

// Done is closed when it is known what became of the message.
func (c *Confirmation) Done() <-chan struct{} { return c.done }

// Err is what Publish would return, and nil as long as Done is not closed.
func (c *Confirmation) Err() error {
	if c.isSettled() {
		return c.err
	}
	return nil
}

// Wait waits for Done and returns Err. When ctx ends first it returns ctx's cause; the message goes its way.
func (c *Confirmation) Wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Withdraw takes a message back, as far as that can be. If it was not sent, it is not sent any more, and the error wraps
// ErrNotSent and why. If it was, it goes its way as before, and the error wraps ErrNotKnown and why. If it is known what
// became of it, that is returned, which is nil for a message that was confirmed.
func (c *Confirmation) Withdraw(why error) error { return c.ledger.leave(c, why, false) }

func (c *Confirmation) isSettled() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// leave is for a caller who does not wait any longer. Its error says whether the message was sent. If it was, it goes its
// way unless it is to be dropped: then it is not sent again.
func (l *ledger) leave(c *Confirmation, why error, drop bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.isSettled() {
		return c.err
	}
	if !c.sent {
		err := fmt.Errorf("%w: %w", ErrNotSent, why)
		l.withdraw(c)
		l.settle(c, err)
		return err
	}
	err := fmt.Errorf("%w: %w", ErrNotKnown, why)
	switch {
	case !drop:
	case c.out:
		c.left = true
	default:
		l.withdraw(c)
		l.settle(c, err)
	}
	return err
}

// withdraw takes a message that is on no lane off its way.
func (l *ledger) withdraw(c *Confirmation) {
	switch c.way {
	case awaitsRoom:
		c.target.waiting.remove(c)
	case onMain:
		l.outgoing.remove(c)
	case onSide:
		l.doubtful.remove(c)
	case behind:
		c.target.held.remove(c)
	}
}
