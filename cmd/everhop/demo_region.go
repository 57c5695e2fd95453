package main

import (
	"fmt"
	"time"

	"github.com/everhop/everhop/fsm"
)

// situation is what the region shows.
type situation struct {
	state   fsm.State
	since   time.Duration // in that state
	handled time.Duration // the last message; 0 for none yet
	now     time.Duration
	tally   tally
}

// lines draws it; where the machine does not fit, its state is still named.
func (s situation) lines(columns int, drawing string, ink ink) []string {
	lines := []string{""}
	if columns > machineColumns {
		lines = append(lines, drawMachine(drawing, s.state, ink)...)
		lines = append(lines, "")
	}
	state := fmt.Sprintf("  %s for %s", ink.paint(string(s.state), bold, colours[s.state]), age(s.now-s.since))
	if s.handled > 0 {
		state += fmt.Sprintf(", last message handled %s ago", age(s.now-s.handled))
	}
	return append(lines, state, "  "+s.tally.line(ink))
}

// line is the sum that it is, and redelivered.
func (t tally) line(ink ink) string {
	lost := fmt.Sprintf("lost %d", t.lost)
	if t.lost > 0 {
		lost = ink.paint(lost, bold, red)
	}
	return fmt.Sprintf("published %d   handled %d   waiting %d   %s   redelivered %d",
		t.published, t.handled, t.waiting, lost, t.redelivered)
}

// age is a time that goes on.
func age(d time.Duration) string { return fmt.Sprintf("%.1f s", max(0, d).Seconds()) }
