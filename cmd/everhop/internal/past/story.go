package past

import (
	"time"

	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// story is what is told of one machine.
type story struct {
	machine  string
	summary  history.Summary
	timeline *history.Timeline
	shown    []history.Entry // by timeline, and not yet by entry
	begin    time.Time       // of the log
	end      time.Time       // of what was told
	over     bool            // something behind until was read
	newest   fsm.Event       // that was read
	back     setBack

	// For at only: a summary of all events, the newest stretch and the newest that has events on both sides.
	all               history.Summary
	newestAt, wholeAt stretch
}

// setBack says how often the wall clock was set back within a run, the last time by how much and before what time.
type setBack struct {
	times  int
	by     time.Duration
	before time.Time
}

// watch sees the wall clock go back.
func (s *story) watch(e fsm.Event) {
	if n := s.newest; e.Run == n.Run && e.Seq > n.Seq && e.Time.Before(n.Time) {
		passed := time.Duration(max(0, e.MonoNS-n.MonoNS))
		s.back = setBack{s.back.times + 1, passed + n.Time.Sub(e.Time), e.Time}
	}
	s.newest = e
}

// stretch is a part of the log around the time that was asked for.
type stretch struct {
	moment history.Moment
	last   fsm.Event  // the newest event then; a snapshot only repeats others
	next   *fsm.Event // the first one behind
}

// look finds out what was the case at that time. When the clock was set back the log may have it several times.
func (s *story) look(e fsm.Event, at time.Time) {
	s.watch(e)
	switch isSnapshot := e.Kind == fsm.KindSnapshot; {
	case !e.Time.After(at):
		s.newestAt.next = nil
		if !isSnapshot {
			s.newestAt.last = e
		}
	case isSnapshot:
		return
	case s.newestAt.next == nil:
		then := s.all.Clone()
		then.Until = at
		then.Apply(e)
		s.newestAt.moment, s.newestAt.next = then.Now(), &e
		s.wholeAt = s.newestAt
	}
	s.all.Apply(e)
}

// at is the last stretch with events before and behind, or else what the log ends or begins with.
func (s *story) at() stretch {
	if s.wholeAt.moment.State != "" {
		return s.wholeAt
	}
	if s.newestAt.next == nil {
		s.newestAt.moment = s.all.Now()
	}
	return s.newestAt
}

// ending is how what was told ends.
func (s *story) ending() ending {
	m := s.summary.Now()
	end := ending{state: m.State, runEnded: m.Ended, more: s.over, since: m.Since, inLog: m.InLog, led: m.Led.Trigger}
	if m.State == s.summary.Lifecycle().Up { // heartbeats do not interrupt it
		end.since, end.inLog = m.Up, m.UpInLog
	}
	return end
}
