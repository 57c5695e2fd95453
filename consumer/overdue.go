package consumer

import (
	"fmt"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// overdueAge is when a warning is due: when four fifths of the broker's time have passed.
func overdueAge(consumerTimeout time.Duration) time.Duration { return consumerTimeout / 5 * 4 }

// overdueEvery is how often that is looked at.
func overdueEvery(consumerTimeout time.Duration) time.Duration {
	return max(consumerTimeout/20, time.Millisecond)
}

// warnOverdue tells when a handler has taken so long that the broker is about to close its channel
// (https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout).
func (s *supervisor) warnOverdue() {
	for _, sub := range s.subscriptions {
		if sub.live == nil {
			continue
		}
		tag, since, ok := sub.dispatch.oldest()
		if !ok || tag == sub.warned {
			continue
		}
		if age := time.Since(since); age >= overdueAge(s.config.ConsumerTimeout) {
			sub.warned = tag
			s.record(fsm.KindNote, NoteOverdue, Evidence{
				Queue: sub.spec.Queue, Scope: string(broker.ScopeSubscription), Class: string(broker.Precondition),
				Note: fmt.Sprintf("delivery tag %d has been unacknowledged for %v; at %v RabbitMQ closes its channel (consumer_timeout): lower Prefetch, raise Concurrency, or raise the timeout at the broker",
					tag, roughly(age), s.config.ConsumerTimeout),
			})
		}
	}
}
