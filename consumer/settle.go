package consumer

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/broker"
)

// settle carries out any outcome but a success.
func (w *worker) settle(o outcome) {
	acks, counts := w.job.channel.acks, w.dispatcher.env.counts
	switch o.verdict {
	case rejected:
		w.count(o, &counts.rejected, acks.Reject(w.tag, false))
	case passedOver:
		w.count(o, &counts.rejected, acks.Ack(w.tag))
	case delayed, postponed:
		w.move(o, &counts.delayed)
	case parked:
		w.move(o, &counts.parked)
	case heldBack:
		w.holdBack(o)
	default:
		w.putBack(o)
	}
}

// count counts what was sent, and tells of it.
func (w *worker) count(o outcome, n *atomic.Uint64, err error) {
	if err == nil {
		n.Add(1)
		w.tellFate(o)
	}
}

// count counts what was sent.
func count(n *atomic.Uint64, err error) {
	if err == nil {
		n.Add(1)
	}
}

// move publishes the message into another queue and then acknowledges it. What cannot be moved goes back. It takes no
// worker meanwhile, but a place in the prefetch.
func (w *worker) move(o outcome, moved *atomic.Uint64) {
	m := mover{worker: worker{dispatcher: w.dispatcher, job: w.job, tag: w.tag, came: w.came, failure: w.failure}} // w gets another job
	m.hasTurn.Store(w.inLane)
	w.inLane = false
	w.dispatcher.elsewhere.Add(1)
	w.dispatcher.crew.begun.Go(func() { m.run(o, moved) })
}

// mover is in the place of a worker while a message is being moved.
type mover struct {
	worker
	hasTurn atomic.Bool // of its key
}

// movePatience is how long a message is being moved before it counts as put aside (see room.go), and others of its key
// have their turn.
const movePatience = time.Second

func (m *mover) run(o outcome, moved *atomic.Uint64) {
	d := m.dispatcher
	defer d.elsewhere.Add(-1)
	aside := &d.kept.heldBack
	slow := time.AfterFunc(movePatience, func() {
		aside.Add(1)
		m.passOn()
		d.window.rouse()
	})
	published, never := false, false
	if o.verdict != parked || o.pause == 0 || m.linger(o.pause) {
		published, never = m.republish(o)
	}
	if !slow.Stop() {
		aside.Add(-1)
	}
	switch {
	case published:
		m.count(o, moved, m.job.channel.acks.Ack(m.tag))
	case never:
		o.verdict = heldBack
		m.tellCause(o)
		m.holdBack(o)
	default:
		m.inLane = m.hasTurn.Swap(false)
		m.putBack(o)
		m.hasTurn.Store(m.inLane)
	}
	m.passOn()
	d.window.handled()
	d.window.rouse() // what it leaves to others may not be all that they wait for
}

// passOn gives the turn to the next one of its key.
func (m *mover) passOn() {
	if !m.hasTurn.Swap(false) {
		return
	}
	for _, j := range m.dispatcher.kept.passOn(m.job.key) {
		m.dispatcher.returnUnseen(j)
	}
}

// holdBack keeps a message that can go nowhere, and would come again at once. It takes no worker meanwhile, but a
// place in the prefetch. Then it is put back, since the broker's consumer_timeout would end the channel of all.
func (w *worker) holdBack(o outcome) {
	held := worker{dispatcher: w.dispatcher, job: w.job, tag: w.tag, came: w.came} // the worker gets another job
	pause := w.dispatcher.judge.mayKeep(o.failure.delivery)
	aside := &w.dispatcher.kept.heldBack
	aside.Add(1)
	w.dispatcher.elsewhere.Add(1)
	w.dispatcher.window.rouse()
	w.dispatcher.crew.begun.Go(func() {
		held.linger(pause)
		aside.Add(-1)
		defer held.dispatcher.elsewhere.Add(-1)
		held.requeue(o)
		held.dispatcher.window.handled()
		held.dispatcher.window.rouse()
	})
}

// putBack has the message handled again later, here or, if it must be, by whoever gets it from the queue.
func (w *worker) putBack(o outcome) {
	if o.verdict == delayed { // else it has attempts without end
		w.came = o.failure.next()
	}
	if !w.putAside(w.dispatcher.judge.pauseAside(o)) {
		w.requeue(o)
	}
}

// putAside keeps the job in memory, to be handled again, in the place of putting it back. It returns false if
// it has to go back: because the consumer stops, or the broker would not wait so long for its acknowledgement.
func (w *worker) putAside(pause time.Duration) bool {
	d := w.dispatcher
	if d.kind.isStream() || w.job.channel.lost() || pause >= d.judge.mayKeep(w.came) {
		return false
	}
	j := w.job
	j.delivery, j.again = w.came, true
	j.delivery.Redelivered = true // for its handler it is no other
	if !d.kept.keep(keptJob{job: j, due: time.Now().Add(pause), inLane: w.inLane}) {
		return false
	}
	w.inLane = false
	d.env.counts.kept.Add(1)
	d.window.rouse()
	return true
}

// requeue gives a message back, after a pause. A quorum queue counts a reject towards its delivery limit,
// and from RabbitMQ 4.3 on no nack: that is for what was not the message's fault.
func (w *worker) requeue(o outcome) {
	d, c := w.dispatcher, w.job.channel
	w.linger(d.spec.RequeuePause)
	w.awaitSilence()
	requeued := &d.env.counts.requeued
	switch {
	case d.staysWithChannel():
	case o.verdict == putBack && d.env.work.Err() == nil:
		count(requeued, c.acks.Reject(w.tag, true))
	default:
		count(requeued, c.acks.Nack(w.tag))
	}
}

// republish publishes the message again, and keeps trying: to put it back each time would use up a quorum
// queue's delivery limit. It gives up if the channel is gone, the consumer stops, the broker would not wait longer for
// its acknowledgement, or it can never be.
func (m *mover) republish(o outcome) (published, never bool) {
	d, c := m.dispatcher, m.job.channel
	for !c.lost() { // else it comes again, and would be there twice
		err := m.tryRepublish(o)
		if err == nil {
			return true, false
		}
		class, _ := broker.Classify(err)
		hopeless := o.verdict == postponed && !class.Retryable() // it was not to be published for its handler's sake
		never = errors.Is(err, broker.ErrHeaderTooLarge) || isRefusal(err)
		then, pause, waits := "it is tried again", d.spec.RequeuePause, false
		switch {
		case errors.Is(err, errDelay):
			then, pause = "it is handled again", d.judge.pauseAside(o)
			waits = pause >= o.pause // as long as it should
		case never:
			then, pause = "it is held back, unacknowledged, and put back", d.judge.mayKeep(o.failure.delivery)
		case hopeless:
			then = "it is handled again"
		}
		if !c.lost() && !waits {
			if times, tell := d.repeats.count(o.verdict.String() + err.Error()); tell {
				about(d.env.logger.Error(), o.failure.delivery).Err(err).Int("times", times).
					Msgf("the message could not be %s; %s in %s", o.verdict, then, roughly(pause))
			}
		}
		if never || hopeless || errors.Is(err, errDelay) || !m.linger(d.spec.RequeuePause) {
			break
		}
	}
	return false, never
}

// isRefusal tells whether the broker has ended a channel, or a connection, over a message: it is larger than
// max_message_size, or the user may not publish there, or it has a header that the broker cannot store.
func isRefusal(err error) bool {
	var e *broker.Error
	return errors.As(err, &e) && (e.Op == "publish" && e.Scope == broker.ScopeChannel || e.EndedByBroker())
}

// tryRepublish waits for the confirm as long as the message may stay unacknowledged, and its channel lasts.
func (m *mover) tryRepublish(o outcome) error {
	d := m.dispatcher
	ctx, cancel := context.WithTimeout(d.env.work, d.judge.mayKeep(o.failure.delivery))
	defer cancel()
	d.crew.begun.Go(func() { endWith(ctx, m.job.channel.source.Lost(), cancel) })
	switch o.verdict {
	case delayed:
		return d.env.outbox.delay(ctx, o.failure.delivery, o.pause, o.failure)
	case postponed:
		return d.env.outbox.postpone(ctx, o.failure.delivery, o.failure)
	}
	return d.env.outbox.park(ctx, o.failure.delivery, d.judge.parkingQueue(o.failure.delivery), o.failure)
}
