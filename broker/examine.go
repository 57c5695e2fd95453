package broker

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"regexp"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

// QueueFacts are what a client can find out about a queue without changing it.
type QueueFacts struct {
	// Ready is how many messages wait in it, and Consumers how many consume from it.
	Ready, Consumers int
	// Durable and AutoDelete are as it was declared.
	Durable, AutoDelete bool
	// Arguments are those that it was declared with, as far as the broker tells: x-queue-type is always there if Unknown
	// is nil. What a policy adds is not among them.
	Arguments map[string]any
	// Unknown is why the properties are not known, or not all of them: the user may not configure the queue, its name
	// could cost the connection. Nil if they are.
	Unknown error
}

// refused are arguments that no queue can be declared with. A queue that is there refuses them because it has others,
// and says which; one that is missing is not created.
var refused = []struct {
	name  string
	value any
}{
	{"x-expires", "everhop"},
	{"x-message-ttl", "everhop"},
	{"x-dead-letter-exchange", false},
	{"x-max-length", "everhop"},
	{"x-overflow", "everhop"},
	{"x-single-active-consumer", "everhop"},
	{"x-delivery-limit", "everhop"},
	{queueType, "everhop"},
}

// ExamineQueue asks for a queue, and then how it was declared: by declarations that the broker can only refuse, which
// says in which way each differs. None can create the queue, should it be deleted meanwhile. It takes some thirty round
// trips. The error is an *Error: of class NotFound if there is no such queue, Exclusive if another connection holds it,
// Overdue if it does not answer, Auth if the user may not ask (from RabbitMQ 4.3 on, without the permission to configure).
func (s *Session) ExamineQueue(ctx context.Context, queue string) (QueueFacts, error) {
	facts := QueueFacts{Durable: true, Arguments: map[string]any{}}
	err := s.onChannel(ctx, queue, "look for queue", func(ch *amqp.Channel) error {
		there, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		facts.Ready, facts.Consumers = there.Messages, there.Consumers
		return err
	})
	if err != nil {
		return QueueFacts{}, err
	}
	if !s.canSayDifference(queue) {
		return facts, nil
	}
	for _, r := range refused {
		if facts.Unknown = s.learn(ctx, queue, r.name, r.value, &facts); facts.Unknown != nil {
			return facts, nil
		}
	}
	if facts.Arguments[queueType] == nil {
		facts.Arguments[queueType] = classicType
	}
	return facts, nil
}

const (
	queueType   = "x-queue-type"
	classicType = "classic"
)

// errTaken is for a broker that has taken what it should have refused, and may have declared a queue.
var errTaken = errors.New("the broker has taken a type of queue that does not exist")

// errUnspeakable is why a queue cannot be asked for.
var errUnspeakable = errors.New("its name is too long for what the broker would have to say")

// QueueType asks for a queue's type as [Session.ExamineQueue] does, and for nothing else: "classic", "quorum" or "stream". It
// takes a channel for that, and one for each way in which the queue is not just durable. The error says why it is not known:
// there is no such queue, say, or the user may not configure it.
func (s *Session) QueueType(ctx context.Context, queue string) (string, error) {
	if !s.canSayDifference(queue) {
		return "", errUnspeakable
	}
	facts := QueueFacts{Durable: true, Arguments: map[string]any{}}
	if err := s.learn(ctx, queue, queueType, "everhop", &facts); err != nil {
		return "", err
	}
	kind, _ := facts.Arguments[queueType].(string)
	return cmp.Or(kind, classicType), nil
}

// canSayDifference tells whether the broker can say how a queue differs from what is declared.
func (s *Session) canSayDifference(queue string) bool {
	const words = "PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-routing-key' for queue '' in vhost '': received none but current is the value '' of type 'longstr'"
	return canBeSaid(words + queue + s.link.endpoint.vhost)
}

// learn declares the queue with all that is known of it and an argument that it cannot have, until that is what the broker
// refuses.
func (s *Session) learn(ctx context.Context, queue, name string, value any, facts *QueueFacts) error {
	for told := map[string]bool{}; !told[name]; {
		arguments := map[string]any{}
		maps.Copy(arguments, facts.Arguments)
		arguments[name] = value
		err := s.onChannel(ctx, queue, "compare queue", func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, facts.Durable, facts.AutoDelete, false, false, table(arguments))
			return err
		})
		if err == nil {
			if name == queueType {
				return errTaken
			}
			return nil // queues of its type do not know the argument
		}
		difference := inequivalent.FindStringSubmatch(err.(*Error).cause()) //nolint:errorlint // onChannel returns no other
		if difference == nil {
			return err
		}
		property, current := difference[1], difference[2]
		if told[property] { // what is told of it cannot be said back
			return err
		}
		told[property] = true
		switch {
		case property == "durable":
			facts.Durable = current == "true"
		case property == "auto_delete":
			facts.AutoDelete = current == "true"
		case current != "":
			facts.Arguments[property] = argumentOf(current)
		}
	}
	return nil
}

// inequivalent are RabbitMQ's words for what differs, and what it is; nothing if there is none.
var inequivalent = regexp.MustCompile(`(?s)inequivalent arg '([\w-]+)' for queue '.*but current is (?:none$|(?:the value )?'(.*?)'(?: of type '\w+')?$)`)

// argumentOf reads a value that the broker has told.
func argumentOf(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if b, err := strconv.ParseBool(text); err == nil {
		return b
	}
	return text
}

// MayConfigure asks whether the user may declare a queue of this name: it declares one that cannot be. The error is of
// class Auth if not.
func (s *Session) MayConfigure(ctx context.Context, queue string) error {
	return permitted(s.onChannel(ctx, queue, "ask for the permission to configure", func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queue, true, false, false, false, amqp.Table{refused[0].name: refused[0].value})
		return err
	}))
}

// MayRead asks whether the user may consume from a queue of this name, which need not be there: it consumes in a way that
// cannot be. The error is of class Auth if not.
func (s *Session) MayRead(ctx context.Context, queue string) error {
	return permitted(s.onChannel(ctx, queue, "ask for the permission to read", func(ch *amqp.Channel) error {
		_, err := ch.Consume(queue, "", false, false, false, false, amqp.Table{"x-priority": "everhop"})
		return err
	}))
}

// permitted is nil for what the broker refuses to whom it has permitted to ask.
func permitted(err error) error {
	switch class, _ := Classify(err); class {
	case Precondition, NotFound, Exclusive:
		return nil
	}
	return err
}

// onChannel makes a call on a channel of its own. Its error is an *Error.
func (s *Session) onChannel(ctx context.Context, queue, op string, call func(*amqp.Channel) error) error {
	r := &request{queue: queue, op: op}
	r.calls = func() error {
		channel, err := s.link.openPlain()
		if err != nil {
			return s.newError(op, ScopeChannel, queue, err)
		}
		if err := call(channel); err != nil {
			failure := s.newError(op, ScopeChannel, queue, err)
			_ = channel.Close()
			return failure
		}
		_ = channel.Close() // the answer is there
		return nil
	}
	return s.ask(ctx, r)
}
