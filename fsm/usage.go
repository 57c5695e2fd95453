package fsm

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// usage is what a drawing shows of what happened; nil: nothing, but the table.
type usage struct {
	summary  *Summary
	failures []Trigger
	edges    map[passage]EdgeSummary
	most     uint64 // how often the most frequent edge was taken
}

// passage is a transition that happened.
type passage struct {
	from, to State
	trigger  Trigger
}

func newUsage(s *Summary, failures []Trigger) *usage {
	u := &usage{summary: s, failures: failures, edges: make(map[passage]EdgeSummary)}
	for _, e := range s.Edges() {
		u.edges[passage{e.From, e.To, e.Trigger}] = e
		u.most = max(u.most, e.Durations.Count)
	}
	return u
}

// node returns the attributes of a state in DOT.
func (u *usage) node(s State) string {
	if u == nil {
		return ""
	}
	state := u.summary.State(s)
	if state.Visits == 0 && state.Time == 0 {
		return " [color=grey, fontcolor=grey]"
	}
	return " [label=" + labelDOT([]string{string(s), u.visits(s)}) + "]"
}

func (u *usage) visits(s State) string {
	state := u.summary.State(s)
	return fmt.Sprintf("%d×, %s", state.Visits, brief(state.Time))
}

// labels returns a text for each trigger of an edge that was taken, or for all if none was.
func (u *usage) labels(e edge) []string {
	taken, all := make([]string, 0, len(e.triggers)), make([]string, 0, len(e.triggers))
	for _, trigger := range e.triggers {
		all = append(all, string(trigger))
		if u == nil {
			continue
		}
		if used, ok := u.edges[passage{e.from, e.to, trigger}]; ok {
			taken = append(taken, fmt.Sprintf("%s %d× (%s)", trigger, used.Durations.Count, brief(used.Durations.Quantile(0.5))))
		}
	}
	if len(taken) > 0 {
		return taken
	}
	return all
}

// style returns the further attributes of an edge in DOT.
func (u *usage) style(e edge) string {
	if u == nil {
		return ""
	}
	count, failed := uint64(0), false
	for _, trigger := range e.triggers {
		n := u.edges[passage{e.from, e.to, trigger}].Durations.Count
		count += n
		failed = failed || n > 0 && slices.Contains(u.failures, trigger)
	}
	if count == 0 {
		return ", color=grey, fontcolor=grey, style=dashed"
	}
	style := fmt.Sprintf(", penwidth=%.1f", 1+3*math.Log1p(float64(count))/math.Log1p(float64(max(u.most, count))))
	if failed {
		style += ", color=red, fontcolor=red"
	}
	return style
}

// brief is a duration for a drawing.
func brief(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
