package history

import (
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// Cause is why an outage began.
type Cause struct {
	// Trigger is what began it: ProcessRestarted for a run that ended without Stop, recorded or not. If the
	// log does not have the beginning, it is the first trigger after it, or empty; for a process that stood
	// still it is empty.
	Trigger fsm.Trigger
	// Class is that of the error, or Stalled.
	Class    string
	Code     int
	Error    string
	Endpoint string
	Queue    string
}

// Name is the class, or the trigger where there is no class.
func (c Cause) Name() string {
	if c.Class != "" {
		return c.Class
	}
	return string(c.Trigger)
}

// Outage is a stretch of time in which it was not up, because of a failure.
type Outage struct {
	Begin time.Time
	// End is zero while the outage lasts.
	End time.Time
	// Duration is not End minus Begin when the wall clock was set.
	Duration time.Duration
	Cause    Cause
	// Ending is the trigger of the end: Revived, Connected, Stop, or a publisher's ConnectionUnblocked. It is empty if
	// that is missing, and where a process that had stood still went on as if nothing had been.
	Ending fsm.Trigger
	// Attempts to connect or to revive.
	Attempts int
	// Unrecorded is the part of Duration in which it may have been up after all.
	Unrecorded time.Duration
	// Cut tells that the outage began before the log: Begin and Duration are of what the log has.
	Cut bool
}

// Moment is what was the case at one moment.
type Moment struct {
	State fsm.State
	// Ended tells that the run has ended without Stop, at an unknown time since its last event: State is the
	// last one that is recorded.
	Ended bool
	// Since is when the state was entered. The log may begin later than that: then InLog is false, and Since
	// what the first event says, or the start of the log.
	Since time.Time
	InLog bool
	// Led is the transition that led into the state; its Seq is 0 if the log has none.
	Led fsm.Event
	// Up is since when it has been up, idle or not; zero if it is not. It is not interrupted by a stall.
	// If it was up when the log begins, UpInLog is false, and it may have been for longer.
	Up      time.Time
	UpInLog bool
	// Idle counts the heartbeats answered since Up.
	Idle int
	// Outage is under way if its Begin is not zero.
	Outage Outage
}

// kind is what a moment counts as.
type kind int

const (
	down kind = iota
	up
	stopped
)

// condition is what the events so far have led to.
type condition struct {
	state   fsm.State
	stopped bool // Disconnected on purpose
	ended   bool // with the run, without Stop; state is the last one known
	since   time.Time
	known   bool // since is from the log
	led     fsm.Event

	up     time.Time // it is up since
	upSeen bool      // the log has that
	idle   int       // heartbeats answered since then
	stint  stint
	outage Outage // while down
	failed bool   // it is one, and not just a connect
	tries  int    // of the revival
}

func (s *Summary) kind() kind {
	switch {
	case s.now.ended:
		return down
	case s.lifecycle().isUp(s.now.state):
		return up
	case s.now.stopped:
		return stopped
	}
	return down
}

// Now returns what is the case after the newest event, or at Until.
func (s *Summary) Now() Moment {
	m := Moment{
		State: s.now.state, Ended: s.now.ended, Since: s.now.since, InLog: s.now.known, Led: s.now.led,
		Up: s.now.up, UpInLog: s.now.upSeen, Idle: s.now.idle,
	}
	if s.now.failed {
		m.Outage = s.now.outage
	}
	return m
}

// apply counts an event that was reached. Ahead is by how much more the wall clock went on until then than
// the run's own.
func (s *Summary) apply(e *fsm.Event, ahead time.Duration) {
	switch e.Kind {
	case fsm.KindGap:
		s.totals.gaps++
		return
	case fsm.KindSnapshot:
		return
	case fsm.KindTransition:
		s.try(e)
		s.enter(e.To, e.Time, e)
		switch {
		case s.lifecycle().isAnswer(e.Trigger):
			s.now.idle++
		case e.Trigger == consumer.ReviveFailed:
			s.fail(causeOf(e)) // the log may begin later than the outage
		}
	case fsm.KindCycle:
		s.enter(e.To, e.Time, e)
		s.totals.events += e.Count - 1
		if s.lifecycle().isIdling(e) {
			s.now.idle += int(e.Count / 2)
		}
	case fsm.KindRejected:
		s.totals.rejected++
	case fsm.KindStale:
		s.totals.stale++
	case fsm.KindNote:
		s.totals.notes++
		switch {
		case e.Name == consumer.NoteStalled:
			s.standStill(e, ahead)
		case isOutcomes(e), IsMessage(*e):
			s.totals.queues.add(e)
		}
	}
	s.totals.events++
}

// try counts the attempts that e is the outcome of. Attempt counts those of a revival, of which a log may
// have only some.
func (s *Summary) try(e *fsm.Event) {
	n := 0
	switch {
	case e.From == consumer.Connecting && e.Trigger != consumer.Stop && e.Trigger != consumer.ProcessRestarted:
		n = 1
	case e.Trigger == consumer.ReviveFailed, e.Trigger == consumer.Revived:
		number := consumer.EvidenceOf(*e).Attempt
		if number == 0 {
			number = s.now.tries + 1
		}
		n = max(0, number-s.now.tries)
		s.now.tries += n
	}
	s.now.outage.Attempts += n
	s.totals.attempts += n
}

// enter takes over another state, by the transition e; e is nil when that is missing.
func (s *Summary) enter(state fsm.State, at time.Time, e *fsm.Event) {
	if state == s.now.state && !s.now.ended {
		return
	}
	before, crashed := s.kind(), s.now.ended
	s.now.state, s.now.ended, s.now.since, s.now.known, s.now.led = state, false, at, true, fsm.Event{}
	s.now.stopped = state == consumer.Disconnected && (e == nil && !crashed || e != nil && e.Trigger == consumer.Stop)
	if e != nil {
		s.now.led = *e
	}
	if state == consumer.Reviving {
		s.now.tries = 0
	}
	var silence time.Duration
	if e != nil && e.Trigger == consumer.HeartbeatFailed && before == up {
		silence = s.takeBack(inMS(consumer.EvidenceOf(*e).SilenceMS))
	}
	after := s.change(before, at, silence)
	if after != down {
		return
	}
	switch {
	case e == nil && before == up:
		s.fail(Cause{})
	case e == nil:
	case e.Trigger == consumer.ProcessRestarted:
		if !crashed { // the log begins with it, or has a gap there
			s.now.outage.Cut = true
			if s.totals.aborted < s.totals.runs-1 { // the run that ended is one of the log's
				s.totals.aborted++
			}
		}
		s.fail(causeOf(e))
	case e.Trigger != consumer.Connect:
		s.fail(causeOf(e))
	}
}

// change does what follows from being up, down or stopped instead of what was before. An outage began with
// the silence before it.
func (s *Summary) change(before kind, at time.Time, silence time.Duration) kind {
	after := s.kind()
	if after == before {
		return after
	}
	if before == down {
		s.finish(at)
	}
	if after == down {
		s.goDown(Outage{Begin: at.Add(-silence), Duration: silence})
	}
	switch {
	case before == up:
		s.settle()
		s.now.up, s.now.upSeen, s.now.idle, s.now.stint = time.Time{}, false, 0, stint{}
	case after == up:
		s.now.up, s.now.upSeen = at, true
	}
	return after
}

// fail makes an outage of what is down. The first cause that is known is its cause.
func (s *Summary) fail(why Cause) {
	if !s.now.failed {
		s.now.failed = true
		s.totals.outages++
	}
	if s.now.outage.Cause == (Cause{}) {
		s.now.outage.Cause = why
	}
}

// finish ends what was down.
func (s *Summary) finish(at time.Time) {
	o := s.now.outage
	failed := s.now.failed
	s.now.outage, s.now.failed, s.now.tries = Outage{}, false, 0
	if !failed {
		return
	}
	o.End, o.Ending = at, s.now.led.Trigger
	s.totals.ended(o, s.kind() == up)
	s.tell(o)
}

// lapse lets time pass in what is the case.
func (s *Summary) lapse(d time.Duration) {
	switch kind := s.kind(); {
	case s.now.ended:
		s.lose(d)
	case kind == up:
		s.totals.up += d
		s.now.stint.length += d
	case kind == stopped:
		s.totals.stopped += d
	default:
		s.totals.down += d
		s.now.outage.Duration += d
	}
}

// lose lets time pass of which nothing is recorded.
func (s *Summary) lose(d time.Duration) {
	switch s.kind() {
	case up:
		s.totals.unknown += d
		s.settle()
		s.now.stint = stint{}
	case stopped:
		s.totals.stopped += d
	default:
		s.totals.down += d
		s.totals.unrecorded += d
		s.now.outage.Duration += d
		s.now.outage.Unrecorded += d
	}
}

func causeOf(e *fsm.Event) Cause {
	why := consumer.EvidenceOf(*e)
	return Cause{Trigger: e.Trigger, Class: why.Class, Code: why.Code, Error: e.Error, Endpoint: why.Endpoint, Queue: why.Queue}
}
