package consumer

import (
	"fmt"
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
	late  time.Duration // since then
}

func newClock() clock {
	now := time.Now()
	return clock{timer: time.NewTimer(lookEvery), began: now, due: lookEvery, wall: now.Round(0)}
}

// wakeIn sets the timer.
func (c *clock) wakeIn(d time.Duration) {
	d = min(max(d, 0), lookEvery)
	mono := time.Since(c.began)
	c.passDue(mono)
	c.due = mono + d
	c.timer.Reset(d)
}

// passDue takes note of how late it is.
func (c *clock) passDue(mono time.Duration) {
	if late := mono - c.due; late > 0 {
		c.late += late
		c.due = mono
	}
}

// look compares what the clocks say with the last time. Stalled is for how long nothing was done here that
// was to be done: the timer came late because the process was stopped or starved, or the wall clock is ahead
// of the monotonic one, which stands still while a machine is suspended. SetBack is by how much the wall
// clock is behind.
func (c *clock) look(wall time.Time, mono time.Duration) (stalled, setBack time.Duration) {
	ahead := wall.Sub(c.wall) - (mono - c.mono)
	c.passDue(mono)
	stalled = c.late + max(ahead, 0)
	c.wall, c.mono, c.late = wall, mono, 0
	if stalled < stallTolerance {
		stalled = 0
	}
	if ahead < -stallTolerance {
		setBack = -ahead
	}
	return stalled, setBack
}

// lookAtClock records that time has passed in which nothing could be done.
func (s *supervisor) lookAtClock() {
	now := time.Now()
	stalled, setBack := s.clock.look(now.Round(0), now.Sub(s.clock.began))
	if stalled > 0 {
		s.record(fsm.KindNote, NoteStalled, Evidence{
			Generation: s.generation, StalledMS: stalled.Milliseconds(),
			Note: fmt.Sprintf("the process stood still for %v: it was stopped or starved, or its machine was suspended", roughly(stalled)),
		})
	}
	if setBack > 0 {
		s.record(fsm.KindNote, NoteClockSetBack, Evidence{
			Generation: s.generation, Note: fmt.Sprintf("the clock was set back by %v", roughly(setBack)),
		})
	}
}

// setClock sets the clock to what is to be looked at next: the silence of the broker while there is a
// session, the schedule while there is something to revive.
func (s *supervisor) setClock() {
	wake := lookEvery
	if s.watching() {
		wake = min(wake, s.config.DrainTimeout-s.silence())
	}
	if s.attemptPending() {
		wake = min(wake, time.Until(s.schedule.at))
	}
	s.clock.wakeIn(wake)
}

// tick does what the time has come for.
func (s *supervisor) tick() error {
	defer s.setClock()
	switch {
	case s.attemptPending() && s.schedule.due():
		s.begin()
	case s.watching() && s.silence() >= s.config.DrainTimeout:
		return s.probe()
	}
	return nil
}

// watching tells whether the broker's silence is the supervisor's business: an attempt watches over its
// own connection.
func (s *supervisor) watching() bool {
	return s.session != nil && !s.probing && s.cancelAttempt == nil
}

// silence is how long the broker has been silent without a reason. While it is blocked it would not
// answer a probe; only amqp091-go's heartbeat tells then that it lives.
func (s *supervisor) silence() time.Duration {
	if s.session.Blocked() {
		return 0
	}
	return s.session.Silence()
}

// attemptPending tells whether an attempt is to begin.
func (s *supervisor) attemptPending() bool {
	return s.machine.State() == Reviving && s.cancelAttempt == nil && !s.draining
}
