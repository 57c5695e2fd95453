package fsm

import (
	"slices"
	"time"
)

// Summary is a [Projection]: what happened to one machine, how often and for how
// long. A log of several machines needs one for each. The zero value is ready. It
// takes the same memory however long the log is. It is not safe for concurrent use,
// for which there is [Share], and must not be copied.
//
// Durations come from MonoNS and are those of a run: a machine is in a state from
// the start of the run or the transition into it to the next one, or to the last
// event the run has. What lies between two runs, when nobody ran the machine, is
// known from the wall clock alone, and counts for no state; no more does what
// happened within a gap or where events are missing.
type Summary struct {
	// First and Last are the wall clock at the start and the end of the log.
	First, Last time.Time
	// LastSeq is the Seq of the newest event, or of the snapshot that tells of it.
	LastSeq uint64
	// Events counts all but gaps and snapshots, Transitions, Rejected and Stale
	// those of that kind.
	Events, Transitions, Rejected, Stale uint64
	// Repeated counts the events that the log had before. They count once.
	Repeated uint64
	// Runs counts the runs that the log tells of.
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
	// Overflow counts how often a state or a transition was left out because there were
	// more than 1000 different ones, which no table has.
	Overflow uint64
	// Remarks are what a drawing says of a state besides: whoever applies the events may know more than they count.
	Remarks map[State]string

	states byOrder[State, StateSummary]
	edges  byOrder[passage, EdgeSummary]
	walker Walker
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
	// Durations are how long From had lasted each time, in whole milliseconds. Those of
	// a [KindCycle] count with their mean.
	Durations Durations
}

// States returns a copy of the states the machine was in, in order of appearance.
func (s *Summary) States() []StateSummary { return slices.Clone(s.states.values) }

// State returns what is known of one state.
func (s *Summary) State(name State) StateSummary {
	if i, ok := s.states.index[name]; ok {
		return s.states.values[i]
	}
	return StateSummary{State: name}
}

// Edges returns a copy of the transitions that happened, in order of appearance.
func (s *Summary) Edges() []EdgeSummary {
	edges := slices.Clone(s.edges.values)
	for i := range edges {
		edges[i].Durations = edges[i].Durations.clone()
	}
	return edges
}

// Apply takes the next event.
func (s *Summary) Apply(e Event) {
	step := s.walker.Walk(&e)
	if step.Repeated {
		if e.Kind != KindSnapshot {
			s.Repeated++
		}
		return
	}
	if step.First {
		s.First = e.Time
	}
	s.Last, s.LastSeq = e.Time, e.LastSeq()
	switch step.Run {
	case NewRun:
		s.Runs++
	case OldRun:
		s.Overlaps++
	}
	s.Missing += step.Missing
	s.pass(&step)
	s.count(&e, &step)
}

// pass counts the time of a step.
func (s *Summary) pass(step *Step) {
	s.Between += step.Between
	if step.Unsure {
		s.Unseen += step.Before
	} else {
		s.spend(step.Was, step.Before)
	}
	s.spend(step.Then, step.After)
}

// spend counts time in a state; one that never lasted is none that the machine was in.
func (s *Summary) spend(name State, d time.Duration) {
	if d <= 0 {
		return
	}
	if state := s.state(name); state != nil {
		state.Time += d
	}
}

// count counts an event of any kind.
func (s *Summary) count(e *Event, step *Step) {
	switch e.Kind {
	case KindSnapshot:
		return
	case KindGap:
		s.Gaps++
		return
	case KindTransition:
		s.Transitions++
		s.take(passage{e.From, e.To, e.Trigger}, 1, e.InState())
	case KindCycle:
		s.cycle(e, step)
		return
	case KindRejected:
		s.Rejected++
	case KindStale:
		s.Stale++
	}
	s.Events++
}

// cycle counts what a cycle stands for.
func (s *Summary) cycle(e *Event, step *Step) {
	s.Events += e.Count
	s.Transitions += e.Count
	stayed := step.Before
	if step.Timed {
		stayed = step.Lasted - e.InState()
	}
	s.take(passage{e.From, e.Via, e.Trigger}, e.Count/2, stayed)
	s.take(passage{e.Via, e.To, e.Back}, e.Count/2, e.InState())
}

// take goes along a transition n times, for which From lasted so long altogether.
func (s *Summary) take(p passage, n uint64, lasted time.Duration) {
	if to := s.state(p.to); to != nil && p.from != p.to {
		to.Visits += n
	}
	if edge := s.edges.at(p, &s.Overflow); edge != nil {
		edge.From, edge.Trigger, edge.To = p.from, p.trigger, p.to
		edge.Durations.add(lasted, n)
	}
}

func (s *Summary) state(name State) *StateSummary {
	state := s.states.at(name, &s.Overflow)
	if state != nil {
		state.State = name
	}
	return state
}

// maxKeys is how many keys a map may have that grows with a log, so that no log makes
// it big. No table has as many states or transitions.
const maxKeys = 1000

// byOrder is a bounded map in order of appearance.
type byOrder[K comparable, V any] struct {
	index  map[K]int
	values []V
}

// at returns the value of key, nil when there are too many.
func (m *byOrder[K, V]) at(key K, overflow *uint64) *V {
	i, ok := m.index[key]
	if !ok {
		if len(m.values) == maxKeys {
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
