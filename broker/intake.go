package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Intake says how a subscription is consumed. The zero value means: at once, and as the plan says.
type Intake struct {
	// Prefetch is how many deliveries of this basic.consume may be unacknowledged at once: up to 65535.
	// 0 means the plan's. A stream delivers whole chunks, and may exceed it by one.
	Prefetch int
	// Paused only opens the channel and puts the topology in place: subscribe with Resume, which does
	// not look at this.
	Paused bool
	// StreamOffset is where in a stream to begin, instead of at what x-stream-offset of the plan's
	// Arguments says. nil means as those say; 0 is an offset like any other. The message at it is the
	// first that is delivered, and waited for if need be. A queue of another type refuses it (406).
	StreamOffset *int64
	// Apart, if set, is shown each delivery that has an x-delivery-count, as those of quorum queues have, as soon as it
	// comes in, and returns true for those that it takes: Receive does not return them. It is called by the
	// connection's reader, so it must return at once and may call nothing of this connection. Consume looks at it,
	// Resume does not.
	Apart func(*Consumer, *Delivery) bool
	// Arrived, if set, is told of every other delivery as soon as it has come in, and about how many bytes of memory
	// it takes. That is before Receive returns it; of what came before the answer to Cancel, it is before Cancel
	// returns. It must keep and change nothing of the delivery, and must not wait: the connection's reader calls it.
	// Consume looks at it, Resume does not.
	Arrived func(d *Delivery, bytes int64)
}

// memoryOf is about what a delivery takes of memory, with a header of so many bytes on the wire: what stands there
// in a few bytes becomes strings, interfaces and places in a map.
func memoryOf(d *Delivery, header int64) int64 {
	const fields, decoded = 512, 4
	if d.Unreadable != nil {
		header = int64(len(d.Unreadable.RawHeader))
	}
	return int64(cap(d.Body)) + fields + decoded*header
}

func (in Intake) validate() error {
	var problems []error
	if in.Prefetch < 0 || in.Prefetch > maxPrefetch {
		problems = append(problems, fmt.Errorf("Intake.Prefetch: %d is not between 0 and %d", in.Prefetch, maxPrefetch))
	}
	if in.StreamOffset != nil && *in.StreamOffset < 0 {
		problems = append(problems, fmt.Errorf("Intake.StreamOffset: %d is negative", *in.StreamOffset))
	}
	return errors.Join(problems...)
}

func (in Intake) prefetch(spec Subscription) int {
	if in.Prefetch != 0 {
		return in.Prefetch
	}
	return spec.Prefetch
}

// arguments are those of basic.consume. The plan's own are the caller's, and stay as they are.
func (in Intake) arguments(spec Subscription) map[string]any {
	if in.StreamOffset == nil {
		return spec.Arguments
	}
	arguments := map[string]any{}
	maps.Copy(arguments, spec.Arguments)
	arguments["x-stream-offset"] = *in.StreamOffset
	return arguments
}

var errSubscribed = errors.New("broker: Resume: it is subscribed already; Cancel comes first")

// Resume subscribes again after Cancel, or for the first time after Intake.Paused: basic.qos and
// basic.consume on the same channel. When it returns nil, the broker has confirmed the consumer
// (consume-ok), and Receive returns first what is left of before, then what is new. What is outstanding
// of before does not count towards the new prefetch. The consumer tag is the plan's with /2, /3 and so on
// behind it from the second time on, cut to make room if need be. The topology is not declared again: a
// queue that does not outlive its last consumer (auto-delete) is gone by then.
//
// A call that fails is an *Error of ScopeChannel, or of ScopeConnection if the connection broke. Either
// way the Consumer is lost, and that is reported as a Loss as well. On one that was lost before, Resume
// returns an *Error and sends nothing. Resume of what is subscribed, and an Intake that cannot be, are
// errors of another type that change nothing. A call that is overdue, or whose ctx ends, abandons the channel,
// as Cancel's does.
func (c *Consumer) Resume(ctx context.Context, in Intake) error {
	if err := in.validate(); err != nil {
		return fmt.Errorf("broker: Resume: %w", err)
	}
	return c.ask(ctx, "qos", func(r *request) error {
		switch {
		case c.isLost():
			return c.lostError()
		case c.tag != "":
			return errSubscribed
		}
		fail := func(op string, err error) error {
			c.setLost()
			return c.session.newError(op, ScopeChannel, c.queue, err)
		}
		if err := c.channel.Qos(in.prefetch(c.spec()), 0, false); err != nil {
			return fail("qos", err)
		}
		if err := r.step("consume"); err != nil {
			return err
		}
		if err := c.subscribe(in); err != nil {
			return fail("consume", err)
		}
		return nil
	})
}

// Cancel asks the broker to send no more (basic.cancel). What was delivered can still be received, and
// be acknowledged; Resume subscribes again. To cancel what is not subscribed is no error, and sends
// nothing. A call that fails is an *Error of ScopeChannel, or of ScopeConnection if the connection broke.
//
// When the answer is overdue (CallTimeout), or ctx ends before it has come, the error is of class Overdue, and
// unwraps to the context's cause in the latter case. The Consumer is lost then, which is reported as a Loss as well,
// and acknowledging what it has delivered returns ErrStale. Its channel is left behind (see [Session.Abandoned]):
// as soon as the broker answers it is closed, and the deliveries go back to the queue. All else on the connection
// goes on.
func (c *Consumer) Cancel(ctx context.Context) error {
	return c.ask(ctx, "cancel", func(*request) error {
		if c.tag == "" {
			return nil
		}
		if err := c.channel.Cancel(c.tag, false); err != nil {
			return c.session.newError("cancel", ScopeChannel, c.queue, err)
		}
		c.tag = ""
		return nil
	})
}

// ask makes calls on the channel, one caller after the other: amqp091-go gives an answer to anyone who waits for one.
// Nobody waits behind an answer that is overdue.
func (c *Consumer) ask(ctx context.Context, op string, calls func(*request) error) error {
	r := &request{queue: c.queue, op: op, abandon: c.abandon, after: c.tidy}
	r.calls = func() error {
		select {
		case c.turn <- struct{}{}:
		case <-c.abandoned:
			return c.overdue.Load()
		}
		defer func() { <-c.turn }()
		if why := c.overdue.Load(); why != nil {
			return why
		}
		return calls(r)
	}
	return c.session.ask(ctx, r)
}

// subscribe is called with the turn, or before anybody else has the Consumer.
func (c *Consumer) subscribe(in Intake) error {
	spec, tag := c.spec(), c.nextTag()
	// What it returns stays empty: the deliveries are in the inbox.
	if _, err := c.channel.Consume(c.queue, tag, false, spec.Exclusive, false, false, table(in.arguments(spec))); err != nil {
		return err
	}
	c.tag = tag
	return nil
}

func (c *Consumer) spec() Subscription { return c.session.plan.Subscriptions[c.index] }

const (
	// nameInTag is how many bytes of the connection's name a consumer tag begins with, at most: room is left
	// for the number behind it.
	nameInTag = 200
	// tagAgain is how many bytes of a tag are used again, for the same reason.
	tagAgain = 230
)

// nextTag returns a consumer tag that was not in use on this channel. With one that was, a quorum queue
// of RabbitMQ 3.10 mistakes the new consumer for the old one as long as anything of that is outstanding:
// nothing is delivered, or the connection is closed with 541.
func (c *Consumer) nextTag() string {
	tag := c.spec().ConsumerTag
	if tag == "" {
		tag = fmt.Sprintf("%s#%d", cut(c.session.plan.Name, nameInTag), c.index)
	}
	c.consumes++
	if c.consumes > 1 {
		tag = fmt.Sprintf("%s/%d", cut(tag, tagAgain), c.consumes)
	}
	return tag
}

// cut returns what of a name fits into so many bytes, without half a character at its end.
func cut(name string, bytes int) string {
	return strings.ToValidUTF8(name[:min(len(name), bytes)], "")
}

func (c *Consumer) isLost() bool {
	select {
	case <-c.lost:
		return true
	default:
		return false
	}
}

// lostError says why there is nothing to resume: the channel is closed, or it lives and the broker has
// cancelled its consumer.
func (c *Consumer) lostError() error {
	if c.closed.Load() || c.channel.IsClosed() {
		return c.session.newError("consume", ScopeChannel, c.queue, amqp.ErrClosed)
	}
	return c.session.newError("consume", ScopeSubscription, c.queue, errCancelled)
}
