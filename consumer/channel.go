package consumer

import "github.com/everhop/everhop/consumer/internal/ack"

// source is a channel that is consumed: a *broker.Consumer, or a model of one in tests.
type source interface {
	ack.Channel
	Receive(stop <-chan struct{}) (*Delivery, bool)
	Lost() <-chan struct{}
}

// channel is a source, and the acknowledger of what it has delivered.
type channel struct {
	source source
	acks   *ack.Acknowledger
	kind   *queueKind
}

func (d *dispatcher) newChannel(s source, prefetch int, from *int64) *channel {
	o := ack.Options{
		Prefetch:     prefetch,
		Each:         d.spec.AckEach,
		From:         from,
		CommitPause:  d.spec.RequeuePause,
		Acknowledged: func(deliveries int) { d.env.counts.acknowledged.Add(uint64(deliveries)) },
		Stale:        d.staleOutcomes,
	}
	if d.spec.Commit != nil {
		o.Commit = d.commit
	}
	return &channel{source: s, acks: ack.New(s, o), kind: &d.kind}
}

// receive waits for the next delivery, until stop is closed. The acknowledger keeps by value what is needed
// later: the delivery will be its handler's.
func (c *channel) receive(stop <-chan struct{}) (*Delivery, bool) {
	d, ok := c.source.Receive(stop)
	if ok {
		c.kind.see(d)
		c.acks.Receive(ack.Item{
			Tag: d.DeliveryTag, Generation: d.Generation, Queue: d.Queue, MessageID: d.MessageID,
			ReceivedAt: d.ReceivedAt, Offset: d.StreamOffset,
		})
	}
	return d, ok
}

// lost tells whether nothing more will come. What is with a handler may still be settled.
func (c *channel) lost() bool {
	select {
	case <-c.source.Lost():
		return true
	default:
		return false
	}
}
