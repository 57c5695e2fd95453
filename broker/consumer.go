package broker

import (
	"context"
	"fmt"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Consumer is one subscription that is being consumed on a channel of its own. Deliveries can be
// acknowledged through it as long as that channel is open, and through no other: delivery tags
// restart at 1 on each channel, so a tag on the wrong one would settle somebody else's message.
//
// All methods may be called from any goroutine.
type Consumer struct {
	session *Session
	index   int
	queue   string
	tag     string
	channel *amqp.Channel
	inbox   <-chan amqp.Delivery
	lost    chan struct{} // closed when nothing more will come
	once    sync.Once

	// fence: acknowledgements hold it shared while they write, closing holds it alone. Otherwise
	//   1. Close releases the channel's number and is about to mark the channel closed,
	//   2. a new channel gets the number,
	//   3. an old tag is acknowledged through the old channel, on the new one's number.
	fence  sync.RWMutex
	closed bool
}

// Consume opens a channel for the plan's subscription i, sets its prefetch, declares its topology and
// subscribes. When it returns without an error, the broker has confirmed the consumer (consume-ok).
// Different subscriptions may be consumed at once, the same one only after the last Consumer is lost.
// A failed step leaves no channel behind; its error is an *Error of ScopeChannel, or of
// ScopeConnection if the connection broke.
func (s *Session) Consume(ctx context.Context, i int) (*Consumer, error) {
	if i < 0 || i >= len(s.plan.Subscriptions) {
		return nil, fmt.Errorf("broker: Consume: there is no subscription %d in the plan, which has %d", i, len(s.plan.Subscriptions))
	}
	var c *Consumer
	err := s.guarded(ctx, func() (err error) {
		c, err = s.consume(i)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (s *Session) consume(i int) (*Consumer, error) {
	spec := s.plan.Subscriptions[i]
	channel, err := s.link.amqp.Channel()
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
	if err := channel.Qos(spec.Prefetch, 0, false); err != nil {
		return fail("qos", err)
	}
	queue, op, err := spec.declare(channel, s.names[i])
	if err != nil {
		s.names[i] = "" // if it is gone, the broker names another one next time
		return fail(op, err)
	}
	if spec.Queue == "" {
		s.names[i] = queue
	}
	tag := spec.ConsumerTag
	if tag == "" {
		tag = fmt.Sprintf("%.200s#%d", s.plan.Name, i)
	}
	inbox, err := channel.Consume(queue, tag, false, spec.Exclusive, false, false, table(spec.Arguments))
	if err != nil {
		return fail("consume", err)
	}
	c := &Consumer{session: s, index: i, queue: queue, tag: tag, channel: channel, inbox: inbox, lost: make(chan struct{})}
	s.watches.Go(func() { c.watch(closed, cancelled) })
	return c, nil
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

// Queue is the queue's name, as the broker gave it.
func (c *Consumer) Queue() string { return c.queue }

// Lost is closed when no more deliveries will come.
func (c *Consumer) Lost() <-chan struct{} { return c.lost }

// Receive waits for the next delivery. It returns false when the consumer is lost, cancelled or
// closed, or when stop is closed. What the broker had sent but nobody received is not lost: it is
// unacknowledged, and goes back to the queue when the channel ends.
func (c *Consumer) Receive(stop <-chan struct{}) (*Delivery, bool) {
	select { // first of all, so that nothing more comes after a loss
	case <-c.lost:
		return nil, false
	case <-stop:
		return nil, false
	default:
	}
	select {
	case d, open := <-c.inbox:
		if !open {
			return nil, false
		}
		return newDelivery(&d, c.queue, c.session.generation), true
	case <-c.lost:
		return nil, false
	case <-stop:
		return nil, false
	}
}

// Ack acknowledges one delivery. It returns ErrStale if the channel is gone; then, as with any
// other error, the broker delivers the message again.
func (c *Consumer) Ack(deliveryTag uint64) error {
	return c.settle(func() error { return c.channel.Ack(deliveryTag, false) })
}

// Reject gives one delivery back: to the queue with requeue, else to the dead-letter exchange, if the
// queue has one. It is basic.reject rather than basic.nack, since from RabbitMQ 4.3 on only the former
// counts towards a quorum queue's delivery limit.
func (c *Consumer) Reject(deliveryTag uint64, requeue bool) error {
	return c.settle(func() error { return c.channel.Reject(deliveryTag, requeue) })
}

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

// Cancel asks the broker to send no more (basic.cancel). What was delivered can still be acknowledged.
func (c *Consumer) Cancel(ctx context.Context) error {
	return c.session.guarded(ctx, func() error {
		if err := c.channel.Cancel(c.tag, false); err != nil {
			return c.session.newError("cancel", ScopeChannel, c.queue, err)
		}
		return nil
	})
}

// Close closes the channel. What was delivered and not acknowledged goes back to the queue, and from
// here on acknowledging it returns ErrStale.
func (c *Consumer) Close(ctx context.Context) error {
	return c.session.guarded(ctx, func() error {
		c.setClosed() // waits for an acknowledgement that is being written
		c.setLost()
		if err := c.channel.Close(); err != nil {
			return c.session.newError("close channel", ScopeChannel, c.queue, err)
		}
		return nil
	})
}

func (c *Consumer) setLost() { c.once.Do(func() { close(c.lost) }) }

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
