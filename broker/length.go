package broker

import "context"

// QueueLength is how many messages wait in a queue, without those that are delivered and not acknowledged, and how many
// consumers it has. It changes nothing and needs no permission. Every error is an *Error of ScopeChannel (class NotFound: there is no such queue), or of ScopeConnection if
// the connection broke.
func (s *Session) QueueLength(ctx context.Context, queue string) (ready, consumers int, err error) {
	var counted struct{ ready, consumers int }
	r := &request{queue: queue, op: "look at queue"}
	r.calls = func() error {
		channel, err := s.link.openPlain()
		if err != nil {
			return s.newError("open channel", ScopeChannel, queue, err)
		}
		q, err := channel.QueueDeclarePassive(queue, false, false, false, false, nil)
		if err != nil { // which has closed the channel
			return s.newError(r.op, ScopeChannel, queue, err)
		}
		counted.ready, counted.consumers = q.Messages, q.Consumers
		_ = channel.Close()
		return nil
	}
	if err := s.ask(ctx, r); err != nil {
		return 0, 0, err
	}
	return counted.ready, counted.consumers, nil
}
