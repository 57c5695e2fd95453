package standstill

import "time"

// Seen is by how much the clocks are off what was expected. What a busy machine does is 0.
type Seen struct {
	// Late is by how much the goroutine was woken too late: the process was stopped or starved.
	Late time.Duration
	// Ahead is by how much the wall clock has gone on further than the monotonic one, which stands still while a machine is
	// suspended; less than nothing if it was set back.
	Ahead time.Duration
}

// Longest is for how long nothing could be done in one go, 0 if that was never so.
func (s Seen) Longest() time.Duration { return max(s.Late, s.Ahead) }

// Note is one thing to tell.
type Note struct {
	// Stalled is for how long the process stood still; 0 for a clock that was set back.
	Stalled time.Duration
	// Text says it to people.
	Text string
}

// Notes are what is to be told of it: most of the time nothing.
func (s Seen) Notes() (notes []Note) {
	if s.Late > 0 {
		notes = append(notes, Note{s.Late, "the process stood still for " + roughly(s.Late) + ": it was stopped, or the machine was too busy"})
	}
	switch {
	case s.Ahead > 0:
		notes = append(notes, Note{s.Ahead, "the clock went ahead by " + roughly(s.Ahead) + ": the machine was suspended, or the clock was set"})
	case s.Ahead < 0:
		notes = append(notes, Note{0, "the clock was set back by " + roughly(-s.Ahead)})
	}
	return notes
}

// roughly is a duration for people: the timer is not more exact.
func roughly(d time.Duration) string { return d.Round(tolerance / 10).String() }
