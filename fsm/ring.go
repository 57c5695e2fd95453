package fsm

import (
	"sync"
	"time"
)

// Ring is a [Journal] in memory that keeps the newest events. Any goroutine may
// read it while the machine appends.
//
// What a machine does over and over when nothing happens does not push the rest out:
// of round trips between two states (from one to another and right back, by the same
// two triggers, in one run, with the same [Details] and without Error and Note) that
// follow one another, the ring keeps the newest as it was, and one [KindCycle] for all
// before it.
type Ring struct {
	mu     sync.RWMutex
	events queue
	away   time.Duration // that the newest cycle was in its Via
}

// NewRing returns a ring of the n newest events. Defaults to 1024 when n is not
// positive.
func NewRing(n int) *Ring { return &Ring{events: newQueue(n)} }

// Append adds an event, in place of the oldest one when the ring is full. It
// never fails and never allocates. What another ring has kept, it takes too.
func (r *Ring) Append(e Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fold(&e)
	if e.Kind == KindCycle {
		r.away = e.InState()
	}
	if r.events.full() {
		r.events.pop()
	}
	r.events.push(&e)
	return nil
}

// Last returns the newest event, false when there is none.
func (r *Ring) Last() (Event, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.events.size == 0 {
		return Event{}, false
	}
	return *r.events.at(r.events.size - 1), true
}

// Events returns a copy of what the ring holds, the oldest event first.
func (r *Ring) Events() []Event {
	r.mu.RLock()
	defer r.mu.RUnlock()
	events := make([]Event, r.events.size)
	for i := range events {
		events[i] = *r.events.at(i)
	}
	return events
}

// fold makes the newest round trip a part of the cycle before it, or a cycle, if e
// completes another one like it:
//
//	     leave back again e           cycle again e
//	...    1     2    3   4    -->  ... 1-2    3   4
func (r *Ring) fold(e *Event) {
	q := &r.events
	if e.Kind != KindTransition || q.size < 3 {
		return
	}
	leave, back, again := q.at(q.size-3), q.at(q.size-2), q.at(q.size-1)
	isTrip := back.follows(leave, 1) && back.From == leave.To && back.To == leave.From && leave.From != leave.To
	if !isTrip || !again.repeats(leave) || !e.repeats(back) {
		return
	}
	away := time.Duration(back.MonoNS - leave.MonoNS)
	cycle, folded := leave, 1
	if before := q.at(max(0, q.size-4)); q.size > 3 && before.isCycleOf(leave, back) {
		cycle, folded = before, 2
		away += r.away
	} else {
		leave.Kind, leave.Via, leave.To, leave.Back, leave.Count = KindCycle, leave.To, leave.From, back.Trigger, 0
	}
	cycle.Count += 2
	cycle.Time, cycle.MonoNS, cycle.InStateMS = back.Time, back.MonoNS, away.Milliseconds()
	r.away = away
	*q.at(q.size - 1 - folded) = *again
	q.drop(folded)
}

// repeats tells that e is what older was, one event being between them, and that
// neither has more to tell than a transition.
func (e *Event) repeats(older *Event) bool {
	return e.Kind == KindTransition && older.Kind == KindTransition &&
		e.From == older.From && e.To == older.To && e.Trigger == older.Trigger && e.follows(older, 2) &&
		e.Error == "" && e.Note == "" && e.Name == "" && older.Error == "" && older.Note == "" && older.Name == ""
}

// follows tells that e is so many events behind older, in the same run and with the
// same details.
func (e *Event) follows(older *Event, behind uint64) bool {
	return e.Seq == older.Seq+behind && e.Run == older.Run && e.Machine == older.Machine && e.Details == older.Details
}

// isCycleOf tells that e stands for round trips like that of leave and back, which
// is the next.
func (e *Event) isCycleOf(leave, back *Event) bool {
	return e.Kind == KindCycle && leave.follows(e, e.Count) &&
		e.From == leave.From && e.Via == leave.To && e.Trigger == leave.Trigger && e.Back == back.Trigger
}
