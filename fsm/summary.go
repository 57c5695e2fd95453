package fsm

import "time"

// Summary is a [Projection]: what happened in a log, how often and for how long.
// The zero value is ready. It takes the same memory however long the log is, and
// is not safe for concurrent use.
//
// Durations come from MonoNS and are those of a run: a machine is in a state from
// the begin of the run or the transition into it to the next one, or to the last
// event the run has. What lies between two runs, when nobody ran the machine, is
// known from the wall clock alone, and counts for no state; no more does what
// happened within a gap.
type Summary struct {
	// First and Last are the wall clock at the begin and the end of the log.
	First, Last time.Time
	// LastSeq is the Seq of the newest event.
	LastSeq uint64
	// Events counts all but gaps and snapshots, Transitions, Rejected and Stale
	// those of that kind.
	Events, Transitions, Rejected, Stale uint64
	// Runs counts the runs that have an event in the log.
	Runs int
	// Between is the time between one run and the next, by the wall clock.
	Between time.Duration
	// Gaps counts the gaps, Missing the events they stand for. A gap at the end of
	// the log counts as one event, since nothing behind it says more.
	Gaps, Missing uint64
	// Unseen is the time that lies in gaps.
	Unseen time.Duration
	// Overflow counts the visits and transitions that were left out because there
	// were more than 1000 different ones, which no table has.
	Overflow uint64

	states byOrder[State, StateSummary]
	edges  byOrder[passage, EdgeSummary]
	run    string // the newest with an event
	at     moment
	gap    uint64 // the Seq of the gap before the next event; 0 when there is none
}

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
		if !s.at.known {
			s.at = moment{true, e.Run, e.MonoNS, e.To}
			s.Last = e.Time
		}
		return
	case KindGap:
		s.skip(&e)
	default:
		s.count(&e)
	}
	s.Last, s.LastSeq = e.Time, e.Seq
}

func (s *Summary) skip(gap *Event) {
	s.Gaps++
	s.Missing++
	s.gap = gap.Seq
	s.begin(gap)
	if s.at.run == gap.Run {
		s.Unseen += time.Duration(max(0, gap.MonoNS-s.at.mono))
	}
	s.at = moment{true, gap.Run, gap.MonoNS, gap.To}
}

func (s *Summary) count(e *Event) {
	if s.gap > 0 {
		s.Missing += max(e.Seq, s.gap+1) - s.gap - 1
		s.gap = 0
	}
	s.Events++
	s.begin(e)
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

// begin takes note of a new run.
func (s *Summary) begin(e *Event) {
	if e.Run != s.run || s.Runs == 0 {
		s.run = e.Run
		s.Runs++
	}
	if s.at.known && s.at.run == e.Run {
		return
	}
	whole := s.at.known || e.Seq == 1 // the run's begin is in the log
	if s.at.known {
		s.Between += max(0, e.Time.Sub(s.Last)-time.Duration(e.MonoNS))
	}
	s.at = moment{true, e.Run, e.MonoNS, e.From}
	if whole {
		s.at.mono = 0
	}
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
	edge.Durations.Add(time.Duration(e.InStateMS) * time.Millisecond)
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
