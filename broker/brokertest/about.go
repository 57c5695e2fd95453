package brokertest

import (
	"slices"

	"github.com/everhop/everhop/broker/internal/wire"
)

// The functions of this file tell what has to do with a queue, by its name and its virtual host; no name stands for
// any queue.

func (q *queue) is(at aim) bool {
	return at.queue == "" || q.name == at.queue && q.host == q.host.server.host(at.host)
}

// consumes tells whether a channel has a consumer of the queue.
func (ch *channel) consumes(at aim) bool {
	return slices.ContainsFunc(ch.consumersInOrder(), func(c *consumer) bool { return c.queue.is(at) })
}

// holds tells whether a channel has unsettled messages of the queue.
func (ch *channel) holds(at aim) bool {
	return slices.ContainsFunc(ch.unacked.open, func(d *delivery) bool { return d.queue.is(at) })
}

// isAbout tells whether a channel, which may not be there, has to do with the queue.
func (ch *channel) isAbout(at aim) bool {
	if ch == nil || ch.host() == nil || ch.host() != ch.connection.server.host(at.host) {
		return false
	}
	return ch.lastQueue == at.queue || ch.consumes(at) || ch.holds(at)
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

// names tells whether a method names the queue.
func (c *connection) names(m wire.Method, at aim) bool {
	return queueOf(m) == at.queue && c.host != nil && c.host == c.server.host(at.host)
}
