package brokertest

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/everhop/everhop/broker/internal/wire"
)

// declaration is what a queue was declared with.
type declaration struct {
	durable, autoDelete bool
	owner               *connection // of an exclusive queue
	arguments           wire.Table
}

// access finds a queue that this connection may use; "" stands for the one declared last.
func (ch *channel) access(name string) (*queue, error) {
	name, err := ch.named(name)
	if err != nil {
		return nil, err
	}
	return ch.queue(name)
}

func (ch *channel) named(name string) (string, error) {
	if name != "" {
		return name, nil
	}
	if ch.lastQueue == "" {
		return "", refuse(notFound, "no previously declared queue")
	}
	return ch.lastQueue, nil
}

// withoutBreaks is a name as RabbitMQ takes it where something is declared, bound or deleted: CR and LF are left out.
// Elsewhere a name is taken as it is, and so one with a break in it names nothing.
func withoutBreaks(name string) string {
	if !strings.ContainsAny(name, "\r\n") {
		return name
	}
	return strings.NewReplacer("\r", "", "\n", "").Replace(name)
}

func (ch *channel) queue(name string) (*queue, error) { return ch.host().queue(name, ch.connection) }

// queue finds a queue that a connection may use; nil is none in particular.
func (h *virtualHost) queue(name string, c *connection) (*queue, error) {
	q := h.queues[name]
	switch {
	case q == nil:
		return nil, h.missing("queue", name)
	case q.owner != nil && q.owner != c:
		return nil, q.locked()
	}
	return q, nil
}

func (q *queue) locked() error {
	return refuse(resourceLocked, "cannot obtain exclusive access to locked queue '%s' in vhost '%s'. It could be originally "+
		"declared on another connection or the exclusive property value does not match that of the original declaration.",
		q.name, q.host.name)
}

func (ch *channel) declareQueue(m *wire.QueueDeclare) error {
	m.Queue = withoutBreaks(m.Queue)
	if strings.HasPrefix(m.Queue, replyTo) {
		return ch.declareReplies(m)
	}
	q, err := ch.declared(m)
	if err != nil {
		return err
	}
	ch.lastQueue = q.name
	consumers := len(q.consumers)
	if q.kind == stream { // which does not tell
		consumers = 0
	}
	ch.answer(m.NoWait, &wire.QueueDeclareOK{Queue: q.name, MessageCount: uint32(q.ready.Len()), ConsumerCount: uint32(consumers)})
	return nil
}

// declared finds the queue, or makes it.
func (ch *channel) declared(m *wire.QueueDeclare) (*queue, error) {
	if m.Passive {
		q, err := ch.queue(m.Queue)
		if err == nil {
			q.renew()
		}
		return q, err
	}
	host := ch.host()
	d := declaration{durable: m.Durable, autoDelete: m.AutoDelete, arguments: m.Arguments}
	if m.Exclusive {
		d.owner = ch.connection
	}
	if m.Queue == "" {
		return host.obtain("amq.gen-"+random(), d)
	}
	return host.declare(m.Queue, d)
}

// declare finds the queue, or makes it, under a name that somebody chose.
func (h *virtualHost) declare(name string, d declaration) (*queue, error) {
	if there := h.queues[name]; there != nil && there.owner != d.owner {
		return nil, there.locked()
	}
	if strings.HasPrefix(name, "amq.") {
		return nil, refuse(accessRefused, "queue name '%s' contains reserved prefix 'amq.*'", name)
	}
	return h.obtain(name, d)
}

func (h *virtualHost) obtain(name string, d declaration) (*queue, error) {
	if err := h.knowArguments(d); err != nil {
		return nil, err
	}
	if there := h.queues[name]; there != nil { // what is declared need not be possible: it is only compared
		err := there.equivalent(d)
		if err == nil {
			there.renew()
		}
		return there, err
	}
	l, err := h.readArguments(name, d)
	if err != nil {
		return nil, err
	}
	return newQueue(h, name, d, l), nil
}

// random is the end of a name that the broker makes.
func random() string {
	var bytes [16]byte
	_, _ = rand.Read(bytes[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(bytes[:])
}

// equivalent tells how d differs from what the queue was declared with.
func (q *queue) equivalent(d declaration) error {
	differs := func(argument string, received, current any) error {
		return refuse(preconditionFailed, "inequivalent arg '%s' for queue '%s' in vhost '%s': %s",
			argument, q.name, q.host.name, unlike(received, current))
	}
	switch {
	case q.durable != d.durable:
		return differs("durable", d.durable, q.durable)
	case q.autoDelete != d.autoDelete:
		return differs("auto_delete", d.autoDelete, q.autoDelete)
	}
	for _, a := range q.host.server.known {
		if a.unasked || a.kinds&q.kind == 0 {
			continue
		}
		received, current := q.host.server.value(a, d.arguments), q.host.server.value(a, q.arguments)
		if !sameValue(received, current) {
			return differs(a.name, received, current)
		}
	}
	return nil
}

// unlike says what an argument was declared with, and before.
func unlike(received, current any) string {
	switch {
	case current == nil:
		return fmt.Sprintf("received the value '%v' of type '%s' but current is none", received, typeName(received))
	case received == nil:
		return fmt.Sprintf("received none but current is the value '%v' of type '%s'", current, typeName(current))
	}
	return fmt.Sprintf("received '%v' but current is '%v'", received, current)
}

func (ch *channel) purgeQueue(m *wire.QueuePurge) error {
	q, err := ch.access(m.Queue)
	if err != nil {
		return err
	}
	if q.kind == stream {
		return refuse(notImplemented, "queue.purge not supported by stream queues %s", q.called())
	}
	count := uint32(q.ready.Len())
	q.clear()
	q.touch()
	ch.answer(m.NoWait, &wire.QueuePurgeOK{MessageCount: count})
	return nil
}

// deleteQueue is content with a queue that is not there.
func (ch *channel) deleteQueue(m *wire.QueueDelete) error {
	name, err := ch.named(m.Queue)
	if err != nil {
		return err
	}
	name = withoutBreaks(name)
	count := uint32(0)
	if ch.host().queues[name] != nil {
		q, err := ch.queue(name)
		switch {
		case err != nil:
			return err
		case m.IfUnused && len(q.consumers) > 0:
			return refuse(preconditionFailed, "queue '%s' in vhost '%s' in use", q.name, q.host.name)
		case m.IfEmpty && q.ready.Len() > 0:
			return refuse(preconditionFailed, "queue '%s' in vhost '%s' not empty", q.name, q.host.name)
		}
		count = uint32(q.ready.Len())
		q.delete()
	}
	ch.answer(m.NoWait, &wire.QueueDeleteOK{MessageCount: count})
	return nil
}

// disconnected deletes what was exclusive to a connection.
func (h *virtualHost) disconnected(c *connection) {
	for _, q := range h.queues {
		if q.owner == c {
			q.delete()
		}
	}
}
