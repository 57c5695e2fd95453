package fsm

import (
	"math"
	"slices"
	"time"
)

// Summary is a [Projection]: what happened to one machine, how often and for how
// long. A log of several machines needs one for each. The zero value is ready. It
// takes the same memory however long the log is, and is not safe for concurrent use.
//
// Durations come from MonoNS and are those of a run: a machine is in a state from
// the begin of the run or the transition into it to the next one, or to the last
// event the run has. What lies between two runs, when nobody ran the machine, is
// known from the wall clock alone, and counts for no state; no more does what
// happened within a gap or where events are missing.
type Summary struct {
	// First and Last are the wall clock at the begin and the end of the log.
	First, Last time.Time
	// LastSeq is the Seq of the newest event, or of the snapshot that tells of it.
	LastSeq uint64
	// Events counts all but gaps and snapshots, Transitions, Rejected and Stale
	// those of that kind.
	Events, Transitions, Rejected, Stale uint64
	// Runs counts the runs that have an event in the log.
	Runs int
	// Overlaps counts how often a run went on after another one had followed it:
	// several machines have one name. Counts are then those of all, and times not to
	// be trusted. It looks back 16 runs.
	Overlaps uint64
	// Between is the time between one run and the next, by the wall clock.
	Between time.Duration
	// Gaps counts the gaps, Missing the events they stand for and those that are not
	// in the log without one, as in a log that leaves some out. A gap at the end of the
	// log counts as one event, since nothing behind it says more.
	Gaps, Missing uint64
	// Unseen is the time of a run in which events are missing, unless they led back
	// to the state that was before them: that counts as if it had lasted.
	Unseen time.Duration
	// Overflow counts the visits and transitions that were left out because there
	// were more than 1000 different ones, which no table has.
	Overflow uint64

	states byOrder[State, StateSummary]
	edges  byOrder[passage, EdgeSummary]
	run    string   // the newest with an event
	past   []string // the ones that were it before, at most maxPast
	at     moment
	gap    bool // the newest event is one, and tells where it ends
}

const maxPast = 16

// StateSummary says how a state was used.
type StateSummary struct {
	State State
	// Visits counts the transitions into it from another state.
	Visits uint64
	// Time is how long the machine was in it.
	Time time.Duration
}

// EdgeSummary says how a transition was used.
type EdgeSummary struct {
	From    State
	Trigger Trigger
	To      State
	// Durations are how long From had lasted each time, in whole milliseconds.
	Durations Durations
}

// States returns the states the machine was in, in order of appearance.
func (s *Summary) States() []StateSummary { return s.states.all() }

// State returns what is known of one state.
func (s *Summary) State(name State) StateSummary {
	if i, ok := s.states.index[name]; ok {
		return s.states.values[i]
	}
	return StateSummary{State: name}
}

// Edges returns the transitions that happened, in order of appearance. The
// buckets of their Durations stay the summary's.
func (s *Summary) Edges() []EdgeSummary { return s.edges.all() }

// moment is where a run is.
type moment struct {
	known bool
	run   string
	mono  int64
	state State
}

// Apply takes the next event.
func (s *Summary) Apply(e Event) {
	if s.First.IsZero() {
		s.First = e.Time
	}
	switch e.Kind {
	case KindSnapshot:
		if s.at.known && e.Seq <= s.LastSeq {
			return // it repeats what was
		}
		s.resume(&e)
	case KindGap:
		s.skip(&e)
	default:
		s.count(&e)
	}
	s.Last, s.LastSeq = e.Time, e.Seq
}

// resume takes from a snapshot what the log has not said.
func (s *Summary) resume(e *Event) {
	if s.at.known {
		s.Missing += e.Seq - s.LastSeq
		s.unseen(e)
	}
	s.at = moment{true, e.Run, e.MonoNS, e.To}
}

func (s *Summary) skip(gap *Event) {
	s.begin(gap)
	s.number(gap)
	s.unseen(gap)
	s.Gaps++
	s.Missing++
	s.at = moment{true, gap.Run, gap.MonoNS, gap.To}
	s.gap = true
}

// unseen passes to e without knowing where the machine was.
func (s *Summary) unseen(e *Event) {
	if s.at.run == e.Run {
		s.Unseen += time.Duration(max(0, e.MonoNS-s.at.mono))
	}
}

func (s *Summary) count(e *Event) {
	s.Events++
	s.begin(e)
	if s.number(e) && !s.gap {
		s.guess(e)
	}
	s.gap = false
	s.pass(e)
	switch e.Kind {
	case KindTransition:
		s.Transitions++
		s.take(e)
	case KindRejected:
		s.Rejected++
	case KindStale:
		s.Stale++
	}
}

// begin takes note of a new run, or of one that goes on behind another.
func (s *Summary) begin(e *Event) {
	again := slices.Contains(s.past, e.Run)
	if e.Run != s.run || s.Runs == 0 {
		s.change(e.Run, again)
	}
	switch {
	case s.at.known && s.at.run == e.Run:
		return
	case again, !s.at.known && e.Seq != 1: // where the run was is not known
		s.at = moment{true, e.Run, e.MonoNS, e.From}
		s.LastSeq = e.Seq - 1
		return
	case s.at.known:
		s.Between += max(0, e.Time.Sub(s.Last)-time.Duration(e.MonoNS))
	}
	s.at = moment{true, e.Run, 0, e.From}
	if e.Seq <= s.LastSeq {
		s.LastSeq = 0 // without a journal, each run begins with 1
	}
}

// change goes over to another run.
func (s *Summary) change(run string, again bool) {
	if again {
		s.Overlaps++
	} else {
		s.Runs++
	}
	if s.Runs > 1 && !slices.Contains(s.past, s.run) {
		if len(s.past) == maxPast {
			s.past = slices.Delete(s.past, 0, 1)
		}
		s.past = append(s.past, s.run)
	}
	s.run = run
}

// number counts the events that are missing before e, and reports whether any are.
func (s *Summary) number(e *Event) bool {
	if e.Seq <= s.LastSeq+1 {
		return false
	}
	s.Missing += e.Seq - s.LastSeq - 1
	return true
}

// guess passes over missing events. A state that they led back to counts as if it
// had lasted; otherwise InStateMS tells when they led to the state before e.
func (s *Summary) guess(e *Event) {
	if e.From == s.at.state && s.at.mono > 0 { // of the same run
		return
	}
	passed := max(0, e.MonoNS-s.at.mono)
	in := min(passed, int64(lasted(e)))
	s.Unseen += time.Duration(passed - in)
	s.at.mono, s.at.state = e.MonoNS-in, e.From
}

// pass has the state last until e.
func (s *Summary) pass(e *Event) {
	if d := e.MonoNS - s.at.mono; d > 0 {
		if state := s.state(s.at.state); state != nil {
			state.Time += time.Duration(d)
		}
		s.at.mono = e.MonoNS
	}
}

// take goes along a transition.
func (s *Summary) take(e *Event) {
	s.at.state = e.To
	if to := s.state(e.To); to != nil && e.From != e.To {
		to.Visits++
	}
	edge := s.edges.at(passage{e.From, e.To, e.Trigger}, &s.Overflow)
	if edge == nil {
		return
	}
	edge.From, edge.Trigger, edge.To = e.From, e.Trigger, e.To
	edge.Durations.Add(lasted(e))
}

// lasted is how long the state before e had lasted, within its run.
func lasted(e *Event) time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	return time.Duration(min(max(0, e.InStateMS), most)) * time.Millisecond
}

func (s *Summary) state(name State) *StateSummary {
	state := s.states.at(name, &s.Overflow)
	if state != nil {
		state.State = name
	}
	return state
}

// byOrder is a bounded map in order of appearance.
type byOrder[K comparable, V any] struct {
	index  map[K]int
	values []V
}

// at returns the value of key, nil when there are too many.
func (m *byOrder[K, V]) at(key K, overflow *uint64) *V {
	i, ok := m.index[key]
	if !ok {
		if len(m.values) == 1000 {
			*overflow++
			return nil
		}
		if m.index == nil {
			m.index = make(map[K]int)
		}
		i = len(m.values)
		m.index[key] = i
		m.values = append(m.values, *new(V))
	}
	return &m.values[i]
}

func (m *byOrder[K, V]) all() []V { return append([]V(nil), m.values...) }
