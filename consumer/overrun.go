package consumer

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/broker"
)

// When a handler takes longer than the broker waits for its acknowledgement, its message comes again, in front of the
// others, and whatever the handler says of it is too late. So it would be handled for ever, and nothing else.
//
// Hence it counts as failed when it comes again: it is known by what is in it, as nothing else is the same. It goes to
// the end of its queue, where its header counts the attempt, so that any other process knows of it, too; past
// Retry.Attempts it is poison. As long as its handler has not returned it is given to no other one, and counts as failed
// once more after each time that it may wait in memory. A stream's message is tried again in place.

// overruns are the messages of which a handler took too long.
type overruns struct {
	crew *crew
	kind *queueKind

	n  atomic.Int32 // how many there are
	mu sync.Mutex
	by map[uint64]*overrun // by what is in them
}

type overrun struct {
	key      uint64
	attempts int
	running  bool      // its handler has not returned
	owed     bool      // the attempt is not counted: it has not come again
	until    time.Time // so long it may take to come again; others may get it
}

// hand is what a worker has given to its handler, for others to see.
type hand struct {
	mu      sync.Mutex
	busy    bool // written by the worker alone, as all but the next two
	looks   int  // how often it was seen to be at work on the same
	late    *overrun
	channel *channel
	came    Delivery // as it came, or is called again with
}

func (h *hand) begin(c *channel, d *Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy, h.looks, h.channel, h.came = true, 0, c, *d
}

// end returns what has come to be too late meanwhile.
func (h *hand) end() (late *overrun) {
	h.mu.Lock()
	defer h.mu.Unlock()
	late = h.late
	h.busy, h.looks, h.late, h.channel, h.came = false, 0, nil, nil, Delivery{}
	return late
}

// look is called every now and then: how often a handler was seen with the same message tells for how long it
// has had that.
func (o *overruns) look() {
	o.crew.hands(func(h *hand) { h.looks++ })
	if o.n.Load() > 0 {
		o.expire()
	}
}

// blame notes whose handlers took so many looks: or, if nothing but handlers could keep a message for long, the one that
// has had its own for longest.
func (o *overruns) blame(looks int, blameOldest bool, patience time.Duration) {
	lost := o.crew.view().channel
	most := -1
	o.crew.hands(func(h *hand) {
		if h.channel == lost && h.late == nil {
			most = max(most, h.looks)
		}
	})
	if most < looks && !blameOldest {
		return
	}
	looks = min(looks, max(most, 0))
	o.crew.hands(func(h *hand) {
		if h.channel == lost && h.late == nil && h.looks >= looks {
			h.late = o.add(contentKey(&h.came), Attempts(&h.came), patience)
		}
	})
}

func (o *overruns) add(key uint64, attempts int, patience time.Duration) *overrun {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.by == nil {
		o.by = map[uint64]*overrun{}
	}
	late := &overrun{key: key, attempts: attempts, running: true, owed: true, until: time.Now().Add(patience)}
	o.by[key] = late
	o.n.Store(int32(len(o.by)))
	return late
}

// returned says that the handler has.
func (o *overruns) returned(late *overrun) {
	o.mu.Lock()
	defer o.mu.Unlock()
	late.running = false
	o.tidy(late)
}

// expire forgets what has not come again.
func (o *overruns) expire() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, late := range o.by {
		if time.Now().After(late.until) {
			late.owed = false
			o.tidy(late)
		}
	}
}

// tidy is called with mu held.
func (o *overruns) tidy(late *overrun) {
	if !late.running && !late.owed && o.by[late.key] == late {
		delete(o.by, late.key)
		o.n.Store(int32(len(o.by)))
	}
}

// find returns the one that a delivery is of, if any. It is not locked any more.
func (o *overruns) find(delivery *Delivery) (late overrun, found bool) {
	if o.n.Load() == 0 {
		return late, false
	}
	key := contentKey(delivery)
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.by[key]
	if l == nil {
		return late, false
	}
	again := l.owed && (delivery.Redelivered || o.kind.isStream())
	copied := !l.owed && l.attempts > 0 && Attempts(delivery) >= l.attempts // or it is another one, of the same content
	return *l, again || copied
}

// collect counts the attempt.
func (o *overruns) collect(key uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if late := o.by[key]; late != nil {
		late.owed = false
		late.attempts++
		o.tidy(late)
	}
}

// isWithAnother sees to a delivery whose message another worker's handler has still, and returns true; false if there is
// none.
func (w *worker) isWithAnother() bool {
	d := w.dispatcher
	late, found := d.overruns.find(w.job.delivery)
	if !found || !late.running || d.kind.isStream() {
		return false
	}
	w.keep(*w.job.delivery)
	if late.owed || d.spec.RequeuePause >= d.judge.mayKeep(w.came) {
		w.conclude(w.countOverrun(late))
	} else {
		w.conclude(outcome{verdict: requeued, failure: failure{delivery: w.came}})
	}
	return true
}

// countOverrun decides what becomes of a message whose handler took too long.
func (w *worker) countOverrun(late overrun) outcome {
	d := w.dispatcher
	d.overruns.collect(late.key)
	text := "consumer: its handler took longer than the broker waits for an acknowledgement (consumer_timeout)"
	if late.running {
		text += ", and has not returned"
	}
	w.failure = failure{delivery: w.came, attempts: max(late.attempts, Attempts(w.came)), first: time.Now()}
	return w.attemptAgain(answer{meaning: overran, text: text, cause: NoteTimedOut})
}

// overran answers the loss of a consumer since the broker would not wait any longer: from now on only as much is asked
// for as handlers have in hand, so that nothing else waits behind what takes long.
func (s *supervisor) overran(sub *subscription) {
	timeout, d := sub.spec.consumerTimeout(s.config.ConsumerTimeout), sub.dispatch
	const nearly = 85 // percent: it is looked at twenty times, and the broker is not punctual
	looks := int(timeout * nearly / 100 / overdueEvery(s.config))
	d.overruns.blame(looks, sub.applied.Prefetch <= d.crew.size(), 2*timeout)
	if sub.spec.OrderingKey != nil || sub.kind.isStream() { // what waits for the turn of one key is not to be all that there is
		return
	}
	if prefetch, lowered := sub.window.calmDown(2 * timeout); lowered {
		s.noteOf(sub, NotePrefetchLowered, Evidence{
			Class: string(broker.ConsumerTimeout), Prefetch: prefetch,
			Note: fmt.Sprintf("messages wait too long to be acknowledged: prefetch %d of %d, as much as is handled at once, for %v", prefetch, sub.prefetch, roughly(2*timeout)),
		})
	}
}

// lookAtOverruns is called every now and then.
func (s *supervisor) lookAtOverruns() {
	for _, sub := range s.subscriptions {
		sub.dispatch.overruns.look()
		if sub.spec.canBeConsumedAnew() && sub.window.isCalm() {
			s.steer(sub)
		}
	}
}
