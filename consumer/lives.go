package consumer

import (
	"context"
	"fmt"
	"math"
	"reflect"

	"github.com/everhop/everhop/broker"
)

// A quorum queue counts how often a message came back, whatever the reason: it was put back, or its channel or
// its connection ended while it was unacknowledged, even if nobody had begun with it. One that came back more often
// than the delivery limit is dead-lettered, or dropped (https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling).
// From RabbitMQ 4.0 on each quorum queue has a limit.
//
// A delivery that has few lives left is saved as soon as it comes in, whether a handler is free or not: a copy goes to
// the end of its queue, where it counts from 0, and then the delivery is acknowledged.

const (
	// DefaultDeliveryLimit is RabbitMQ's own, and the default of Subscription.DeliveryLimit.
	DefaultDeliveryLimit = 20
	// NoDeliveryLimit is the Subscription.DeliveryLimit of a queue that has none.
	NoDeliveryLimit = -1
)

// HeaderSaved is how often a message was published again because it had come back nearly as often as its queue
// allows (int64).
const HeaderSaved = "x-everhop-saved"

const (
	deliveryCount = "x-delivery-count" // how often a message came back to its quorum queue
	deliveryLimit = "x-delivery-limit" // the argument of the queue
	// oftenSaved is how often a message may be saved before somebody should look.
	oftenSaved = 3
)

// deliveryLimit is the limit that was set, else that which the queue is declared with, else RabbitMQ's.
func (s Subscription) deliveryLimit() int {
	if s.DeliveryLimit != 0 {
		return s.DeliveryLimit
	}
	if s.Declare != nil {
		if declared, ok := s.Declare.Arguments[deliveryLimit]; ok {
			if n, ok := integer(declared); ok {
				return n
			}
		}
	}
	return DefaultDeliveryLimit
}

// lastLives is from which delivery count on a message is saved: when a quarter of its limit is left, so that
// saving it may fail a few times. 0 means never.
func lastLives(limit int) int {
	if limit < 1 {
		return 0
	}
	return max(1, limit-max(1, limit/4))
}

// integer is a whole number of whatever type, within an int32; false for anything else.
func integer(v any) (n int, ok bool) {
	switch v := reflect.ValueOf(v); {
	case v.CanInt():
		return int(min(max(v.Int(), math.MinInt32), math.MaxInt32)), true
	case v.CanUint():
		return int(min(v.Uint(), math.MaxInt32)), true
	}
	return 0, false
}

// rescue takes charge of a delivery that has few lives left. It is called by the connection's reader.
func (d *dispatcher) rescue(s source, delivery *Delivery) bool {
	count, _ := integer(delivery.Headers[deliveryCount])
	if d.lastLives == 0 || count < d.lastLives || delivery.Unreadable != nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.view.Load().over { // the workers are waited for
		return false
	}
	d.workers.Go(func() { d.save(s, delivery) })
	return true
}

// save sees to it that the message outlives its delivery. If that cannot be, the best that can be done is to handle
// it at once.
func (d *dispatcher) save(s source, delivery *Delivery) {
	c := d.awaitChannel(s)
	if c == nil {
		return
	}
	c.track(delivery)
	came := *delivery
	if attempts := Attempts(&came); attempts > 0 && d.spec.Retry.Poison != PutBack {
		d.giveUp(c, &came, attempts)
		return
	}
	ctx, cancel := c.lifetime(d.env.work)
	defer cancel()
	if err := d.env.outbox.save(ctx, &came); err != nil {
		if !c.lost() {
			d.about(d.env.logger.Error(), &came).Err(err).Msg("the message has come back nearly as often as its queue allows, and could not be published again; it is handled next")
		}
		if !d.keep(keptJob{job: job{delivery: delivery, channel: c}}) {
			d.returnUnseen(job{delivery: delivery, channel: c})
		}
		return
	}
	if c.acks.Ack(came.DeliveryTag) == nil {
		d.env.counts.saved.Add(1)
	}
	d.env.saved()
	if n := timesSaved(&came) + 1; n >= oftenSaved {
		d.about(d.env.logger.Error(), &came).Int("saved", n).
			Msg("the message was saved again from its queue's delivery limit, and was never handled in between: something takes its connection away each time, perhaps the message itself")
	}
}

// giveUp treats as poison what has come back often and has failed before.
func (d *dispatcher) giveUp(c *channel, came *Delivery, attempts int) {
	w := worker{dispatcher: d, job: job{delivery: came, channel: c}, tag: came.DeliveryTag, came: came}
	reason, _ := came.Headers[HeaderError].(string)
	w.conclude(outcome{verdict: d.spec.Retry.Poison.verdict(), failure: failure{
		delivery: came, attempts: attempts, first: came.ReceivedAt, last: came.ReceivedAt,
		reason: "it came back nearly as often as its queue allows; before that: " + reason,
	}})
}

// awaitChannel waits until a source is received from, and returns nil if that will not be.
func (d *dispatcher) awaitChannel(s source) *channel {
	for {
		v := d.view.Load()
		if v.channel != nil && v.channel.source == s {
			return v.channel
		}
		if v.over {
			return nil
		}
		select {
		case <-v.changed:
		case <-s.Lost():
			return nil
		}
	}
}

// lifetime is a context that ends with the channel, or after republishTimeout.
func (c *channel) lifetime(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, republishTimeout)
	go func() {
		select {
		case <-c.source.Lost(): // then the message comes again, and would be there twice
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// timesSaved is how often the message was saved before.
func timesSaved(d *Delivery) int {
	n, _ := integer(d.Headers[HeaderSaved])
	return n
}

// save publishes the message to the end of its queue; when it returns nil, the broker has confirmed it.
func (r *republisher) save(ctx context.Context, d *Delivery) error {
	m := copyOf(d, carried(d))
	tellOrigin(m.Headers, d)
	m.Headers[HeaderSaved] = int64(timesSaved(d) + 1)
	m.Expiration = d.Expiration
	m.RoutingKey = d.Queue
	return r.try(ctx, func(p *broker.Publisher) error { return r.publish(ctx, p, m) })
}

// restore gives a saved message the exchange and the routing key that it was published with.
func restore(d *Delivery) {
	if _, saved := d.Headers[HeaderSaved]; !saved {
		return
	}
	if exchange, ok := d.Headers[HeaderExchange].(string); ok {
		d.Exchange = exchange
	}
	if key, ok := d.Headers[HeaderRoutingKey].(string); ok {
		d.RoutingKey = key
	}
}

// saved says that messages were saved.
type saved struct{ sub *subscription }

func (o saved) apply(s *supervisor) error {
	now := s.counts[o.sub.index].saved.Load()
	if n := now - o.sub.saved; n > 0 { // else the observation before told of it, too
		o.sub.saved = now
		s.noteOf(o.sub, NoteSaved, Evidence{Saved: n, Note: fmt.Sprintf(
			"%d messages had come back nearly as often as the queue allows (x-delivery-limit) and were published again, to its end", n)})
	}
	return nil
}
