package brokertest

import (
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// consumer is a client's subscription to a queue.
type consumer struct {
	tag              string
	number           uint64 // counts the channel's consumers
	channel          *channel
	queue            *queue
	noAck, exclusive bool
	prefetch         int // 0 is no limit
	priority         int64
	unacked          int
	patience         time.Duration // with an acknowledgement; noTTL: that of the queue
	offset           int           // of a stream's next message
}

// hasRoom tells whether one more delivery may be sent.
func (c *consumer) hasRoom() bool {
	ch := c.channel
	if ch.closing {
		return false
	}
	if !c.noAck && c.prefetch > 0 && c.unacked >= c.prefetch {
		return false
	}
	if ch.shared > 0 && ch.unacked.consumed >= ch.shared { // one without acknowledgements does not add to it, but waits, too
		return false
	}
	if !ch.connection.out.roomForDeliveries() {
		ch.connection.starved = true // deliveries go on once the client has read
		return false
	}
	return true
}

// deliver sends an entry.
func (c *consumer) deliver(e *entry) {
	d := c.channel.hold(e, c.queue, c, c.noAck)
	properties := c.queue.stamped(e, false)
	if c.queue.kind == stream {
		properties = located(properties, c.offset)
	}
	c.channel.served = c.number
	if c.queue.isFatal(e) {
		c.channel.connection.undeliverable()
		return
	}
	c.channel.connection.sendContent(c.channel.id, &wire.BasicDeliver{
		ConsumerTag: c.tag,
		DeliveryTag: d.tag,
		Redelivered: e.redelivered,
		Exchange:    e.exchange,
		RoutingKey:  e.key,
	}, e.message, properties)
}

// cancelled tells the client that its consumer is gone: the queue was deleted, or the broker wants it so.
func (c *consumer) cancelled() {
	c.queue.remove(c)
	delete(c.channel.consumers, c.tag)
	if c.channel.connection.can("consumer_cancel_notify") {
		c.channel.send(&wire.BasicCancel{ConsumerTag: c.tag, NoWait: true})
	}
}

func (ch *channel) consume(m *wire.BasicConsume) error {
	name, err := ch.named(m.Queue)
	if err != nil {
		return err
	}
	var q *queue
	if name != replyTo {
		if q, err = ch.queue(name); err != nil {
			return err
		}
	}
	if m.ConsumerTag == "" {
		m.ConsumerTag = "amq.ctag-" + random()
	}
	if ch.consumers[m.ConsumerTag] != nil {
		return refuse(notAllowed, "attempt to reuse consumer tag '%s'", m.ConsumerTag)
	}
	if q == nil {
		return ch.consumeReplies(m)
	}
	if q.kind == stream {
		if err := ch.readable(q, m.NoAck); err != nil {
			return err
		}
	}
	if q.kind != classic && ch.shared > 0 {
		return refuse(notImplemented, "queue '%s' in vhost '%s' does not support global qos", q.name, q.host.name)
	}
	inUse := len(q.consumers) > 0 && q.kind == classic // RabbitMQ does not enforce it elsewhere
	if inUse && (m.Exclusive || q.consumers[0].exclusive) || m.Exclusive && q.singleActive {
		return refuse(accessRefused, "queue '%s' in vhost '%s' in exclusive use", q.name, q.host.name)
	}
	c := &consumer{
		tag: m.ConsumerTag, channel: ch, queue: q,
		noAck: m.NoAck, exclusive: m.Exclusive, prefetch: ch.prefetch,
	}
	if err := c.readArguments(m.Arguments); err != nil {
		return err
	}
	if c.patience == noTTL && ch.connection.server.has(versions.ChecksTimeouts) {
		c.patience = q.patience // whatever a policy gives from now on
	}
	ch.lastConsumer++
	c.number = ch.lastConsumer
	ch.consumers[c.tag] = c
	q.consumers = append(q.consumers, c)
	q.used = true
	ch.answer(m.NoWait, &wire.BasicConsumeOK{ConsumerTag: c.tag})
	q.touch()
	return nil
}

// cancel ends a consumer; what it was sent may still be acknowledged.
func (ch *channel) cancel(m *wire.BasicCancel) error {
	if ch.replies != nil && ch.replies.tag == m.ConsumerTag {
		ch.endReplies()
		ch.answer(m.NoWait, &wire.BasicCancelOK{ConsumerTag: m.ConsumerTag})
		return nil
	}
	c := ch.consumers[m.ConsumerTag]
	delete(ch.consumers, m.ConsumerTag)
	ch.answer(m.NoWait, &wire.BasicCancelOK{ConsumerTag: m.ConsumerTag})
	if c != nil {
		c.queue.remove(c)
	}
	return nil
}

func (ch *channel) get(m *wire.BasicGet) error {
	q, err := ch.access(m.Queue)
	if err != nil {
		return err
	}
	if q.kind == stream {
		return refuse(notImplemented, "basic.get not supported by stream queues %s", q.called())
	}
	if q.kind == quorum && q.singleActive {
		kind := quorum.String()
		if q.host.server.has(versions.QuotesTypes) {
			kind = `<<"quorum">>`
		}
		return refuse(resourceLocked, "cannot obtain access to locked queue '%s' in vhost '%s'. basic.get operations are not "+
			"supported by %s queues with single active consumer", q.name, q.host.name, kind)
	}
	q.renew()
	if q.ready.Len() == 0 {
		ch.send(&wire.BasicGetEmpty{})
		return nil
	}
	e := q.take()
	d := ch.hold(e, q, nil, m.NoAck)
	if q.isFatal(e) {
		ch.connection.undeliverable()
		return nil
	}
	ch.connection.sendContent(ch.id, &wire.BasicGetOK{
		DeliveryTag:  d.tag,
		Redelivered:  e.redelivered,
		Exchange:     e.exchange,
		RoutingKey:   e.key,
		MessageCount: uint32(q.ready.Len()),
	}, e.message, q.stamped(e, true))
	q.touch()
	return nil
}
