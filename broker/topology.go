package broker

import (
	"context"
	"fmt"
	"slices"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/wire"
)

// QueueOptions are the properties that a queue is declared with where it is missing. One that exists is used as
// it is: see [Consumer.Differences].
type QueueOptions struct {
	Durable    bool
	AutoDelete bool
	Exclusive  bool
	// Arguments, e.g. x-queue-type: quorum. A value is nil, a bool, string, []byte or time.Time, a float, an
	// integer of any type but uint and uint64, or a []any or map[string]any of such, up to 10,000 deep.
	Arguments map[string]any
	// Strict makes a queue that exists with other properties an error of class Precondition, also when it comes
	// to differ later: when the default queue type of the virtual host is changed, for one.
	Strict bool
}

// problems are what keeps the queue from being declared, each with its field.
func (o QueueOptions) problems() (problems []string) {
	for _, problem := range checkArguments(o.Arguments, "x-dead-letter-exchange", "x-dead-letter-routing-key") {
		problems = append(problems, "Arguments"+problem)
	}
	return problems
}

// Exchange is an exchange to declare where it is missing, or with Passive to expect. One that exists is used as it
// is.
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

// foundation is a subscription's topology on the way to be put in place. It describes what the caller wants, so it
// is the same for the first connection and for every revival. What exists is used as it is. A refusal closes the
// channel that it came on, and the next one goes on.
type foundation struct {
	step    func(op string) error // before anything is asked; see request
	channel *amqp.Channel
	vhost   string
	reopen  func() (*amqp.Channel, error)
	found   []declaration // what had been there before, as far as it can be asked about
}

// declaration is a queue or an exchange that is to be there.
type declaration struct {
	op      string // "declare queue"
	name    string
	queue   string // "" if it is an exchange
	passive func(*amqp.Channel) error
	active  func(*amqp.Channel) error
	known   bool // a refusal of the active one closes the channel, not the connection

	arguments map[string]any
}

// lay puts the topology in place and returns the queue's name. A queue that the broker has named before on this
// connection goes by that name: a second one would leave the first behind, bound and filling, until the
// connection ends.
func (f *foundation) lay(s Subscription, named string) (queue string, err error) {
	for _, x := range s.Exchanges {
		d := x.declaration()
		if x.Passive {
			err = f.ask(d.op, d.passive)
		} else {
			err = f.ensure(d)
		}
		if err != nil {
			return "", err
		}
	}
	queue = s.Queue
	switch q := s.Declare; {
	case q == nil:
	case named != "": // the name is the broker's, which refuses to declare it but answers whether it is there
		queue = named
		err = f.ask("check queue "+named, q.declaration(named).passive)
	case queue == "":
		err = f.ask("declare queue", func(ch *amqp.Channel) error {
			declared, err := q.declare(ch, "")
			queue = declared.Name
			return err
		})
	case q.Strict:
		d := q.declaration(queue)
		err = f.ask(d.op, d.active)
	default:
		err = f.ensure(q.declaration(queue))
	}
	if err != nil {
		return "", err
	}
	for _, b := range s.Bindings {
		err := f.ask("bind to exchange "+b.Exchange, func(ch *amqp.Channel) error {
			return ch.QueueBind(queue, b.RoutingKey, b.Exchange, false, table(b.Arguments))
		})
		if err != nil {
			return "", err
		}
	}
	return queue, nil
}

func (f *foundation) ask(op string, call func(*amqp.Channel) error) error {
	if err := f.step(op); err != nil {
		return err
	}
	return call(f.channel)
}

// ensure declares what is missing.
func (f *foundation) ensure(d declaration) error {
	if f.canBeMissed(d.name) {
		err := f.ask(d.op, d.passive)
		if err == nil {
			f.keep(d)
			return nil
		}
		class, _ := Classify(err)
		if class != NotFound && class != Auth {
			return err
		}
		if f.channel, err = f.reopen(); err != nil {
			return err
		}
		if class == Auth {
			// From RabbitMQ 4.3 on the user must be allowed to configure what is only looked at. Who may not cannot declare
			// it either, and may use what is there: whether it is, the next call tells.
			return nil
		}
	}
	refusal := f.ask(d.op, d.active)
	if class, _ := Classify(refusal); class != Precondition {
		return refusal
	}
	var err error
	// Somebody else has declared it meanwhile, and otherwise; or it cannot be declared so at all.
	if f.channel, err = f.reopen(); err != nil {
		return err
	}
	if f.ask(d.op, d.passive) != nil {
		return refusal
	}
	f.keep(d)
	return nil
}

// keep remembers what is there, unless to ask how it differs may cost the connection.
func (f *foundation) keep(d declaration) {
	const refusal = "PRECONDITION_FAILED - inequivalent arg '' for queue '' in vhost '': received the value '' of type '' but current is the value ''"
	if d.known && canBeSaid(refusal+d.name+f.vhost+fmt.Sprint(d.arguments, d.arguments)) {
		f.found = append(f.found, d)
	}
}

// canBeMissed tells whether the broker can say that there is nothing of that name.
func (f *foundation) canBeMissed(name string) bool {
	return canBeSaid(fmt.Sprintf("NOT_FOUND - no exchange '%s' in vhost '%s'", name, f.vhost))
}

// canBeSaid tells whether the broker can say that: RabbitMQ from 4.0 on shortens its words to 255 characters instead of
// bytes, and ends the connection (541) where that makes a difference.
func canBeSaid(words string) bool {
	return len(words) <= wire.MaxShortString || len(words) == utf8.RuneCountInString(words)
}

func (x Exchange) declaration() declaration {
	with := func(declare func(name, kind string, durable, autoDelete, internal, noWait bool, args amqp.Table) error) error {
		return declare(x.Name, x.Kind, x.Durable, x.AutoDelete, x.Internal, false, table(x.Arguments))
	}
	return declaration{
		op:      "declare exchange " + x.Name,
		name:    x.Name,
		passive: func(ch *amqp.Channel) error { return with(ch.ExchangeDeclarePassive) },
		active:  func(ch *amqp.Channel) error { return with(ch.ExchangeDeclare) },
		known:   slices.Contains(kinds, x.Kind), arguments: x.Arguments,
	}
}

// kinds of exchanges are known to every broker. RabbitMQ before 4.0 ends the connection when it is told of another
// one (503).
var kinds = []string{amqp.ExchangeDirect, amqp.ExchangeFanout, amqp.ExchangeTopic, amqp.ExchangeHeaders}

func (o *QueueOptions) declaration(queue string) declaration {
	return declaration{
		op: "declare queue", name: queue, queue: queue, known: true, arguments: o.Arguments,
		passive: func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive(queue, o.Durable, o.AutoDelete, o.Exclusive, false, nil)
			return err
		},
		active: func(ch *amqp.Channel) error {
			_, err := o.declare(ch, queue)
			return err
		},
	}
}

func (o *QueueOptions) declare(ch *amqp.Channel, queue string) (amqp.Queue, error) {
	return ch.QueueDeclare(queue, o.Durable, o.AutoDelete, o.Exclusive, false, table(o.Arguments))
}

// Differences declares once more what had been there before, on a channel of its own, and returns the broker's
// refusals: in which way what exists is not what is declared. Each is of class Precondition. It leaves out what
// cannot be found out: the user may only use what exists, the answer is overdue, the connection breaks, or the answer
// could break it (an exchange of a plugin's kind, long names that are not ASCII).
//
// It takes three round trips, and three more for each difference. What differs has no bearing on the consumer, and
// stays as it is until somebody changes it: to ask once is enough.
func (c *Consumer) Differences(ctx context.Context) (differences []*Error) {
	s := c.session
	found := make(chan *Error, len(c.found))
	r := &request{queue: c.queue, op: "open channel"}
	r.calls = func() (err error) {
		var channel *amqp.Channel
		for _, d := range c.found {
			if err = r.step(d.op); err != nil {
				break
			}
			if channel == nil {
				if channel, err = s.link.openPlain(); err != nil {
					return err
				}
			}
			if err = d.active(channel); err == nil {
				continue
			}
			channel = nil // it is closed
			if e := s.newError(d.op, ScopeChannel, d.queue, err); e.Class == Precondition {
				found <- e
			}
		}
		if channel != nil {
			err = channel.Close()
		}
		return err
	}
	_ = s.ask(ctx, r)
	for len(found) > 0 {
		differences = append(differences, <-found)
	}
	return differences
}
