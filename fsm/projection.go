package fsm

import (
	"iter"
	"sync"
)

// Projection is something that can be known from a log, and that each event may
// change: a counter, a gauge, a [Summary].
type Projection interface {
	// Apply takes the next event, in the order of the log.
	Apply(Event)
}

// Project shows the events to every projection, and returns the first error among
// them; what was before it has been applied.
func Project(events iter.Seq2[Event, error], projections ...Projection) error {
	for e, err := range events {
		if err != nil {
			return err
		}
		for _, p := range projections {
			p.Apply(e)
		}
	}
	return nil
}

// Shared is a [Projection] that others may read while events are applied to it, as
// they are while a machine runs. Its methods may be called from anywhere.
type Shared[P Projection] struct {
	mu         sync.Mutex
	projection P
}

// Share returns p, shared. Nobody is to use p but by Read from then on.
func Share[P Projection](p P) *Shared[P] { return &Shared[P]{projection: p} }

// Apply applies an event to the projection.
func (s *Shared[P]) Apply(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.projection.Apply(e)
}

// Read shows the projection to a function, which has it for itself until it returns:
// events wait. It must neither keep the projection nor call a method of s.
func (s *Shared[P]) Read(read func(P)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	read(s.projection)
}
