package consumer

import (
	"slices"
	"time"

	"github.com/everhop/everhop/fsm"
)

const (
	// lookEvery is how often the supervisor looks around when nothing else wakes it: so that it knows when
	// it was kept from doing so.
	lookEvery = 5 * time.Second
	// stallTolerance is how late it may be. A busy machine makes it late by less.
	stallTolerance = time.Second
)

// clock wakes the supervisor, and knows when that came too late.
type clock struct {
	timer *time.Timer
	began time.Time
	due   time.Duration // since began, when it is to wake at the latest
	wall  time.Time     // at the last look
	mono  time.Duration // since began, likewise
}

func newClock() clock {
	now := time.Now()
	return clock{timer: time.NewTimer(lookEvery), began: now, due: lookEvery, wall: now.Round(0)}
}

// wakeIn sets the timer.
func (c *clock) wakeIn(d time.Duration) {
	d = min(max(d, 0), lookEvery)
	c.due = time.Since(c.began) + d
	c.timer.Reset(d)
}

// look compares what the clocks say with the last time. Late is by how much the supervisor was woken too
// late: the process was stopped or starved. Ahead is by how much the wall clock has gone on further than the
// monotonic one, which stands still while a machine is suspended; less than nothing if it was set back. What
// a busy machine does is 0.
func (c *clock) look(wall time.Time, mono time.Duration) (late, ahead time.Duration) {
	late, ahead = mono-c.due, wall.Sub(c.wall)-(mono-c.mono)
	c.wall, c.mono = wall, mono
	c.excuse(mono)
	if late < stallTolerance {
		late = 0
	}
	if ahead.Abs() < stallTolerance {
		ahead = 0
	}
	return late, ahead
}

// excuse says that the supervisor knows what it did until now: that was no standstill. A journal may have a
// slow disk, and subscriptions go on meanwhile.
func (c *clock) excuse(mono time.Duration) { c.due = max(c.due, mono) }

// lookAtClock records that time has passed in which nothing could be done.
func (s *supervisor) lookAtClock() {
	now := time.Now()
	late, ahead := s.clock.look(now.Round(0), now.Sub(s.clock.began))
	s.board.stalled(now, max(late, ahead))
	note := func(name string, stalled time.Duration, text string) {
		s.record(fsm.KindNote, name, Evidence{Generation: s.home.generation, StalledMS: stalled.Milliseconds(), Note: text})
	}
	if late > 0 {
		note(NoteStalled, late, "the process stood still for "+roughly(late)+": it was stopped, or the machine was too busy")
	}
	switch {
	case ahead > 0:
		note(NoteStalled, ahead, "the clock went ahead by "+roughly(ahead)+": the machine was suspended, or the clock was set")
	case ahead < 0:
		note(NoteClockSetBack, 0, "the clock was set back by "+roughly(-ahead))
	}
}

// setClock sets the clock to what is to be looked at next: the silence of a broker to which there is a session, the
// schedule of what is to be revived, and when something comes home.
func (s *supervisor) setClock() {
	wake := lookEvery
	for _, c := range s.connections {
		if c.watched() {
			wake = min(wake, s.config.DrainTimeout-c.silence())
		}
		if s.isPending(c) {
			wake = min(wake, c.schedule.Remaining())
		}
		if c == s.home {
			continue
		}
		for _, sub := range c.subscriptions {
			if wait, comes := s.untilHome(sub); comes {
				wake = min(wake, wait)
			}
		}
	}
	s.clock.wakeIn(wake)
}

// tick does what the time has come for.
func (s *supervisor) tick() error {
	defer s.setClock()
	for _, c := range slices.Clone(s.connections) {
		if s.isPending(c) && c.schedule.Due() {
			s.begin(c)
		} else if c.watched() && c.silence() >= s.config.DrainTimeout {
			if err := s.probe(c); err != nil {
				return err
			}
		}
		for _, sub := range c.subscriptions {
			if wait, comes := s.untilHome(sub); comes && wait <= 0 {
				s.bringHome(sub)
			}
		}
	}
	return nil
}

// isPending tells whether an attempt is to begin.
func (s *supervisor) isPending(c *connection) bool { return !s.stopping && c.attemptPending() }
