package consumer

import (
	"sync/atomic"

	"github.com/everhop/everhop/consumer/internal/ack"
	"github.com/everhop/everhop/consumer/internal/measure"
)

// worker handles deliveries one after another, as one of Concurrency.
//
// What it has in hand stands here and not on its goroutine's stack, since any function of the caller's may end
// the goroutine (runtime.Goexit, as t.FailNow does), which nothing can prevent: another one goes on then.
type worker struct {
	dispatcher *dispatcher
	view       *view // the one that it goes by

	job     job
	tag     uint64    // the job's
	came    *Delivery // the job's, as it came, once that is needed
	failure failure   // how it has failed so far
	open    bool      // its outcome is not known
	inLane  bool      // somebody may wait for it
	id      string    // under which it is handled, with Dedup
	deduped bool      // there is one
	hand    hand      // what its handler has
	number  int
	timing  measure.Timing
	waits   atomic.Int32 // for what it waits with the job: a wait
}

// job is a delivery that is to be handled. Once its handler has begun, delivery is the handler's.
type job struct {
	delivery *Delivery
	channel  *channel // the only one it can be settled through
	key      string   // with OrderingKey
	again    bool     // it was handled before, and kept
}

// wait is what a worker waits for with a job that is not with its handler.
type wait = int32

const (
	waitsForNothing wait = iota
	waitsForTurn         // as what no worker has received does
	waitsForRetry
)

// run is the worker's goroutine.
func (w *worker) run() {
	defer w.dispatcher.env.inside.Enter()()
	ended := false
	defer func() {
		if !ended {
			w.dispatcher.crew.begun.Go(w.run)
		}
	}()
	if w.open { // a function of the caller's has ended the goroutine before this one
		w.interrupted()
	}
	for w.next() {
		w.handle()
	}
	ended = true
}

// next gives the worker its next job, or returns false if it is not needed any more. The first choice is what
// waited for the last one.
func (w *worker) next() bool {
	d := w.dispatcher
	d.window.handled()
	if w.inLane {
		if j, ok := d.lanes.Next(w.job.key); ok {
			w.take(j)
			return true
		}
		w.inLane = false
	}
	w.drop()
	for {
		if d.crew.view() != w.view {
			if w.view = d.crew.stay(w); w.view == nil {
				return false
			}
		}
		if w.receive() {
			return true
		}
		<-w.view.changed
	}
}

// take makes the job the worker's.
func (w *worker) take(j job) {
	w.letGo()
	w.job, w.tag, w.open = j, j.delivery.DeliveryTag, true
	w.came, w.failure = nil, failure{}
}

// keep keeps the job's delivery as it came.
func (w *worker) keep(came Delivery) { w.came = &came }

// drop forgets the job, which may be big.
func (w *worker) drop() {
	w.letGo()
	w.job, w.came, w.failure, w.open = job{}, nil, failure{}, false
}

// letGo says that no handler has the job any more.
func (w *worker) letGo() {
	if !w.hand.busy {
		return
	}
	if late := w.hand.end(); late != nil {
		w.dispatcher.overruns.returned(late)
	}
}

// receive waits for a delivery that may be handled now, as long as the worker's view lasts.
//
// One worker at a time receives. So the lanes fill in the queue's order; and nobody who has just been
// given a delivery waits for a processor behind others who go on receiving, while what they finish
// piles up behind that delivery and has to be acknowledged one by one.
func (w *worker) receive() bool {
	d, v := w.dispatcher, w.view
	if v.channel == nil || v.idle() {
		return false
	}
	if v.concurrency == 1 && d.spec.OrderingKey == nil && d.kept.isEmpty() {
		received, _ := w.receiveNext()
		return received
	}
	for {
		select {
		case d.turn <- struct{}{}:
		case <-v.changed:
			return false
		}
		received, mine := w.receiveInTurn()
		if !received || mine {
			return received
		}
	}
}

func (w *worker) receiveInTurn() (received, mine bool) {
	defer func() { <-w.dispatcher.turn }()
	return w.receiveNext()
}

// receiveNext waits for a delivery; it is the worker's unless it waits in its lane.
func (w *worker) receiveNext() (received, mine bool) {
	d, c := w.dispatcher, w.view.channel
	if j, ok := d.kept.takeDue(c); ok {
		w.take(j.job)
		if w.inLane = j.inLane; w.inLane {
			return true, true
		}
	} else if delivery, ok := c.receive(w.view.changed); ok {
		w.take(job{delivery: delivery, channel: c})
	} else {
		return false, false
	}
	if d.spec.OrderingKey == nil {
		return true, true
	}
	if late, found := d.overruns.find(w.job.delivery); found && late.running { // it would wait behind itself
		return true, true
	}
	w.job.key = d.calls.nameOf("OrderingKey", d.spec.OrderingKey, w.job.delivery)
	w.inLane = d.lanes.Begin(w.job.key, w.job)
	if !w.inLane {
		w.drop()
		if !d.kept.isEmpty() { // perhaps behind one of those
			d.window.rouse()
		}
	}
	return true, w.inLane
}

// receive waits for the next delivery, until stop is closed.
func (c *channel) receive(stop <-chan struct{}) (*Delivery, bool) {
	d, ok := c.source.Receive(stop)
	if ok {
		c.track(d)
	}
	return d, ok
}

// track takes charge of a delivery. The acknowledger keeps by value what is needed later: the delivery will be its
// handler's.
func (c *channel) track(d *Delivery) {
	c.kind.see(d)
	c.acks.Receive(ack.Item{
		Tag: d.DeliveryTag, Generation: d.Generation, Queue: d.Queue, MessageID: d.MessageID,
		ReceivedAt: d.ReceivedAt, Offset: d.StreamOffset,
	})
	if d.Headers != nil {
		restore(d)
	}
}
