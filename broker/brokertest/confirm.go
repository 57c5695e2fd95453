package brokertest

import (
	"slices"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

// WithholdConfirms has a queue of the virtual host take messages and not say so, until ReleaseConfirms: as one
// does whose disk is slow. The messages are there and are delivered, but who publishes them gets no confirm, even when
// they have been acknowledged. Those of other queues are confirmed meanwhile, and so out of their order. A
// message for several queues is confirmed when none of them withholds it. What is withheld when its channel ends is
// never confirmed. A nack is not withheld.
//
// SuspendQueue withholds confirms, too; there the queue does not deliver either, and does not answer.
func (v *VirtualHost) WithholdConfirms(queue string) { v.do(WithholdConfirms(queue)) }

// WithholdConfirms is the fault that VirtualHost.WithholdConfirms brings about. A queue that is not there is passed over.
func WithholdConfirms(queue string) Fault {
	return Fault{name: "WithholdConfirms", host: func(h *virtualHost) {
		if q := h.queues[queue]; q != nil {
			q.withholding = true
		}
	}}
}

// ReleaseConfirms ends WithholdConfirms. What was withheld is confirmed at once: up to the first message of a channel
// that is still not confirmed with multiple, in one frame, and behind that one by one, as RabbitMQ does.
func (v *VirtualHost) ReleaseConfirms(queue string) { v.do(ReleaseConfirms(queue)) }

// ReleaseConfirms is the fault that VirtualHost.ReleaseConfirms brings about.
func ReleaseConfirms(queue string) Fault {
	return Fault{name: "ReleaseConfirms", host: func(h *virtualHost) {
		if q := h.queues[queue]; q != nil {
			q.withholding = false
			h.server.confirmReleased()
		}
	}}
}

// withholds tells whether the queue's messages are not confirmed now.
func (q *queue) withholds() bool { return !q.deleted && (q.withholding || q.suspended) }

// unconfirmed is a message that waits to be confirmed.
type unconfirmed struct {
	tag    uint64
	queues []*queue    // that withhold it
	held   bool        // by a fault
	timer  *time.Timer // on its end; may be nil
}

// assent is how a fault has a message confirmed.
type assent struct {
	withheld bool
	after    time.Duration
}

// confirm says what became of the message that was published last, or notes that it is to be said later.
func (ch *channel) confirm(accepted bool, queues []*queue) {
	ch.published++
	how := ch.assent
	ch.assent = assent{}
	waits := slices.DeleteFunc(queues, func(q *queue) bool { return !q.withholds() })
	switch {
	case !accepted:
		ch.flushConfirms()
		ch.send(&wire.BasicNack{DeliveryTag: ch.published})
	case len(waits) > 0, how != assent{}, ch.together > 0:
		ch.confirmLater(&unconfirmed{tag: ch.published, queues: waits, held: how != assent{}}, how)
	case ch.connection.server.batching:
		ch.confirmed = append(ch.confirmed, ch.published)
	default:
		ch.send(&wire.BasicAck{DeliveryTag: ch.published})
	}
	ch.completeGroup()
}

// confirmLater notes a message that waits to be confirmed.
func (ch *channel) confirmLater(u *unconfirmed, how assent) {
	ch.unconfirmed = append(ch.unconfirmed, u)
	if how.withheld || how.after == 0 {
		return
	}
	server := ch.connection.server
	u.timer = time.AfterFunc(how.after, func() {
		server.mu.Lock()
		defer server.unlock()
		u.held = false
		ch.confirmReleased()
	})
}

// completeGroup counts the messages that are to be confirmed with one frame, and confirms them with the last.
func (ch *channel) completeGroup() {
	if ch.together == 0 {
		return
	}
	if ch.together--; ch.together == 0 {
		ch.confirmReleased()
	}
}

// forgetUnconfirmed is for a channel that ends.
func (ch *channel) forgetUnconfirmed() {
	for _, u := range ch.unconfirmed {
		if u.timer != nil {
			u.timer.Stop()
		}
	}
	ch.unconfirmed, ch.confirmed, ch.together = nil, nil, 0
}

// flushConfirms tells clients what is confirmed, unless more of what they have sent is there to be read.
func (c *connection) flushConfirms() {
	if !c.server.batching || c.frames.Buffered() > 0 {
		return
	}
	for _, ch := range c.channelsInOrder() {
		ch.flushConfirms()
	}
}

func (ch *channel) flushConfirms() {
	tags := ch.confirmed
	ch.confirmed = nil
	ch.acknowledge(tags)
}

// confirmReleased confirms what no queue withholds any more.
func (s *Server) confirmReleased() {
	for _, c := range s.connectionsInOrder() {
		for _, ch := range c.channelsInOrder() {
			ch.confirmReleased()
		}
	}
}

func (ch *channel) confirmReleased() {
	if ch.tx != nil && ch.tx.committing != nil {
		ch.completeCommit()
	}
	if ch.together > 0 { // the last of them has not come
		return
	}
	ch.flushConfirms()
	var released []uint64
	ch.unconfirmed = slices.DeleteFunc(ch.unconfirmed, func(u *unconfirmed) bool {
		u.queues = slices.DeleteFunc(u.queues, func(q *queue) bool { return !q.withholds() })
		free := len(u.queues) == 0 && !u.held
		if free {
			released = append(released, u.tag)
		}
		return free
	})
	ch.acknowledge(released)
}

// acknowledge confirms messages: those before the first that is not confirmed in one frame.
func (ch *channel) acknowledge(tags []uint64) {
	if together := ch.beforeUnconfirmed(tags); together > 0 && len(tags) > 1 {
		ch.send(&wire.BasicAck{DeliveryTag: tags[together-1], Multiple: true})
		tags = tags[together:]
	}
	for _, tag := range tags {
		ch.send(&wire.BasicAck{DeliveryTag: tag})
	}
}

// beforeUnconfirmed is how many of the tags come before the first message that is not confirmed.
func (ch *channel) beforeUnconfirmed(tags []uint64) int {
	if len(ch.unconfirmed) == 0 {
		return len(tags)
	}
	at, _ := slices.BinarySearch(tags, ch.unconfirmed[0].tag)
	return at
}
