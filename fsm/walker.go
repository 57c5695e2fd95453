package fsm

import (
	"slices"
	"time"
)

// Walker goes through the log of one machine, event by event, and tells what lies
// between each and the one before: which time passed in which state, how many
// events are missing, whether a run began. It judges nothing: [Replay] does, and
// a [Projection] counts. The zero value stands before the first event. It takes
// constant memory, may be copied, and is not safe for concurrent use.
type Walker struct {
	begun bool
	run   string
	past  [maxPast]string // runs before it
	pasts int             // how many were put there
	seq   uint64          // the newest
	time  time.Time
	mono  int64
	state State
	gap   bool // the newest event is one

	entered int64 // the MonoNS of the run's last transition or of its start, if timed
	timed   bool
}

// maxPast is how many runs may take turns and be told from runs after one another.
const maxPast = 16

// RunChange says which run wrote an event.
type RunChange int

const (
	// SameRun is the run that wrote the event before.
	SameRun RunChange = iota
	// NewRun is another run; the event is its first one in the log.
	NewRun
	// OldRun is a run that another one had followed already: several machines have one name, and
	// what is said of time means little. A walker looks back 16 runs.
	OldRun
)

// Step is what lies between an event and the one before it.
//
// The time since the event before has up to three parts, one after the other:
// Between, Before and After. For the first event of a log they are what passed since
// its run began, if it has Seq 1, or else 0.
type Step struct {
	// First tells that no event was before.
	First bool
	// Repeated tells that the log had the event already. Nothing else is said of it.
	Repeated bool

	// Next is the Seq that follows the event before.
	Next uint64
	// Missing is how many events the log does not have here. A gap counts as the first
	// of those it stands for; the others are missing before the event behind it.
	Missing uint64
	// BehindGap tells that the event before is a gap.
	BehindGap bool

	// Run says whose event it is.
	Run RunChange
	// Between is what passed between two runs, when nobody ran the machine. It is known
	// from the wall clock alone, and nothing if that was set back. All that is known
	// before an event of an OldRun is Between, and before the snapshot of a new one.
	Between time.Duration

	// Was is the state before, and Before how long it lasted on. When events are
	// missing it is guessed to have lasted if they led back to it. If they did not, or
	// if a gap stands for them, Unsure tells that Before was spent in any state.
	Was    State
	Before time.Duration
	Unsure bool
	// Then is the state after that, and After how long that lasted: the event's From. In
	// a cycle it is Via, and Before the time in From; the one was in between the other.
	Then  State
	After time.Duration

	// Lasted is how long From had lasted, from the run's last transition or its start
	// until the event; in a cycle, until it ended. It is known if Timed.
	Lasted time.Duration
	Timed  bool
}

// Walk takes the next event, and keeps nothing of it but texts.
func (w *Walker) Walk(e *Event) Step {
	s := Step{First: !w.begun, Repeated: w.has(e), BehindGap: w.gap, Was: w.state}
	if w.begun {
		s.Next = w.seq + 1
	}
	if s.Repeated {
		return s
	}
	s.Run = w.change(e)
	s.Missing = w.number(e, &s)
	w.pass(e, &s)
	w.clock(e, &s)
	w.move(e, &s)
	return s
}

// has tells that e was there before. A snapshot of the newest event is a sign of
// life: time has passed until then.
func (w *Walker) has(e *Event) bool {
	switch {
	case !w.begun:
		return false
	case e.Kind == KindSnapshot:
		return e.Seq < w.seq || e.Seq == w.seq && e.Run != w.run && !w.gap
	}
	return e.Run == w.run && e.Seq <= w.seq
}

// change goes over to the run of e.
func (w *Walker) change(e *Event) RunChange {
	if w.begun && e.Run == w.run {
		return SameRun
	}
	run := NewRun
	if w.isPast(e.Run) {
		run = OldRun
	}
	if w.begun && !w.isPast(w.run) {
		w.past[w.pasts%maxPast] = w.run
		w.pasts++
	}
	w.run = e.Run
	return run
}

func (w *Walker) isPast(run string) bool {
	return slices.Contains(w.past[:min(w.pasts, maxPast)], run)
}

// number counts the events that are missing before e.
func (w *Walker) number(e *Event, s *Step) (missing uint64) {
	if s.Run == NewRun && e.Seq <= w.seq && e.Kind != KindSnapshot {
		w.seq = 0 // without a journal, each run begins with 1
	}
	switch {
	case s.First || s.Run == OldRun:
	case e.Kind == KindSnapshot:
		missing = e.Seq - w.seq
	case e.Seq > w.seq+1:
		missing = e.Seq - w.seq - 1
	}
	if e.Kind == KindGap {
		missing++
	}
	return missing
}

// pass tells where the time went.
func (w *Walker) pass(e *Event, s *Step) {
	from, wall, inRun := w.from(e), e.Time.Sub(w.time), time.Duration(max(0, e.MonoNS))
	switch {
	case s.First && (e.Seq != 1 || e.Kind == KindSnapshot): // the start of its run is not in the log
		s.Was, s.Then = from, from
		return
	case s.Run == OldRun, s.Run == NewRun && e.Kind == KindSnapshot:
		s.Was, s.Then, s.Between = from, from, max(0, wall)
		return
	case s.Run == SameRun:
		inRun = time.Duration(max(0, e.MonoNS-w.mono))
	case !s.First:
		s.Between = max(0, wall-inRun)
	}
	isWhole := s.Missing == 0 || s.BehindGap && !isAside(e)
	switch {
	case isWhole && s.Run == NewRun: // it was in From from its start
		s.Was, s.Then, s.After = from, from, inRun
	case isWhole, from == s.Was && s.Run == SameRun && !isAside(e):
		s.Then, s.Before = s.Was, inRun
	default:
		s.Then, s.Unsure = from, true
		if !isAside(e) {
			s.After = min(inRun, e.InState())
		}
		s.Before = inRun - s.After
	}
	if e.Kind == KindCycle {
		s.Then, s.After = e.Via, min(inRun, e.InState())
		s.Before = inRun - s.After
	}
}

// from is the state before e, by its own account.
func (w *Walker) from(e *Event) State {
	switch {
	case isAside(e):
		return e.To
	case e.From == "": // of a kind that a later version may write
		return w.state
	}
	return e.From
}

// clock tells how long From had lasted.
func (w *Walker) clock(e *Event, s *Step) {
	switch {
	case s.First:
		w.timed = e.Seq == 1 && !isAside(e) || e.Seq == 0 && e.Kind == KindSnapshot
	case s.BehindGap:
		w.timed = false
	case s.Run != SameRun:
		w.entered, w.timed = 0, e.Kind != KindSnapshot
	case s.Missing > 0:
		w.timed = false
	}
	s.Lasted, s.Timed = time.Duration(e.MonoNS-w.entered), w.timed
}

// move stands at e.
func (w *Walker) move(e *Event, s *Step) {
	w.begun, w.seq, w.time, w.mono, w.gap = true, e.LastSeq(), e.Time, e.MonoNS, e.Kind == KindGap
	w.state = s.Then
	if e.Kind == KindTransition || e.Kind == KindCycle {
		w.state, w.entered, w.timed = e.To, e.MonoNS, true
	}
}

// isAside tells that e is no event of the machine, but of its log.
func isAside(e *Event) bool { return e.Kind == KindGap || e.Kind == KindSnapshot }
