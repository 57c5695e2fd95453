package brokertest

import (
	"slices"
	"sort"
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// delivery is an entry that was sent to a client and not settled yet.
type delivery struct {
	tag      uint64
	at       time.Time // when it was sent
	entry    *entry
	queue    *queue
	consumer *consumer   // nil if the client asked with basic.get
	overdue  bool        // it went back to the queue, and what the client says about it is ignored
	timer    *time.Timer // until it is overdue, if it can be
}

// deliveries are what a channel has not settled, by delivery tag.
type deliveries struct {
	open     []*delivery // ascending by tag
	tag      uint64      // of the last delivery
	consumed int         // how many of open went to consumers
}

// hold gives an entry a delivery tag, and keeps it until it is settled.
func (ch *channel) hold(e *entry, q *queue, c *consumer, noAck bool) *delivery {
	ch.unacked.tag++
	d := &delivery{tag: ch.unacked.tag, at: time.Now(), entry: e, queue: q, consumer: c}
	if noAck {
		q.acknowledged++
		return d
	}
	ch.unacked.open = append(ch.unacked.open, d)
	q.unacked++
	if c != nil {
		ch.unacked.consumed++
		c.unacked++
	}
	d.expect(ch)
	return d
}

// takeOut removes the delivery with a tag, or all up to it; tag 0 stands for the last one. They count until they are
// closed.
func (ds *deliveries) takeOut(tag uint64, multiple bool) ([]*delivery, bool) {
	if multiple && tag == 0 {
		return ds.takeAll(), true
	}
	at := sort.Search(len(ds.open), func(i int) bool { return ds.open[i].tag >= tag })
	if at == len(ds.open) || ds.open[at].tag != tag {
		return nil, false
	}
	from := at
	if multiple {
		from = 0
	}
	taken := slices.Clone(ds.open[from : at+1])
	if from == 0 {
		ds.open = ds.open[at+1:]
	} else {
		ds.open = slices.Delete(ds.open, from, at+1)
	}
	return taken, true
}

func (ds *deliveries) takeAll() []*delivery {
	taken := ds.open
	ds.open = nil
	return taken
}

// closed counts what is no longer open.
func (ds *deliveries) closed(taken []*delivery) {
	for _, d := range taken {
		if d.overdue {
			continue
		}
		if d.timer != nil {
			d.timer.Stop()
		}
		d.queue.unacked--
		if d.consumer != nil {
			ds.consumed--
			d.consumer.unacked--
		}
	}
}

// settle does with the deliveries what the client asks for.
func (ch *channel) settle(m wire.Method, tag uint64, multiple, requeue bool, outcome func(*delivery)) error {
	taken, known := ch.unacked.takeOut(tag, multiple)
	if !known {
		return refuse(preconditionFailed, "unknown delivery tag %d", tag)
	}
	s := settlement{m, multiple, requeue, taken, outcome}
	if ch.tx != nil {
		ch.tx.settled = append(ch.tx.settled, s)
		return nil
	}
	ch.conclude(s)
	ch.feed()
	return nil
}

// conclude has come about what the client has said.
func (ch *channel) conclude(s settlement) {
	ch.unacked.closed(s.taken)
	s.taken = slices.DeleteFunc(s.taken, func(d *delivery) bool { return d.overdue })
	ch.connection.server.seen.settled(ch, s.method, s.multiple, s.requeue, s.taken)
	for _, d := range s.taken {
		s.outcome(d)
	}
}

// comeback is why a delivery goes back to its queue.
type comeback int

const (
	lost     comeback = iota // its channel has ended
	rejected                 // basic.reject
	nacked                   // basic.nack or basic.recover
)

// requeue gives the entry back. A quorum queue counts how often that happens, gives a message up that
// came back too often, and without a limit puts it behind the others if the client wanted it so; every
// other way leads to its old place.
func (d *delivery) requeue(why comeback) {
	q, e := d.queue, d.entry
	if q.deleted || d.overdue || q.kind == stream { // which has it still
		return
	}
	e.redelivered = true
	e.acquired++
	if why != nacked || q.host.server.has(versions.NackCounts) {
		e.returns++
		e.failed = true
	}
	if q.kind == quorum && q.deliveryLimit != unlimited && e.returns > q.deliveryLimit {
		q.deadLetter(e, "delivery_limit")
		return
	}
	q.putBack(e, why != lost && q.kind == quorum && q.deliveryLimit == unlimited && q.host.server.has(versions.GoesBehind))
}

// reject is the end of a delivery that the client does not want.
func (ch *channel) reject(m wire.Method, tag uint64, multiple, requeue bool) error {
	if err := ch.streamRefuses(tag, multiple); err != nil {
		return err
	}
	why := nacked
	if _, ok := m.(*wire.BasicReject); ok {
		why = rejected
	}
	return ch.settle(m, tag, multiple, requeue, func(d *delivery) {
		switch {
		case requeue:
			d.requeue(why)
		case !d.queue.deleted:
			d.queue.rejected++
			d.entry.failed = d.entry.failed || why == rejected
			d.queue.deadLetter(d.entry, "rejected")
		}
	})
}

// recover redelivers everything that the channel has not settled.
func (ch *channel) recover(requeue bool, answer wire.Method) error {
	if !requeue {
		return refuse(notImplemented, "requeue=false")
	}
	taken := ch.unacked.takeAll()
	ch.unacked.closed(taken)
	for _, d := range taken {
		d.requeue(nacked)
	}
	if answer != nil {
		ch.send(answer)
	}
	ch.feed()
	return nil
}
