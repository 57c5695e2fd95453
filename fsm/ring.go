package fsm

import "sync"

// Ring is a [Journal] in memory that keeps the newest events. Any goroutine may
// read it while the machine appends.
type Ring struct {
	mu     sync.RWMutex
	events queue
}

// NewRing returns a ring of the n newest events. Defaults to 1024 when n is not
// positive.
func NewRing(n int) *Ring { return &Ring{events: newQueue(n)} }

// Append adds an event, in place of the oldest one when the ring is full. It
// never fails and never allocates.
func (r *Ring) Append(e Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
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
