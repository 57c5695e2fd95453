package broker

import (
	amqp "github.com/rabbitmq/amqp091-go"
)

// QueueOptions are the properties that a queue is declared with. If it exists with other ones, that
// fails with class Precondition.
type QueueOptions struct {
	Durable    bool
	AutoDelete bool
	Exclusive  bool
	// Arguments, e.g. x-queue-type: quorum. A value is nil, a bool, string, []byte or time.Time, a float, an
	// integer of any type but uint and uint64, or a []any or map[string]any of such, up to 10,000 deep.
	Arguments map[string]any
}

// problems are what keeps the queue from being declared, each with its field.
func (o QueueOptions) problems() (problems []string) {
	for _, problem := range checkArguments(o.Arguments, "x-dead-letter-exchange", "x-dead-letter-routing-key") {
		problems = append(problems, "Arguments"+problem)
	}
	return problems
}

// Exchange is an exchange to declare, or with Passive to expect.
type Exchange struct {
	Name string
	// Kind is direct, fanout, topic, headers, or what a plugin adds.
	Kind       string
	Durable    bool
	AutoDelete bool
	Internal   bool
	// Passive only checks that it exists.
	Passive   bool
	Arguments map[string]any
}

// Binding lets an exchange route to the subscription's queue.
type Binding struct {
	Exchange   string
	RoutingKey string
	Arguments  map[string]any
}

// declare puts the subscription's topology in place and returns the queue's name. It describes what
// the caller wants, so it is the same for the first connection and for every revival. A queue that
// the broker has named before on this connection goes by that name: a second one would leave the first
// behind, bound and filling, until the connection ends.
func (s Subscription) declare(ch *amqp.Channel, named string) (queue, op string, err error) {
	for _, x := range s.Exchanges {
		declare := ch.ExchangeDeclare
		if x.Passive {
			declare = ch.ExchangeDeclarePassive
		}
		if err := declare(x.Name, x.Kind, x.Durable, x.AutoDelete, x.Internal, false, table(x.Arguments)); err != nil {
			return "", "declare exchange " + x.Name, err
		}
	}
	queue = s.Queue
	switch q := s.Declare; {
	case q == nil:
	case named != "": // the name is the broker's, which refuses to declare it but answers whether it is there
		queue = named
		if _, err := ch.QueueDeclarePassive(named, q.Durable, q.AutoDelete, q.Exclusive, false, nil); err != nil {
			return "", "check queue " + named, err
		}
	default:
		declared, err := ch.QueueDeclare(s.Queue, q.Durable, q.AutoDelete, q.Exclusive, false, table(q.Arguments))
		if err != nil {
			return "", "declare queue", err
		}
		queue = declared.Name
	}
	for _, b := range s.Bindings {
		if err := ch.QueueBind(queue, b.RoutingKey, b.Exchange, false, table(b.Arguments)); err != nil {
			return "", "bind to exchange " + b.Exchange, err
		}
	}
	return queue, "", nil
}
