package brokertest

import (
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
)

// expect ends the consumer, or its channel, when the delivery is not settled in the time that its queue, or the
// consumer, gives. That counts from the delivery, also when a policy gives it later or changes it. RabbitMQ before 4.3
// looks once a minute; here the time is exact.
func (d *delivery) expect(ch *channel) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	patience := d.patience()
	if patience == noTTL {
		return
	}
	server := ch.connection.server
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(d.at.Add(patience)), func() {
		server.mu.Lock()
		defer server.unlock()
		d.timeOut(ch, timer, patience)
	})
	d.timer = timer
}

// timeOut is what the timer does. While it waited for mu, another time may have been given: then there is another timer.
func (d *delivery) timeOut(ch *channel, timer *time.Timer, patience time.Duration) {
	if d.timer != timer || !ch.unacked.holds(d) {
		return
	}
	if ch.connection.server.has(versions.TimesOutChannels) {
		ch.close(tooLate(ch.id, patience), 0, 0)
	} else {
		ch.cancelOverdue(d.consumer)
	}
}

// patience is the time in which the delivery is to be settled; noTTL for any. Where consumers have their own, they have
// taken over the queue's when they came, and nothing else counts.
func (d *delivery) patience() time.Duration {
	switch {
	case d.consumer != nil && d.consumer.patience != noTTL:
		return d.consumer.patience
	case d.queue.host.server.has(versions.TimesOutQueues):
		return d.queue.patience
	}
	return noTTL
}

// expectAnew has open deliveries wait as long as the queue gives by now. Of those of consumers with a time of their own
// nothing changes.
func (q *queue) expectAnew() {
	for c := range q.host.server.connections {
		for _, ch := range c.channels {
			for _, d := range ch.unacked.open {
				if d.queue == q && !d.overdue && (d.consumer == nil || d.consumer.patience == noTTL) {
					d.expect(ch)
				}
			}
		}
	}
}

// holds tells whether a delivery is open.
func (ds *deliveries) holds(d *delivery) bool {
	for _, open := range ds.open {
		if open == d {
			return !d.overdue
		}
	}
	return false
}

func tooLate(channel uint16, patience time.Duration) *reply {
	return refuse(preconditionFailed, "delivery acknowledgement on channel %d timed out. Timeout value used: %d ms. "+
		"This timeout value can be configured, see consumers doc guide to learn more", channel, patience.Milliseconds())
}

// cancelOverdue ends the consumers of quorum queues that hold deliveries.
func (c *connection) cancelOverdue(at aim) {
	for _, ch := range c.channelsInOrder() {
		for _, consumer := range ch.consumersInOrder() {
			if consumer.queue.kind == quorum && consumer.unacked > 0 && consumer.queue.is(at) {
				ch.cancelOverdue(consumer)
			}
		}
	}
}

// cancelOverdue ends a consumer. Its deliveries go back as if nacked; the channel stays, and may still settle them in
// vain.
func (ch *channel) cancelOverdue(consumer *consumer) {
	if ch.consumers[consumer.tag] == consumer { // else the client has cancelled it itself
		consumer.cancelled()
	}
	for _, d := range ch.unacked.open {
		if d.consumer == consumer && !d.overdue {
			ch.unacked.closed([]*delivery{d})
			d.requeue(nacked)
			d.overdue = true
		}
	}
}
