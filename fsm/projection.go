package fsm

import "iter"

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
