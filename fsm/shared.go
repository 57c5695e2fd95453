package fsm

import "sync"

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
