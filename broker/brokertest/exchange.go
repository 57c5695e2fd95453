package brokertest

import (
	"slices"
	"strings"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// virtualHost holds exchanges and queues. Everything in it is guarded by the server's mu.
type virtualHost struct {
	server    *Server
	name      string
	exchanges map[string]*exchange
	queues    map[string]*queue
	policies  map[string]*policy
	bounds    map[string]*policy // of operators
}

// traces is the exchange at which RabbitMQ shows all messages, once an operator has it do so. Nobody does here.
const traces = "amq.rabbitmq.trace"

func newVirtualHost(s *Server, name string) *virtualHost {
	h := &virtualHost{server: s, name: name, exchanges: make(map[string]*exchange), queues: make(map[string]*queue), policies: make(map[string]*policy), bounds: make(map[string]*policy)}
	for name, kind := range map[string]string{
		"": "direct", "amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic",
		"amq.headers": "headers", "amq.match": "headers",
	} {
		h.exchanges[name] = &exchange{host: h, name: name, kind: kind, durable: true}
	}
	h.exchanges[traces] = &exchange{host: h, name: traces, kind: "topic", durable: true, internal: true}
	return h
}

func (h *virtualHost) exchange(name string) (*exchange, error) {
	if x := h.exchanges[name]; x != nil {
		return x, nil
	}
	return nil, h.missing("exchange", name)
}

// exchange routes messages to queues.
type exchange struct {
	host                          *virtualHost
	name, kind                    string
	durable, autoDelete, internal bool
	arguments                     wire.Table
	bindings                      []*binding
}

// alternateExchange is the argument that names the exchange to which a message goes that no binding takes.
const alternateExchange = "alternate-exchange"

// alternate is that exchange; nil if there is none, or none any more.
func (x *exchange) alternate() *exchange {
	name, given := x.arguments[alternateExchange].(string)
	if !given && len(x.host.policies) > 0 {
		name, given = x.policy()[alternateExchange].(string)
	}
	if !given {
		return nil
	}
	return x.host.exchanges[name]
}

// predeclared tells whether the exchange is one of RabbitMQ's own.
func (x *exchange) predeclared() bool { return isPredeclared(x.name) }

func isPredeclared(exchange string) bool {
	return exchange == "" || strings.HasPrefix(exchange, "amq.")
}

// delete ends the exchange, and the bindings from others to it.
func (x *exchange) delete() {
	delete(x.host.exchanges, x.name)
	for _, other := range x.host.exchanges {
		other.unbind(func(b *binding) bool { return b.exchange == x })
	}
}

var errNotOnDefault = refuse(accessRefused, "operation not permitted on the default exchange")

func (ch *channel) declareExchange(m *wire.ExchangeDeclare) error {
	m.Exchange = withoutBreaks(m.Exchange)
	host := ch.host()
	var err error
	switch {
	case !m.Passive:
		err = host.declareExchange(&exchange{
			host: host, name: m.Exchange, kind: m.Type,
			durable: m.Durable, autoDelete: m.AutoDelete, internal: m.Internal, arguments: m.Arguments,
		})
	case m.Exchange == "":
		err = errNotOnDefault
	default:
		_, err = host.exchange(m.Exchange)
	}
	if err != nil {
		return err
	}
	ch.answer(m.NoWait, &wire.ExchangeDeclareOK{})
	return nil
}

// declareExchange adds an exchange, unless it is there already.
func (h *virtualHost) declareExchange(x *exchange) error {
	if x.name == "" {
		return errNotOnDefault
	}
	if !slices.Contains([]string{"direct", "fanout", "topic", "headers"}, x.kind) {
		code := uint16(commandInvalid)
		if h.server.has(versions.ForgivesTypes) {
			code = preconditionFailed
		}
		return refuse(code, "invalid exchange type '%s'", x.kind)
	}
	for name := range x.arguments {
		if name != alternateExchange {
			if err := h.server.unknown("exchange.declare", name); err != nil {
				return err
			}
		}
	}
	if there := h.exchanges[x.name]; there != nil {
		return x.equivalent(there)
	}
	if x.predeclared() {
		return refuse(accessRefused, "exchange name '%s' contains reserved prefix 'amq.*'", x.name)
	}
	if name, given := x.arguments[alternateExchange]; given {
		if _, ok := name.(string); !ok {
			return refuse(preconditionFailed, "invalid type '%s' for arg '%s' in exchange '%s' in vhost '%s'", typeName(name), alternateExchange, x.name, h.name)
		}
	}
	h.exchanges[x.name] = x
	return nil
}

// equivalent tells how x differs from what is there already.
func (x *exchange) equivalent(there *exchange) error {
	differs := func(argument string, received, current any) error {
		return refuse(preconditionFailed, "inequivalent arg '%s' for exchange '%s' in vhost '%s': %s",
			argument, x.name, x.host.name, unlike(received, current))
	}
	switch {
	case x.kind != there.kind:
		return differs("type", x.kind, there.kind)
	case x.durable != there.durable:
		return differs("durable", x.durable, there.durable)
	case x.autoDelete != there.autoDelete:
		return differs("auto_delete", x.autoDelete, there.autoDelete)
	case x.internal != there.internal:
		return differs("internal", x.internal, there.internal)
	}
	if received, current := x.arguments[alternateExchange], there.arguments[alternateExchange]; !sameValue(received, current) {
		return differs(alternateExchange, received, current)
	}
	return nil
}

func (ch *channel) deleteExchange(m *wire.ExchangeDelete) error {
	m.Exchange = withoutBreaks(m.Exchange)
	host := ch.host()
	x := host.exchanges[m.Exchange]
	switch {
	case m.Exchange == "":
		return errNotOnDefault
	case strings.HasPrefix(m.Exchange, "amq."): // whether or not it is there
		return refuse(accessRefused, "deletion of system exchange '%s' in vhost '%s' not allowed", m.Exchange, host.name)
	case x != nil && m.IfUnused && len(x.bindings) > 0:
		return refuse(preconditionFailed, "exchange '%s' in vhost '%s' in use", m.Exchange, host.name)
	}
	if x != nil {
		x.delete()
	}
	ch.answer(m.NoWait, &wire.ExchangeDeleteOK{})
	return nil
}
