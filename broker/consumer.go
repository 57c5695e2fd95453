package broker

import (
	"context"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Consumer is one of the plan's subscriptions on a channel of its own. It is subscribed until Cancel,
// and again from Resume on, as often as one likes: delivery tags go on, and what was delivered before
// can still be acknowledged. Deliveries can be acknowledged through it as long as that channel is open,
// and through no other: delivery tags restart at 1 on each channel, so a tag on the wrong one would
// settle somebody else's message.
//
// All methods may be called from any goroutine, but Cancel and Resume only by one at a time.
type Consumer struct {
	session *Session
	index   int
	queue   string
	channel *amqp.Channel
	found   []declaration // what had been there before
	inbox   *inbox
	closes  <-chan *amqp.Error
	cancels <-chan string
	lost    chan struct{} // closed when nothing more will come
	once    sync.Once

	turn     chan struct{} // held by the one call that may wait for an answer on the channel
	tag      string        // guarded by turn: of the current basic.consume; "" while there is none
	consumes int           // guarded by turn: how many there have been

	// fence: acknowledgements hold it shared while they write, closing holds it alone. Otherwise
	//   1. Close releases the channel's number and is about to mark the channel closed,
	//   2. a new channel gets the number,
	//   3. an old tag is acknowledged through the old channel, on the new one's number.
	fence  sync.RWMutex
	closed bool
}

// Consume opens a channel for the plan's subscription i, declares what is missing of its topology, sets its
// prefetch and subscribes. What exists takes one round trip each; what is missing is looked for first, and takes
// three. When it returns without an error, the broker has confirmed the consumer (consume-ok), or
// with Paused the topology. Different subscriptions may be consumed at once, the same one only after
// the last Consumer is lost. A failed step leaves no channel behind; its error is an *Error of
// ScopeChannel, or of ScopeConnection if the connection broke. An index or Intake that cannot be is
// refused with an error of another type, and nothing is sent.
func (s *Session) Consume(ctx context.Context, i int, in Intake) (*Consumer, error) {
	if i < 0 || i >= len(s.plan.Subscriptions) {
		return nil, fmt.Errorf("broker: Consume: there is no subscription %d in the plan, which has %d", i, len(s.plan.Subscriptions))
	}
	if err := in.validate(); err != nil {
		return nil, fmt.Errorf("broker: Consume: %w", err)
	}
	var c *Consumer
	err := s.guarded(ctx, func() (err error) {
		c, err = s.consume(i, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (s *Session) consume(i int, in Intake) (*Consumer, error) {
	spec := s.plan.Subscriptions[i]
	c, err := s.openConsumer(i, in)
	if err != nil {
		return nil, s.newError("open channel", ScopeChannel, spec.Queue, err)
	}
	fail := func(op string, err error) (*Consumer, error) {
		failure := s.newError(op, ScopeChannel, spec.Queue, err)
		_ = c.channel.Close()
		return nil, failure
	}
	laid := foundation{channel: c.channel, vhost: s.link.endpoint.vhost, reopen: func() (*amqp.Channel, error) {
		again, err := s.openConsumer(i, in)
		if err != nil {
			return c.channel, err
		}
		c = again
		return c.channel, nil
	}}
	queue, op, err := laid.lay(spec, s.names[i])
	if err != nil {
		s.names[i] = "" // if it is gone, the broker names another one next time
		return fail(op, err)
	}
	if spec.Queue == "" {
		s.names[i] = queue
	}
	c.queue, c.found = queue, laid.found
	if !in.Paused {
		if err := c.channel.Qos(in.prefetch(spec), 0, false); err != nil {
			return fail("qos", err)
		}
		if err := c.subscribe(in); err != nil {
			return fail("consume", err)
		}
	}
	s.watches.Go(c.watch)
	return c, nil
}

// openConsumer opens the channel of a consumer to be.
func (s *Session) openConsumer(i int, in Intake) (*Consumer, error) {
	route := newRoute(s.plan.MaxMessageSize)
	route.arrived = in.Arrived
	channel, err := s.link.openChannel(route)
	if err != nil {
		return nil, err
	}
	c := &Consumer{
		session: s, index: i, channel: channel, inbox: route.inbox,
		closes: channel.NotifyClose(make(chan *amqp.Error, 1)), cancels: channel.NotifyCancel(make(chan string, 1)),
		lost: make(chan struct{}), turn: make(chan struct{}, 1),
	}
	if in.Apart != nil {
		route.apart = func(d *Delivery) bool { // nothing is delivered before basic.consume
			if _, counted := d.Headers["x-delivery-count"]; !counted {
				return false
			}
			d.Queue, d.Generation, d.ReceivedAt = c.queue, s.generation, time.Now()
			return in.Apart(c, d)
		}
	}
	return c, nil
}

// watch turns the end of the consumer into a Loss, unless it was asked for or came with the end of
// the connection, which reports for all.
func (c *Consumer) watch() {
	scope, err := ScopeChannel, error(amqp.ErrClosed)
	select {
	case reply := <-c.closes:
		if reply != nil {
			err = reply
		}
	case _, notified := <-c.cancels: // closed together with the channel
		if notified {
			scope, err = ScopeSubscription, errCancelled
		} else if reply := <-c.closes; reply != nil {
			err = reply
		}
	}
	c.setLost()
	if c.isClosed() || c.session.link.amqp.IsClosed() {
		return
	}
	class, code := Classify(err)
	c.session.report(Loss{
		Generation: c.session.generation,
		Consumer:   c,
		Err: &Error{
			Op: "consuming", Scope: scope, Class: class, Code: code,
			Endpoint: c.session.link.endpoint.String(), Queue: c.queue, Err: err,
		},
	})
}

// Index is the subscription's place in the plan.
func (c *Consumer) Index() int { return c.index }

// Lost is closed when no more deliveries will come, and Resume cannot change that.
func (c *Consumer) Lost() <-chan struct{} { return c.lost }

// Close closes the channel. What was delivered and not acknowledged goes back to the queue, and from
// here on acknowledging it returns ErrStale.
func (c *Consumer) Close(ctx context.Context) error {
	return c.session.guarded(ctx, func() error {
		c.setClosed() // waits for an acknowledgement that is being written
		c.setLost()
		defer c.takeTurn()()
		if err := c.channel.Close(); err != nil {
			return c.session.newError("close channel", ScopeChannel, c.queue, err)
		}
		return nil
	})
}

func (c *Consumer) setLost() {
	c.once.Do(func() {
		close(c.lost)
		c.inbox.end()
	})
}

func (c *Consumer) setClosed() {
	c.fence.Lock()
	defer c.fence.Unlock()
	c.closed = true
}

func (c *Consumer) isClosed() bool {
	c.fence.RLock()
	defer c.fence.RUnlock()
	return c.closed
}
