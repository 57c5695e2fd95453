package broker

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"
)

// QueueLength is how many messages of a queue nobody has taken. What is with consumers does not count: neither
// what they have not acknowledged, nor what is on its way to them. A stream of RabbitMQ 3.10 says that it has none.
//
// From RabbitMQ 4.3 on it takes the permission to configure the queue. The error is that of DeclareQueue; it is of class
// NotFound if there is no such queue.
func (s *Session) QueueLength(ctx context.Context, name string) (ready int, err error) {
	if err := checkDeclare(ctx, name, QueueOptions{}); err != nil {
		return 0, err
	}
	found := make(chan amqp.Queue, 1)
	r := &request{queue: name, op: "open channel"}
	r.calls = func() error {
		channel, err := s.link.openPlain()
		if err != nil {
			return s.newError(r.op, ScopeChannel, name, err)
		}
		defer func() { _ = channel.Close() }() // a failure has closed it
		if err := r.step("check queue"); err != nil {
			return err
		}
		queue, err := channel.QueueDeclarePassive(name, false, false, false, false, nil)
		if err != nil {
			return s.newError(r.op, ScopeChannel, name, err)
		}
		found <- queue
		return nil
	}
	if err := s.ask(ctx, r); err != nil {
		return 0, err
	}
	return (<-found).Messages, nil
}
