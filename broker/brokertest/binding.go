package brokertest

import (
	"reflect"
	"slices"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// binding leads from an exchange to a queue, or to another exchange.
type binding struct {
	queue     *queue
	exchange  *exchange
	key       string
	arguments wire.Table
}

func (b *binding) equal(other *binding) bool {
	return b.queue == other.queue && b.exchange == other.exchange && b.key == other.key &&
		(len(b.arguments) == 0 && len(other.arguments) == 0 || reflect.DeepEqual(b.arguments, other.arguments))
}

// bind adds a binding, unless it is there already.
func (x *exchange) bind(b *binding) error {
	if x.kind == "headers" {
		if err := checkMatch(b.arguments, x.host.server.has(versions.PrintsUnicode)); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(x.bindings, b.equal) {
		x.bindings = append(x.bindings, b)
	}
	return nil
}

// unbind removes the bindings that match. An auto-delete exchange goes with its last one.
func (x *exchange) unbind(match func(*binding) bool) {
	before := len(x.bindings)
	x.bindings = slices.DeleteFunc(x.bindings, match)
	if x.autoDelete && before > 0 && len(x.bindings) == 0 {
		x.delete()
	}
}

func (ch *channel) bindQueue(m *wire.QueueBind) error {
	name, err := ch.named(m.Queue)
	if err != nil {
		return err
	}
	b := &binding{key: ch.bindingKey(m.Queue, m.RoutingKey), arguments: m.Arguments}
	if err := ch.host().bindQueue(withoutBreaks(m.Exchange), withoutBreaks(name), b, ch.connection); err != nil {
		return err
	}
	ch.answer(m.NoWait, &wire.QueueBindOK{})
	return nil
}

// bindQueue has b lead from an exchange to a queue that the connection may use.
func (h *virtualHost) bindQueue(from, to string, b *binding, c *connection) error {
	if from == "" {
		return errNotOnDefault
	}
	x, err := h.exchange(from)
	if err != nil {
		return err
	}
	if b.queue, err = h.queue(to, c); err != nil {
		return err
	}
	return x.bind(b)
}

func (ch *channel) unbindQueue(m *wire.QueueUnbind) error {
	name, err := ch.named(m.Queue)
	if err != nil {
		return err
	}
	b := &binding{key: ch.bindingKey(m.Queue, m.RoutingKey), arguments: m.Arguments}
	from := withoutBreaks(m.Exchange)
	if from == "" {
		return errNotOnDefault
	}
	if err := ch.host().unbindQueue(from, withoutBreaks(name), b, ch.connection); err != nil {
		return err
	}
	ch.send(&wire.QueueUnbindOK{})
	return nil
}

// unbindQueue is content with a queue, an exchange or a binding that is not there. A binding that is there has to lead to
// a queue that the connection may use; nil is nobody's, and may all.
func (h *virtualHost) unbindQueue(from, to string, b *binding, c *connection) error {
	x, q := h.exchanges[from], h.queues[to]
	if x == nil || q == nil {
		return nil
	}
	b.queue = q
	if c != nil && q.owner != nil && q.owner != c && slices.ContainsFunc(x.bindings, b.equal) {
		return q.locked()
	}
	x.unbind(b.equal)
	return nil
}

func (ch *channel) bindExchange(m *wire.ExchangeBind) error {
	m.Source, m.Destination = withoutBreaks(m.Source), withoutBreaks(m.Destination)
	if m.Source == "" || m.Destination == "" {
		return errNotOnDefault
	}
	source, err := ch.host().exchange(m.Source)
	if err != nil {
		return err
	}
	destination, err := ch.host().exchange(m.Destination)
	if err != nil {
		return err
	}
	if err := source.bind(&binding{exchange: destination, key: m.RoutingKey, arguments: m.Arguments}); err != nil {
		return err
	}
	ch.answer(m.NoWait, &wire.ExchangeBindOK{})
	return nil
}

// unbindExchange is content with an exchange or a binding that is not there.
func (ch *channel) unbindExchange(m *wire.ExchangeUnbind) error {
	m.Source, m.Destination = withoutBreaks(m.Source), withoutBreaks(m.Destination)
	if m.Source == "" || m.Destination == "" {
		return errNotOnDefault
	}
	source, destination := ch.host().exchanges[m.Source], ch.host().exchanges[m.Destination]
	if source != nil && destination != nil {
		source.unbind((&binding{exchange: destination, key: m.RoutingKey, arguments: m.Arguments}).equal)
	}
	ch.answer(m.NoWait, &wire.ExchangeUnbindOK{})
	return nil
}
