package consumer

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// waitingRoom has the deliveries of a subscription that wait in memory for their next turn: those that were to be put
// back, above all. They stay unacknowledged meanwhile. So the broker does not count them as delivered once
// more, which is what a quorum queue drops a message for.
type waitingRoom struct {
	waiting atomic.Int64 // how many there are, readable without the lock
	served  atomic.Bool  // one of them was what was taken last
	// heldBack is how many others wait to go back, since they can go nowhere else.
	heldBack atomic.Int64

	mu    sync.Mutex
	jobs  []keptJob   // the first to be due in front
	timer *time.Timer // wakes the workers when the first is due; nil before the first one was kept
}

// keepFor is how long a delivery may wait in memory: well within the broker's time for an acknowledgement.
func keepFor(consumerTimeout time.Duration) time.Duration { return consumerTimeout / 4 * 3 }

type keptJob struct {
	job
	due    time.Time
	inLane bool // it is its key's turn until it is settled
}

// keep has a job wait until it is due. It returns false if it may not wait: what has not begun goes back now, or its
// channel is not in view any more. Both are set before those that wait are taken out.
func (d *dispatcher) keep(j keptJob) bool {
	k := &d.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	if v := d.view.Load(); v.leaving() || v.channel != j.channel {
		return false
	}
	at, _ := slices.BinarySearchFunc(k.jobs, j.due, func(other keptJob, due time.Time) int {
		if other.due.After(due) {
			return 1
		}
		return -1 // those of the same time in the order in which they came
	})
	k.jobs = slices.Insert(k.jobs, at, j)
	k.waiting.Add(1)
	if at == 0 {
		d.rouseAt(j.due)
	}
	return true
}

// rouseAt is called with kept.mu held.
func (d *dispatcher) rouseAt(due time.Time) {
	k, in := &d.kept, max(0, time.Until(due))
	if k.timer == nil {
		k.timer = time.AfterFunc(in, func() { d.change(func(*view) {}) }) // workers look again
	} else {
		k.timer.Reset(in)
	}
}

// takeDue takes what has waited for long enough, if it is of that channel. Every other time one that nobody has
// begun with goes before it: what is put back again and again must not be all that is handled.
func (d *dispatcher) takeDue(c *channel) (j keptJob, ok bool) {
	k := &d.kept
	if k.waiting.Load() == 0 {
		return j, false
	}
	if k.served.Swap(false) {
		if n, _, _ := c.source.Waiting(); n > 0 { // and nobody else receives it
			return j, false
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for i, candidate := range k.jobs {
		switch {
		case candidate.due.After(now):
			d.rouseAt(candidate.due)
			return j, false
		case candidate.channel == c:
			if i == 0 { // nearly always: then those behind it, which may be very many, stay where they are
				k.jobs[0] = keptJob{}
				k.jobs = k.jobs[1:]
			} else {
				k.jobs = slices.Delete(k.jobs, i, i+1)
			}
			k.waiting.Add(-1)
			k.served.Store(true)
			return candidate, true
		}
	}
	return j, false
}

// removeKept takes out those that are to go, and lets the next ones of their keys have their turn.
func (d *dispatcher) removeKept(goes func(job) bool) (jobs []job) {
	k := &d.kept
	k.mu.Lock()
	var keys []string
	k.jobs = slices.DeleteFunc(k.jobs, func(j keptJob) bool {
		if !goes(j.job) {
			return false
		}
		jobs = append(jobs, j.job)
		if j.inLane {
			keys = append(keys, j.key)
		}
		return true
	})
	k.waiting.Store(int64(len(k.jobs)))
	if len(k.jobs) == 0 && k.timer != nil {
		k.timer.Stop()
	}
	k.mu.Unlock()
	for _, key := range keys {
		jobs = append(jobs, d.passOn(key)...)
	}
	return jobs
}

// passOn gives a key's turn to the next one that waits for it. It returns those that are to go back instead.
func (d *dispatcher) passOn(key string) (jobs []job) {
	next, ok := d.lanes.Next(key)
	for ok && !d.keep(keptJob{job: next, inLane: true}) { // or its key would be taken for ever
		jobs = append(jobs, next)
		next, ok = d.lanes.Next(key)
	}
	return jobs
}

// returnLongKept gives back what waits for a worker that is free, and has for nearly as long as the broker waits.
func (d *dispatcher) returnLongKept() {
	for _, j := range d.removeKept(func(j job) bool { return time.Since(j.delivery.ReceivedAt) >= d.env.keepFor }) {
		d.returnUnseen(j)
	}
	d.window.handled()
}

// keepsAny tells whether anything waits for its next turn.
func (d *dispatcher) keepsAny() bool { return d.kept.waiting.Load() > 0 }

// hasWaitedTooLong tells whether the broker will not wait much longer for an acknowledgement.
func (d *dispatcher) hasWaitedTooLong() bool {
	_, since, ok := d.oldest()
	return ok && time.Since(since) >= d.env.keepFor
}

// releaseLongKept gives back what has waited for nearly as long as the broker waits for acknowledgements: all of it
// in a pause.
func (s *supervisor) releaseLongKept() {
	for _, sub := range s.subscriptions {
		if sub.steered { // perhaps what it has is going back, and is told of together
			continue
		}
		s.noteReleased(sub)
		if sub.live == nil || s.stopping {
			continue
		}
		if !sub.dispatch.isIdle() {
			if sub.dispatch.keepsAny() {
				s.background.Go(func() {
					sub.dispatch.returnLongKept()
					s.post(released{sub: sub})
				})
			}
			continue
		}
		if !sub.applied.Paused || sub.released || !sub.dispatch.hasWaitedTooLong() {
			continue
		}
		sub.released, sub.steered = true, true // the broker is not to send anything meanwhile
		live := sub.live
		s.background.Go(func() {
			sub.dispatch.release(live)
			s.post(released{sub: sub, inPause: true})
		})
	}
}

// released says that what was kept for too long has gone back.
type released struct {
	sub     *subscription
	inPause bool
}

func (r released) apply(s *supervisor) error {
	if r.inPause {
		r.sub.steered = false
	}
	s.noteReleased(r.sub)
	if r.inPause {
		s.steer(r.sub)
	}
	return nil
}

// noteReleased tells what has gone back since it was told last. As long as a consumer does not stop, there is one
// reason for that: the broker would not have waited longer. Workers give back what they have in hand in their own time,
// so it is looked at again and again.
func (s *supervisor) noteReleased(sub *subscription) {
	if s.stopping { // the end tells
		return
	}
	now, told := s.counts[sub.index].stats(), &sub.returned
	e := Evidence{
		ReturnedUnstarted: now.ReturnedUnstarted - told.ReturnedUnstarted, Unfinished: now.Requeued - told.Requeued,
	}
	*told = now
	if n := e.ReturnedUnstarted + e.Unfinished; n > 0 {
		e.Note = fmt.Sprintf("%d deliveries that waited in memory went back to the queue: the broker waits %v for acknowledgements (consumer_timeout)",
			n, sub.spec.consumerTimeout(s.config.ConsumerTimeout))
		s.noteOf(sub, NoteReleased, e)
	}
}
