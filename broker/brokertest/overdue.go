package brokertest

import (
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
)

// expect ends the consumer, or its channel, when the delivery is not settled in the time that its queue, or the
// consumer, gives. RabbitMQ before 4.3 looks once a minute; here the time is exact.
func (d *delivery) expect(ch *channel) {
	patience := d.queue.patience
	if d.consumer == nil && !ch.connection.server.has(versions.TimesOutQueues) {
		return
	}
	if d.consumer != nil && d.consumer.patience != noTTL {
		patience = d.consumer.patience
	} else if patience != noTTL && d.consumer != nil && ch.connection.server.has(versions.ChecksTimeouts) {
		return // the queue had none when the consumer came
	}
	if patience == noTTL {
		return
	}
	server := ch.connection.server
	d.timer = time.AfterFunc(patience, func() {
		server.mu.Lock()
		defer server.unlock()
		if !ch.unacked.holds(d) {
			return
		}
		if server.has(versions.TimesOutChannels) {
			ch.close(tooLate(ch.id, patience), 0, 0)
		} else {
			ch.cancelOverdue(d.consumer)
		}
	})
}

// expectAnew has deliveries that are open wait as long as the queue gives by now. A consumer that has come when another
// time was given may keep that.
func (q *queue) expectAnew() {
	for c := range q.host.server.connections {
		for _, ch := range c.channels {
			for _, d := range ch.unacked.open {
				if d.queue == q && !d.overdue {
					if d.timer != nil {
						d.timer.Stop()
					}
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
