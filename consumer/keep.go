package consumer

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/consumer/internal/lanes"
)

// waitingRoom has the deliveries of a subscription that wait in memory for their next turn: those that were to be put
// back, above all. They stay unacknowledged meanwhile. So the broker does not count them as delivered once
// more, which is what a quorum queue drops a message for.
type waitingRoom struct {
	crew  *crew
	lanes *lanes.Lanes[job]

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
func (r *waitingRoom) keep(j keptJob) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v := r.crew.view(); v.leaving() || v.channel != j.channel {
		return false
	}
	at, _ := slices.BinarySearchFunc(r.jobs, j.due, func(other keptJob, due time.Time) int {
		if other.due.After(due) {
			return 1
		}
		return -1 // those of the same time in the order in which they came
	})
	r.jobs = slices.Insert(r.jobs, at, j)
	r.waiting.Add(1)
	if at == 0 {
		r.rouseAt(j.due)
	}
	return true
}

// rouseAt is called with r.mu held.
func (r *waitingRoom) rouseAt(due time.Time) {
	in := max(0, time.Until(due))
	if r.timer == nil {
		r.timer = time.AfterFunc(in, func() { r.crew.rouse() }) // workers look again
	} else {
		r.timer.Reset(in)
	}
}

// takeDue takes what has waited for long enough, if it is of that channel. Every other time one that nobody has
// begun with goes before it: what is put back again and again must not be all that is handled.
func (r *waitingRoom) takeDue(c *channel) (j keptJob, ok bool) {
	if r.isEmpty() {
		return j, false
	}
	if r.served.Swap(false) {
		if n, _, _ := c.source.Waiting(); n > 0 { // and nobody else receives it
			return j, false
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for i, candidate := range r.jobs {
		switch {
		case candidate.due.After(now):
			r.rouseAt(candidate.due)
			return j, false
		case candidate.channel == c:
			if i == 0 { // nearly always: then those behind it, which may be very many, stay where they are
				r.jobs[0] = keptJob{}
				r.jobs = r.jobs[1:]
			} else {
				r.jobs = slices.Delete(r.jobs, i, i+1)
			}
			r.waiting.Add(-1)
			r.served.Store(true)
			return candidate, true
		}
	}
	return j, false
}

// remove takes out those that are to go, and lets the next ones of their keys have their turn.
func (r *waitingRoom) remove(goes func(job) bool) (jobs []job) {
	r.mu.Lock()
	var keys []string
	r.jobs = slices.DeleteFunc(r.jobs, func(j keptJob) bool {
		if !goes(j.job) {
			return false
		}
		jobs = append(jobs, j.job)
		if j.inLane {
			keys = append(keys, j.key)
		}
		return true
	})
	r.waiting.Store(int64(len(r.jobs)))
	if len(r.jobs) == 0 && r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Unlock()
	for _, key := range keys {
		jobs = append(jobs, r.passOn(key)...)
	}
	return jobs
}

// passOn gives a key's turn to the next one that waits for it. It returns those that are to go back instead.
func (r *waitingRoom) passOn(key string) (jobs []job) {
	next, ok := r.lanes.Next(key)
	for ok && !r.keep(keptJob{job: next, inLane: true}) { // or its key would be taken for ever
		jobs = append(jobs, next)
		next, ok = r.lanes.Next(key)
	}
	return jobs
}

// isEmpty tells whether nothing waits for its next turn.
func (r *waitingRoom) isEmpty() bool { return r.waiting.Load() == 0 }

// returnLongKept gives back what waits for a worker that is free, and has for nearly as long as the broker waits.
func (d *dispatcher) returnLongKept() {
	for _, j := range d.kept.remove(func(j job) bool { return time.Since(j.delivery.ReceivedAt) >= d.env.keepFor }) {
		d.returnUnseen(j)
	}
	d.window.handled()
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
			if !sub.dispatch.kept.isEmpty() {
				s.background.Go(func() {
					sub.dispatch.returnLongKept()
					s.post(released{sub: sub})
				})
			}
			continue
		}
		long := keepFor(sub.spec.consumerTimeout(s.config.ConsumerTimeout))
		if !sub.applied.Paused || sub.released || !sub.dispatch.channel().look().hasWaited(long) {
			continue
		}
		sub.released, sub.steered = true, true // the broker is not to send anything meanwhile
		live := sub.live
		s.background.Go(func() {
			sub.dispatch.giveBack(live)
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
