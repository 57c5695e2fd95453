package brokertest

import (
	"errors"
	"fmt"

	"github.com/everhop/everhop/broker/internal/wire"
)

// The methods of Server in this file make and delete queues, exchanges and bindings of a virtual host, as an
// operator does. Those that are faults have a namesake that is one, for Inject to play at its moment.

// DeclareQueue makes a durable queue in the virtual host, if it is not there already. It fails where
// RabbitMQ would refuse, without a name, with an argument of a type that AMQP does not have (uint64 and
// time.Duration are such), and when the server is closed.
func (v *VirtualHost) DeclareQueue(name string, arguments map[string]any) error {
	if name == "" { // of which RabbitMQ would make one
		return errors.New("brokertest: declare: a queue has a name")
	}
	return v.arrange("declare "+name, []string{name}, arguments, func(h *virtualHost, arguments wire.Table) error {
		_, err := h.declare(name, declaration{durable: true, arguments: arguments})
		return err
	})
}

// DeleteQueue deletes a queue of the virtual host, whatever it holds, if it is there; its consumers
// are cancelled.
func (v *VirtualHost) DeleteQueue(name string) { v.do(DeleteQueue(name)) }

// DeleteQueue is the fault that VirtualHost.DeleteQueue brings about.
func DeleteQueue(name string) Fault {
	return Fault{name: "DeleteQueue", host: func(h *virtualHost) {
		if q := h.queues[name]; q != nil {
			q.delete()
		}
	}}
}

// DeclareExchange makes a durable exchange in the virtual host, if it is not there already. The kind is direct,
// fanout, topic or headers; alternate-exchange is the one argument there is. It fails as DeclareQueue does.
func (v *VirtualHost) DeclareExchange(name, kind string, arguments map[string]any) error {
	return v.arrange("declare exchange "+name, []string{name}, arguments, func(h *virtualHost, arguments wire.Table) error {
		return h.declareExchange(&exchange{host: h, name: name, kind: kind, durable: true, arguments: arguments})
	})
}

// DeleteExchange deletes an exchange of the virtual host and its bindings, if it is there and is not one of
// RabbitMQ's own: who publishes to it loses the channel with 404 from then on.
func (v *VirtualHost) DeleteExchange(name string) { v.do(DeleteExchange(name)) }

// DeleteExchange is the fault that VirtualHost.DeleteExchange brings about.
func DeleteExchange(name string) Fault {
	return Fault{name: "DeleteExchange", host: func(h *virtualHost) {
		if x := h.exchanges[name]; x != nil && !x.predeclared() {
			x.delete()
		}
	}}
}

// Bind has an exchange of the virtual host route messages to a queue of it. What arguments are for depends on
// the exchange: headers exchanges compare them. It fails where RabbitMQ would refuse, as where one of the two is
// missing, with an argument of a type that AMQP does not have, and when the server is closed.
func (v *VirtualHost) Bind(exchange, key, queue string, arguments map[string]any) error {
	return v.arrange("bind "+queue, []string{exchange, key, queue}, arguments, func(h *virtualHost, arguments wire.Table) error {
		return h.bindQueue(exchange, queue, &binding{key: key, arguments: arguments}, nil)
	})
}

// Unbind ends what Bind, or a client, began with the same key and arguments, if it is there: a message may become
// unroutable.
func (v *VirtualHost) Unbind(exchange, key, queue string, arguments map[string]any) {
	v.do(Unbind(exchange, key, queue, arguments))
}

// Unbind is the fault that VirtualHost.Unbind brings about.
func Unbind(exchange, key, queue string, arguments map[string]any) Fault {
	arguments = wire.Clone(arguments)
	return Fault{name: "Unbind", host: func(h *virtualHost) {
		_ = h.unbindQueue(exchange, queue, &binding{key: key, arguments: arguments}, nil) // refuses connections only
	}}
}

// arrange does what somebody asks for from outside, unless it could not be said in AMQP.
func (v *VirtualHost) arrange(what string, names []string, arguments map[string]any, do func(*virtualHost, wire.Table) error) error {
	for _, name := range names {
		if len(name) > wire.MaxShortString {
			return fmt.Errorf("brokertest: %.40s...: a name or a key has up to %d bytes, and this has %d", what, wire.MaxShortString, len(name))
		}
	}
	if err := wire.Validate(arguments); err != nil {
		return fmt.Errorf("brokertest: %s: %w", what, err)
	}
	v.server.mu.Lock()
	defer v.server.unlock()
	h, err := v.find()
	if err != nil {
		return err
	}
	if err := do(h, wire.Clone(arguments)); err != nil {
		return fmt.Errorf("brokertest: %s: %w", what, err)
	}
	return nil
}
