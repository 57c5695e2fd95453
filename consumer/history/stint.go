package history

import (
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// Stalled is the Class of an outage in which the process stood still; see [consumer.NoteStalled]. A
// publisher's note has the same name.
const Stalled = consumer.NoteStalled

// stint is how long it has been up in one go. The state says too much in two cases. A process that stands
// still is in Consuming or Publishing all the while, and a note tells of it when it goes on. A peer that is dead
// is noticed after a silence. What had counted as up until then is taken back.
type stint struct {
	length  time.Duration
	skipped time.Duration // the part of it that is before Since
	stall   Outage        // the one it began after, until that is counted; or none, with Duration 0
}

// atOnce is how soon after a stall a loss comes that is its consequence: the connection was gone when the
// process went on, or the next probe found out. The two are one outage.
const atOnce = 5 * time.Second

// takeBack makes down time of the end of the stint, of d if it is as long, and returns of how much.
func (s *Summary) takeBack(d time.Duration) time.Duration {
	t := &s.now.stint
	d = min(max(0, d), t.length)
	counted := min(d, t.length-t.skipped)
	s.totals.up -= counted
	s.totals.down += counted
	t.length -= d
	t.skipped = min(t.skipped, t.length)
	return d
}

// standStill counts the time in which a process stood still, until e. Where its whole machine was suspended,
// the run's clock stood still, too: ahead is by how much more the wall clock went on.
func (s *Summary) standStill(e *fsm.Event, ahead time.Duration) {
	stood := inMS(consumer.EvidenceOf(*e).StalledMS)
	suspended := min(max(0, ahead), stood)
	s.totals.suspended += suspended
	switch s.kind() {
	case up:
		s.totals.down += suspended
		if lasted := s.takeBack(stood-suspended) + suspended; lasted > 0 {
			s.settle()
			s.totals.outages++
			s.totals.stalls++
			s.totals.stalled += lasted
			s.now.stint = stint{stall: Outage{
				Begin: e.Time.Add(-lasted), End: e.Time, Duration: lasted, Cause: Cause{Class: Stalled},
			}}
		}
	case down:
		s.totals.down += suspended
		s.now.outage.Duration += suspended
	case stopped:
		s.totals.stopped += suspended
	}
}

// settle counts the stall that the stint began after: no loss has followed at once.
func (s *Summary) settle() {
	if stall := s.now.stint.stall; stall.Duration > 0 {
		s.totals.ended(stall, true)
		s.tell(stall)
		s.now.stint.stall = Outage{}
	}
}

// goDown begins an outage, or goes on with that of a stall.
func (s *Summary) goDown(o Outage) {
	if t := s.now.stint; t.stall.Duration > 0 && t.length <= atOnce {
		o.Begin, o.Cause = t.stall.Begin, t.stall.Cause
		o.Duration += t.stall.Duration + s.takeBack(t.length)
		s.now.stint.stall, s.now.failed = Outage{}, true
	}
	s.now.outage = o
}

// inMS is a number of milliseconds, which no log makes less than none.
func inMS(ms int64) time.Duration { return fsm.Event{InStateMS: ms}.InState() }
