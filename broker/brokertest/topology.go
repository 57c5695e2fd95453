package brokertest

import (
	"errors"
	"fmt"

	"github.com/everhop/everhop/broker/internal/wire"
)

// The methods of Server in this file make and delete queues, exchanges and bindings of the first virtual host, as an
// operator does. Those that are faults have a namesake that is one, for Inject to play at its moment.

// DeclareQueue makes a durable queue in the first virtual host, if it is not there already. It fails where
// RabbitMQ would refuse, without a name, with an argument of a type that AMQP does not have (uint64 and
// time.Duration are such), and when the server is closed.
func (s *Server) DeclareQueue(name string, arguments map[string]any) error {
	if name == "" { // of which RabbitMQ would make one
		return errors.New("brokertest: declare: a queue has a name")
	}
	return s.arrange("declare "+name, []string{name}, arguments, func(arguments wire.Table) error {
		_, err := s.home.declare(name, declaration{durable: true, arguments: arguments})
		return err
	})
}

// DeleteQueue deletes a queue of the first virtual host, whatever it holds, if it is there; its consumers
// are cancelled.
func (s *Server) DeleteQueue(name string) { s.do(DeleteQueue(name)) }

// DeleteQueue is the fault that Server.DeleteQueue brings about.
func DeleteQueue(name string) Fault {
	return Fault{name: "DeleteQueue", broker: func(s *Server) {
		if q := s.home.queues[name]; q != nil {
			q.delete()
		}
	}}
}

// DeclareExchange makes a durable exchange in the first virtual host, if it is not there already. The kind is direct,
// fanout, topic or headers; alternate-exchange is the one argument there is. It fails as DeclareQueue does.
func (s *Server) DeclareExchange(name, kind string, arguments map[string]any) error {
	return s.arrange("declare exchange "+name, []string{name}, arguments, func(arguments wire.Table) error {
		return s.home.declareExchange(&exchange{host: s.home, name: name, kind: kind, durable: true, arguments: arguments})
	})
}

// DeleteExchange deletes an exchange of the first virtual host and its bindings, if it is there and is not one of
// RabbitMQ's own: who publishes to it loses the channel with 404 from then on.
func (s *Server) DeleteExchange(name string) { s.do(DeleteExchange(name)) }

// DeleteExchange is the fault that Server.DeleteExchange brings about.
func DeleteExchange(name string) Fault {
	return Fault{name: "DeleteExchange", broker: func(s *Server) {
		if x := s.home.exchanges[name]; x != nil && !x.predeclared() {
			x.delete()
		}
	}}
}

// Bind has an exchange of the first virtual host route messages to a queue of it. What arguments are for depends on
// the exchange: headers exchanges compare them. It fails where RabbitMQ would refuse, as where one of the two is
// missing, with an argument of a type that AMQP does not have, and when the server is closed.
func (s *Server) Bind(exchange, key, queue string, arguments map[string]any) error {
	return s.arrange("bind "+queue, []string{exchange, key, queue}, arguments, func(arguments wire.Table) error {
		return s.home.bindQueue(exchange, queue, &binding{key: key, arguments: arguments}, nil)
	})
}

// Unbind ends what Bind, or a client, began with the same key and arguments, if it is there: a message may become
// unroutable.
func (s *Server) Unbind(exchange, key, queue string, arguments map[string]any) {
	s.do(Unbind(exchange, key, queue, arguments))
}

// Unbind is the fault that Server.Unbind brings about.
func Unbind(exchange, key, queue string, arguments map[string]any) Fault {
	arguments = wire.Clone(arguments)
	return Fault{name: "Unbind", broker: func(s *Server) {
		_ = s.home.unbindQueue(exchange, queue, &binding{key: key, arguments: arguments}, nil) // refuses connections only
	}}
}

// arrange does what somebody asks for from outside, unless it could not be said in AMQP.
func (s *Server) arrange(what string, names []string, arguments map[string]any, do func(wire.Table) error) error {
	for _, name := range names {
		if len(name) > wire.MaxShortString {
			return fmt.Errorf("brokertest: %.40s...: a name or a key has up to %d bytes, and this has %d", what, wire.MaxShortString, len(name))
		}
	}
	if err := wire.Validate(arguments); err != nil {
		return fmt.Errorf("brokertest: %s: %w", what, err)
	}
	s.mu.Lock()
	defer s.unlock()
	if s.closed {
		return ErrClosed
	}
	if err := do(wire.Clone(arguments)); err != nil {
		return fmt.Errorf("brokertest: %s: %w", what, err)
	}
	return nil
}
