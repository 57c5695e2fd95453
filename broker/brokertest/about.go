package brokertest

import (
	"slices"

	"github.com/everhop/everhop/broker/internal/wire"
)

// The functions of this file tell what has to do with a queue of the first virtual host, by its name; "" stands for
// any queue.

func (q *queue) is(name string) bool {
	return name == "" || q.name == name && q.host == q.host.server.home
}

// consumes tells whether a channel has a consumer of the queue.
func (ch *channel) consumes(queue string) bool {
	return slices.ContainsFunc(ch.consumersInOrder(), func(c *consumer) bool { return c.queue.is(queue) })
}

// holds tells whether a channel has unsettled messages of the queue.
func (ch *channel) holds(queue string) bool {
	return slices.ContainsFunc(ch.unacked.open, func(d *delivery) bool { return d.queue.is(queue) })
}

// isAbout tells whether a channel, which may not be there, has to do with the queue.
func (ch *channel) isAbout(queue string) bool {
	if ch == nil || ch.host() == nil || ch.host() != ch.host().server.home {
		return false
	}
	return ch.lastQueue == queue || ch.consumes(queue) || ch.holds(queue)
}

// queueOf is the queue that a method names, or "".
func queueOf(m wire.Method) string {
	switch m := m.(type) {
	case *wire.QueueDeclare:
		return m.Queue
	case *wire.QueueBind:
		return m.Queue
	case *wire.QueueUnbind:
		return m.Queue
	case *wire.QueuePurge:
		return m.Queue
	case *wire.QueueDelete:
		return m.Queue
	case *wire.BasicGet:
		return m.Queue
	case *wire.BasicConsume:
		return m.Queue
	}
	return ""
}
