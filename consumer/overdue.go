package consumer

import (
	"fmt"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// warnOverdue tells when a handler has taken so long that the broker is about to close its channel
// (https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout).
func (s *supervisor) warnOverdue() {
	for _, sub := range s.subscriptions {
		if sub.live == nil {
			continue
		}
		oldest := sub.view.Load().acks.oldest()
		if oldest == nil || oldest.DeliveryTag == sub.warned {
			continue
		}
		if age := time.Since(oldest.ReceivedAt); age >= s.config.ConsumerTimeout/5*4 {
			sub.warned = oldest.DeliveryTag
			s.record(fsm.KindNote, NoteOverdue, Evidence{
				Queue: oldest.Queue, Scope: string(broker.ScopeSubscription), Class: string(broker.Precondition),
				Note: fmt.Sprintf("delivery tag %d has been unacknowledged for %v; at %v RabbitMQ closes its channel (consumer_timeout)",
					oldest.DeliveryTag, roughly(age), s.config.ConsumerTimeout),
			})
		}
	}
}
