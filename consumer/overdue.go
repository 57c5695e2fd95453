package consumer

import (
	"fmt"
	"reflect"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// overdueAge is when a warning is due: when four fifths of the broker's time have passed.
func overdueAge(consumerTimeout time.Duration) time.Duration { return consumerTimeout / 5 * 4 }

// overdueEvery is how often that is looked at.
func overdueEvery(c Config) time.Duration {
	shortest := c.ConsumerTimeout
	for _, s := range c.Subscriptions {
		shortest = min(shortest, s.consumerTimeout(c.ConsumerTimeout))
	}
	return max(shortest/20, time.Millisecond)
}

// consumerTimeout is the broker's, unless the consumer's or the queue's arguments say otherwise.
func (s Subscription) consumerTimeout(brokers time.Duration) time.Duration {
	const name = "x-consumer-timeout"
	said := s.Arguments[name]
	if said == nil && s.Declare != nil {
		said = s.Declare.Arguments[name]
	}
	if v := reflect.ValueOf(said); v.CanInt() && v.Int() > 0 {
		return time.Duration(min(v.Int(), int64(maxTimeout/time.Millisecond))) * time.Millisecond
	}
	return brokers
}

const maxTimeout = 100 * 365 * 24 * time.Hour

// strike is what the broker does when a delivery was not acknowledged in time.
type strike int

const (
	nothing strike = iota
	closesChannel
	cancels // basic.cancel, without a reason
	perhapsCancels
)

// strikeOf tells what RabbitMQ of a version does with a queue of a type: up to 4.2 it closes the channel, whatever
// the queue is; from then on the queue does it, and only a quorum queue.
func strikeOf(major, minor int, queueType string) strike {
	switch {
	case major < 4, major == 4 && minor < 3:
		return closesChannel
	case queueType == "quorum":
		return cancels
	case queueType == "":
		return perhapsCancels
	}
	return nothing
}

func (k strike) String() string {
	return [...]string{"nothing happens", "RabbitMQ closes its channel", "RabbitMQ cancels its consumer",
		"RabbitMQ cancels its consumer if this is a quorum queue"}[k]
}

// warnOverdue tells when a handler has taken so long that the broker is about to end its consumer
// (https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout).
func (s *supervisor) warnOverdue() {
	s.lookAtOverruns()
	for _, sub := range s.subscriptions {
		if sub.live == nil {
			continue
		}
		is := sub.dispatch.channel().look()
		if is.all() == 0 || is.oldest == sub.warned {
			continue
		}
		timeout := sub.spec.consumerTimeout(s.config.ConsumerTimeout)
		age := time.Since(is.since)
		if age < overdueAge(timeout) {
			continue
		}
		sub.warned = is.oldest
		if then := s.strike(sub); then != nothing {
			s.record(fsm.KindNote, NoteOverdue, Evidence{
				Queue: sub.spec.Queue, Scope: string(broker.ScopeSubscription), Class: string(broker.ConsumerTimeout),
				Note: fmt.Sprintf("delivery tag %d has been unacknowledged for %v; at %v %v (consumer_timeout): lower Prefetch, raise Concurrency, or raise the timeout at the broker",
					is.oldest, roughly(age), timeout, then),
			})
		}
	}
}

func (s *supervisor) strike(sub *subscription) strike {
	major, minor := sub.on.session.ServerVersion()
	return strikeOf(major, minor, sub.kind.name())
}

// explain adds to a loss what is known about it, and what is to be done.
func (s *supervisor) explain(sub *subscription, e *Evidence) {
	var known string
	if e.Class == string(broker.Cancelled) {
		known = s.explainCancelled(sub, e)
	}
	if e.Class == string(broker.Cancelled) || e.Class == string(broker.ConsumerTimeout) {
		e.Note = joined(known, advice[broker.Class(e.Class)])
	}
	if e.Class == string(broker.ConsumerTimeout) {
		s.overran(sub)
	}
}

// explainCancelled tells why the broker has cancelled a consumer, which it does not say: a delivery has been
// outstanding for too long, or else the queue is gone.
func (s *supervisor) explainCancelled(sub *subscription, e *Evidence) string {
	const gone = "the queue was deleted, or moved to another node"
	is := sub.dispatch.channel().look()
	if then := s.strike(sub); is.all() == 0 || then != cancels && then != perhapsCancels {
		return gone
	}
	timeout, age := sub.spec.consumerTimeout(s.config.ConsumerTimeout), time.Since(is.since)
	if age < timeout-timeout/20 { // the broker sent it earlier than it came in
		return fmt.Sprintf("%s; or the broker's consumer_timeout is shorter than the ConsumerTimeout of %v, and delivery tag %d had been unacknowledged for %v",
			gone, timeout, is.oldest, roughly(age))
	}
	e.Class = string(broker.ConsumerTimeout)
	return fmt.Sprintf("delivery tag %d had been unacknowledged for %v, and the timeout is %v", is.oldest, roughly(age), timeout)
}
