package fsm

// lost is a row of events that somebody does not get to see.
type lost struct {
	count uint64
	first uint64 // Seq of the first
	last  Event
}

func (l *lost) add(e Event) {
	if l.count == 0 {
		l.first = e.Seq
	}
	l.count++
	l.last = e
}

// gap returns the event that stands in their place.
func (l *lost) gap(note string) Event {
	return Event{
		V:        Schema,
		Kind:     KindGap,
		Seq:      l.first,
		Run:      l.last.Run,
		Machine:  l.last.Machine,
		Time:     l.last.Time,
		MonoNS:   l.last.MonoNS,
		From:     l.last.To,
		To:       l.last.To,
		Evidence: Evidence{Note: note},
	}
}
