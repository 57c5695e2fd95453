package consumer

import (
	"slices"
	"time"

	"github.com/everhop/everhop/consumer/internal/standstill"
	"github.com/everhop/everhop/fsm"
)

// lookEvery is how often the supervisor looks around when nothing else wakes it.
const lookEvery = standstill.LookEvery

// lookAtClock records that time has passed in which nothing could be done.
func (s *supervisor) lookAtClock() {
	seen := s.clock.Look()
	s.board.stalled(time.Now(), seen.Longest())
	for _, n := range seen.Notes() {
		name := NoteStalled
		if n.Stalled == 0 {
			name = NoteClockSetBack
		}
		s.record(fsm.KindNote, name, Evidence{Generation: s.home.generation, StalledMS: n.Stalled.Milliseconds(), Note: n.Text})
	}
}

// setClock sets the clock to what is to be looked at next: the silence of a broker to which there is a session, the
// schedule of what is to be revived, and when something comes home.
func (s *supervisor) setClock() {
	wake := time.Until(s.minuteEnds)
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
	s.clock.WakeIn(wake)
}

// tick does what the time has come for.
func (s *supervisor) tick() error {
	defer s.setClock()
	s.lookAtMinute()
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
