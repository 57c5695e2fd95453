package broker

import "fmt"

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

// Nack gives a delivery that nobody has begun to handle back to its queue. It is basic.nack with requeue,
// which from RabbitMQ 4.3 on does not count towards a quorum queue's delivery limit, as Reject does; before,
// both count, and so does what comes back when its channel or connection ends. A classic queue puts the
// message back in its place; a quorum queue appends it if it has no delivery limit, else puts it first, in
// the order in which messages are given back. Errors are those of Ack, and a stream takes it no better than
// Reject.
func (c *Consumer) Nack(deliveryTag uint64) error {
	return c.settle(func() error { return c.channel.Nack(deliveryTag, false, true) })
}

// NackAll gives back all that was delivered and not settled, as Nack does with one delivery, also what nobody has
// received yet, with one frame.
func (c *Consumer) NackAll() error {
	return c.settle(func() error { return c.channel.Nack(0, true, true) })
}

// settle allocates nothing: send does not escape.
func (c *Consumer) settle(send func() error) error {
	if c.closed.Load() { // whoever closes it may have to wait at the fence; nobody waits with him
		return ErrStale
	}
	c.fence.RLock()
	defer c.fence.RUnlock()
	if c.closed.Load() {
		return ErrStale
	}
	if err := send(); err != nil {
		return fmt.Errorf("%w (%w)", ErrStale, err)
	}
	return nil
}
