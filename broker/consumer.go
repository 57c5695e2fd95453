package broker

import (
	"context"
	"fmt"
	"sync"

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
	inbox   *inbox
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

// Consume opens a channel for the plan's subscription i, sets its prefetch, declares its topology and
// subscribes. When it returns without an error, the broker has confirmed the consumer (consume-ok), or
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
	route := newRoute(s.plan.MaxMessageSize)
	route.arrived = in.Arrived
	channel, err := s.link.openChannel(route)
	if err != nil {
		return nil, s.newError("open channel", ScopeChannel, spec.Queue, err)
	}
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	cancelled := channel.NotifyCancel(make(chan string, 1))
	fail := func(op string, err error) (*Consumer, error) {
		failure := s.newError(op, ScopeChannel, spec.Queue, err)
		_ = channel.Close()
		return nil, failure
	}
	if !in.Paused {
		if err := channel.Qos(in.prefetch(spec), 0, false); err != nil {
			return fail("qos", err)
		}
	}
	queue, op, err := spec.declare(channel, s.names[i])
	if err != nil {
		s.names[i] = "" // if it is gone, the broker names another one next time
		return fail(op, err)
	}
	if spec.Queue == "" {
		s.names[i] = queue
	}
	c := newConsumer(s, i, queue, channel, route.inbox)
	if !in.Paused {
		if err := c.subscribe(in); err != nil {
			return fail("consume", err)
		}
	}
	s.watches.Go(func() { c.watch(closed, cancelled) })
	return c, nil
}

func newConsumer(s *Session, i int, queue string, channel *amqp.Channel, inbox *inbox) *Consumer {
	return &Consumer{
		session: s, index: i, queue: queue, channel: channel, inbox: inbox,
		lost: make(chan struct{}), turn: make(chan struct{}, 1),
	}
}

// watch turns the end of the consumer into a Loss, unless it was asked for or came with the end of
// the connection, which reports for all.
func (c *Consumer) watch(closed <-chan *amqp.Error, cancelled <-chan string) {
	scope, err := ScopeChannel, error(amqp.ErrClosed)
	select {
	case reply := <-closed:
		if reply != nil {
			err = reply
		}
	case _, notified := <-cancelled: // closed together with the channel
		if notified {
			scope, err = ScopeSubscription, errCancelled
		} else if reply := <-closed; reply != nil {
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

// Receive waits for the next delivery. It returns false when the consumer is lost or closed, when stop
// is closed, and while it is not subscribed and everything that was delivered before has been received.
// What the broker had sent but nobody received is not lost: it is unacknowledged, and goes back to the
// queue when the channel ends.
func (c *Consumer) Receive(stop <-chan struct{}) (*Delivery, bool) {
	d := c.inbox.take(stop)
	if d == nil {
		return nil, false
	}
	d.Queue, d.Generation, d.ReceivedAt = c.queue, c.session.generation, c.session.link.conn.lastReadAt()
	return d, true
}

// Ack acknowledges one delivery. It returns ErrStale if the channel is gone; then, as with any
// other error, the broker delivers the message again.
func (c *Consumer) Ack(deliveryTag uint64) error {
	return c.settle(func() error { return c.channel.Ack(deliveryTag, false) })
}

// AckUpTo acknowledges, with one frame, every outstanding delivery up to and including this one; errors
// are those of Ack. The delivery itself must be outstanding, others below it need not be. Otherwise
// RabbitMQ closes the channel, which is a Loss, and none of them is acknowledged. 0 means all that are
// outstanding, also if there are none.
func (c *Consumer) AckUpTo(deliveryTag uint64) error {
	return c.settle(func() error { return c.channel.Ack(deliveryTag, true) })
}

// Reject gives one delivery back: to the queue with requeue, else to the dead-letter exchange, if the
// queue has one. It is basic.reject rather than basic.nack, since from RabbitMQ 4.3 on only the former
// counts towards a quorum queue's delivery limit. Errors are those of Ack. What a stream delivered can
// only be acknowledged: RabbitMQ answers this with 540, which ends the whole connection.
func (c *Consumer) Reject(deliveryTag uint64, requeue bool) error {
	return c.settle(func() error { return c.channel.Reject(deliveryTag, requeue) })
}

// Nack gives one delivery back to the queue that nobody began to handle. It is basic.nack with requeue,
// which from RabbitMQ 4.3 on does not count towards a quorum queue's delivery limit, as Reject does; before,
// both count, and so does what comes back when its channel or connection ends. A classic queue puts the
// message back in its place; a quorum queue appends it if it has no delivery limit, else puts it first, in
// the order in which messages are given back. Errors are those of Ack, and a stream takes it no better
// than Reject.
func (c *Consumer) Nack(deliveryTag uint64) error {
	return c.settle(func() error { return c.channel.Nack(deliveryTag, false, true) })
}

// settle allocates nothing: send does not escape.
func (c *Consumer) settle(send func() error) error {
	c.fence.RLock()
	defer c.fence.RUnlock()
	if c.closed {
		return ErrStale
	}
	if err := send(); err != nil {
		return fmt.Errorf("%w (%w)", ErrStale, err)
	}
	return nil
}

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
