package brokertest

import (
	"cmp"

	"github.com/everhop/everhop/broker/internal/wire"
)

// SuspendQueue has a queue of the virtual host answer nothing any more, until ResumeQueue: as one does that has
// lost the majority of its nodes, or whose process hangs. Nothing is delivered from it, and what is published to it is
// not confirmed; WithholdConfirms does that alone. Whatever a channel asks about it blocks that channel, and all that
// comes on it behind that, channel.close too; other channels of the connection go on. But once a channel has published 400
// messages to it, or 32 to a quorum queue, and then up to 400 more to any queue, nothing is read from its connection.
func (v *VirtualHost) SuspendQueue(name string) { v.do(SuspendQueue(name)) }

// SuspendQueue is the fault that VirtualHost.SuspendQueue brings about. A queue that is not there is passed over.
func SuspendQueue(name string) Fault {
	return Fault{name: "SuspendQueue", host: func(h *virtualHost) {
		if q := h.queues[name]; q != nil {
			q.suspended = true
		}
	}}
}

// ResumeQueue has a suspended queue answer again, also what it was asked meanwhile.
func (v *VirtualHost) ResumeQueue(name string) { v.do(ResumeQueue(name)) }

// ResumeQueue is the fault that VirtualHost.ResumeQueue brings about.
func ResumeQueue(name string) Fault {
	return Fault{name: "ResumeQueue", host: func(h *virtualHost) {
		q := h.queues[name]
		if q == nil || !q.suspended {
			return
		}
		q.suspended = false
		q.touch()
		h.server.confirmReleased()
		for c := range h.server.connections {
			c.flowAgain()
			for _, ch := range c.channelsInOrder() {
				ch.unblock()
			}
		}
	}}
}

// blocks tells whether a method waits for a suspended queue.
func (ch *channel) blocks(m wire.Method) bool {
	switch m := m.(type) {
	case *wire.QueueDeclare, *wire.QueuePurge, *wire.QueueDelete, *wire.BasicGet, *wire.BasicConsume:
	case *wire.BasicCancel:
		c := ch.consumers[m.ConsumerTag]
		return c != nil && c.queue.suspended
	case *wire.ChannelClose:
		for _, c := range ch.consumers {
			if c.queue.suspended {
				return true
			}
		}
		return false
	default:
		return false
	}
	name := cmp.Or(queueOf(m), ch.lastQueue)
	q := ch.host().queues[name]
	return q != nil && q.suspended
}

// detain keeps a frame that comes while the channel is blocked, or blocks it.
func (ch *channel) detain(f wire.Frame) bool {
	if !ch.blocked && f.Type == wire.FrameMethod {
		m, err := wire.ParseMethod(f.Payload)
		ch.blocked = err == nil && ch.blocks(m)
	}
	if ch.blocked {
		f.Payload = append([]byte(nil), f.Payload...)
		ch.detained = append(ch.detained, f)
	}
	return ch.blocked
}

// unblock handles what was detained, as far as nothing blocks it again.
func (ch *channel) unblock() {
	frames := ch.detained
	ch.blocked, ch.detained = false, nil
	for _, f := range frames {
		if !ch.connection.handleFrame(f) {
			return
		}
	}
	ch.flushConfirms()
}

// EndConnectionsAt has the broker end each connection to which it would deliver a message with this body from a queue of
// the first virtual host, with 541 INTERNAL_ERROR: as RabbitMQ does when it fails over a message, such as one that was
// published over AMQP 1.0 and has what AMQP 0-9-1 cannot carry. The message goes back to its queue, and comes first
// again, unless it was to be delivered with no-ack.
func (v *VirtualHost) EndConnectionsAt(queue, body string) { v.do(EndConnectionsAt(queue, body)) }

// EndConnectionsAt is the fault that VirtualHost.EndConnectionsAt brings about. A queue that is not there is passed over.
func EndConnectionsAt(queue, body string) Fault {
	return Fault{name: "EndConnectionsAt", host: func(h *virtualHost) {
		if q := h.queues[queue]; q != nil {
			q.fatal = &body
		}
	}}
}

// undeliverable ends a connection to which such a message was to be delivered.
func (c *connection) undeliverable() { c.close(refuse(internalError, ""), 0, 0) }

// isFatal tells whether a message ends the connection that it is delivered to.
func (q *queue) isFatal(e *entry) bool { return q.fatal != nil && string(e.body) == *q.fatal }
