package broker

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
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

	// fence: acknowledgements hold it shared while they write, and closing holds it alone before it begins. Otherwise
	//   1. Close releases the channel's number,
	//   2. a new channel gets the number,
	//   3. an old tag is acknowledged through the old channel, on the new one's number.
	// Abandoning a channel waits for nobody, nor need it. The number is taken as long as the channel is in
	// amqp091-go's table, and only Channel.Close, the broker's channel.close and a refused channel.open take it
	// out of there. So what is being written goes to the channel that is abandoned, which the broker knows by that number
	// until it is closed; and tidy, which closes it, does pass the fence.
	fence  sync.RWMutex
	closed atomic.Bool // nothing is acknowledged any more

	unwanted  atomic.Bool           // its end is no loss: Close was called, or Consume has not returned it
	abandoned chan struct{}         // closed when overdue is set
	overdue   atomic.Pointer[Error] // why its channel was left behind, waiting for an answer; nil if it was not
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
	r := &request{queue: s.plan.Subscriptions[i].Queue, op: "open channel"}
	r.calls = func() (err error) {
		c, err = s.consume(r, i, in)
		return err
	}
	r.after = func() {
		if c != nil {
			c.tidy()
		}
	}
	if err := s.ask(ctx, r); err != nil {
		return nil, err
	}
	return c, nil
}

func (s *Session) consume(r *request, i int, in Intake) (*Consumer, error) {
	spec := s.plan.Subscriptions[i]
	c, err := s.openConsumer(i, in)
	if err != nil {
		return nil, s.newError("open channel", ScopeChannel, spec.Queue, err)
	}
	fail := func(err error) (*Consumer, error) {
		failure := s.newError(r.op, ScopeChannel, spec.Queue, err)
		_ = c.channel.Close()
		return nil, failure
	}
	var named string
	if err := r.unlessLeft(func() { named = s.names[i] }); err != nil {
		return fail(err)
	}
	laid := foundation{step: r.step, channel: c.channel, vhost: s.link.endpoint.vhost, reopen: func() (*amqp.Channel, error) {
		again, err := s.openConsumer(i, in)
		if err != nil {
			return c.channel, err
		}
		c = again
		return c.channel, nil
	}}
	queue, err := laid.lay(spec, named)
	left := r.unlessLeft(func() {
		if spec.Queue == "" {
			s.names[i] = queue // if it is gone, the broker names another one next time
		}
		c.queue, c.found = queue, laid.found
		r.abandon = func(why *Error) {
			c.unwanted.Store(true)
			c.abandon(why)
		}
	})
	if err := cmp.Or(err, left); err != nil {
		return fail(err)
	}
	if !in.Paused {
		if err := r.step("qos"); err != nil {
			return fail(err)
		}
		if err := c.channel.Qos(in.prefetch(spec), 0, false); err != nil {
			return fail(err)
		}
		if err := r.step("consume"); err != nil {
			return fail(err)
		}
		if err := c.subscribe(in); err != nil {
			return fail(err)
		}
	}
	s.watches.Go(c.watch)
	return c, nil
}

// openConsumer opens the channel of a consumer to be.
func (s *Session) openConsumer(i int, in Intake) (*Consumer, error) {
	route := newRoute(s.plan.MaxMessageSize)
	channel, err := s.link.openChannel(route)
	if err != nil {
		return nil, err
	}
	c := &Consumer{
		session: s, index: i, channel: channel, inbox: route.inbox,
		closes: channel.NotifyClose(make(chan *amqp.Error, 1)), cancels: channel.NotifyCancel(make(chan string, 1)),
		lost: make(chan struct{}), turn: make(chan struct{}, 1), abandoned: make(chan struct{}),
	}
	if in.Arrived != nil {
		route.arrived = func(d *Delivery, bytes int64) {
			if c.overdue.Load() == nil { // else the inbox has ended, and it goes to nobody
				in.Arrived(d, bytes)
			}
		}
	}
	if in.Apart != nil {
		route.apart = func(d *Delivery) bool { // nothing is delivered before basic.consume
			if c.overdue.Load() != nil {
				return false
			}
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
	case <-c.abandoned:
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
	if c.unwanted.Load() || c.session.link.amqp.IsClosed() {
		return
	}
	why := c.overdue.Load() // rather than what came of that
	if why == nil {
		why = newError("consuming", scope, c.session.link.endpoint, c.queue, err)
	}
	c.session.report(Loss{Generation: c.session.generation, Consumer: c, Err: why})
}

// Index is the subscription's place in the plan.
func (c *Consumer) Index() int { return c.index }

// Queue is the name of what is consumed, which may be one that the broker has given.
func (c *Consumer) Queue() string { return c.queue }

// Lost is closed when no more deliveries will come, and Resume cannot change that.
func (c *Consumer) Lost() <-chan struct{} { return c.lost }

// Close closes the channel. What was delivered and not acknowledged goes back to the queue, and from
// here on acknowledging it returns ErrStale. If the answer is overdue, or ctx ends before it has come, the error is of
// class Overdue, as that of Cancel, and the channel is closed when the broker comes to it; that is no Loss.
func (c *Consumer) Close(ctx context.Context) error {
	c.unwanted.Store(true)
	c.closed.Store(true)
	c.setLost()
	return c.ask(ctx, "close channel", func(*request) error {
		if err := c.closeChannel(); err != nil {
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

// closeChannel is called with the turn.
func (c *Consumer) closeChannel() error {
	c.setClosed()
	return c.channel.Close()
}

// setClosed waits for an acknowledgement that is being written.
func (c *Consumer) setClosed() {
	c.fence.Lock()
	defer c.fence.Unlock()
	c.closed.Store(true)
}

// abandon ends the consumer while an answer is awaited on its channel. It waits for nothing.
func (c *Consumer) abandon(why *Error) {
	if c.overdue.CompareAndSwap(nil, why) {
		c.closed.Store(true)
		c.setLost()
		close(c.abandoned)
	}
}

// tidy closes the channel if it was abandoned and nobody awaits an answer on it; who does comes here afterwards.
func (c *Consumer) tidy() {
	if c.overdue.Load() == nil {
		return
	}
	select {
	case c.turn <- struct{}{}: // for good
		_ = c.closeChannel()
	default:
	}
}
