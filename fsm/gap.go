package fsm

// Gap gathers events that somebody does not get to see: the oldest of a full
// [Feed], or those a journal could not write. The zero value is empty.
type Gap struct {
	// Count is how many events there are.
	Count uint64
	// First is the Seq of the first of them, Last the newest.
	First uint64
	Last  Event
}

// Add takes the next event.
func (g *Gap) Add(e Event) {
	if g.Count == 0 {
		g.First = e.Seq
	}
	g.Count++
	g.Last = e
}

// Event returns the KindGap event that stands in their place.
func (g *Gap) Event(note string) Event {
	return Event{
		V:        Schema,
		Kind:     KindGap,
		Seq:      g.First,
		Run:      g.Last.Run,
		Machine:  g.Last.Machine,
		Time:     g.Last.Time,
		MonoNS:   g.Last.MonoNS,
		From:     g.Last.To,
		To:       g.Last.To,
		Evidence: Evidence{Note: note},
	}
}
