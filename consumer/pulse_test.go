package consumer

import (
	"testing"
	"time"
)

// A process that stood still is not taken for a supervisor that hangs.
func TestPulse(t *testing.T) {
	p := pulse{epoch: time.Now().Add(-time.Hour)}
	p.turn()
	stands := func(d time.Duration) { p.epoch = p.epoch.Add(-d) } // as seen by the clock
	if age := p.since(&p.turned, StuckAfter); age != 0 {
		t.Errorf("stuck for %v", age)
	}
	stands(time.Hour)
	p.beats.Add(1) // the timer was due
	if age := p.since(&p.turned, StuckAfter); age != 0 {
		t.Errorf("it stood still, and is told to be stuck for %v", age)
	}
	p.turn()
	for range StuckAfter / lookEvery {
		if age := p.since(&p.turned, StuckAfter); age != 0 {
			t.Errorf("stuck for %v", age)
		}
		stands(lookEvery)
		p.beats.Add(1)
	}
	if age := p.since(&p.turned, StuckAfter); age < StuckAfter {
		t.Errorf("stuck for %v", age)
	}
}
