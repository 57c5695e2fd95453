package fsm

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// usage is what a drawing shows of what happened; nil: nothing, but the table.
type usage struct {
	table    *Table
	summary  *Summary
	failures []Trigger
	counts   map[passage]EdgeSummary
	most     uint64  // how often the most frequent edge was taken
	strange  []State // what the table does not declare, in order of appearance
}

// passage is a transition that happened.
type passage struct {
	from, to State
	trigger  Trigger
}

func (t *Table) usage(s *Summary, failures []Trigger) *usage {
	u := &usage{table: t, summary: s, failures: failures, counts: make(map[passage]EdgeSummary)}
	for _, state := range s.States() {
		u.see(state.State)
	}
	for _, e := range s.Edges() {
		u.counts[passage{e.From, e.To, e.Trigger}] = e
		u.most = max(u.most, e.Durations.Count)
		u.see(e.From) // if for no time at all; e.To is among the states
	}
	return u
}

// see takes note of a state if the table does not declare it. One without a name
// cannot be drawn.
func (u *usage) see(s State) {
	if s != "" && !u.table.declares(s) && !slices.Contains(u.strange, s) {
		u.strange = append(u.strange, s)
	}
}

// states returns those of the table, then the others.
func (u *usage) states() []State { return append(u.table.States(), u.strange...) }

// edges returns one edge for each trigger: those of the table, then the others.
func (u *usage) edges() []edge {
	var edges []edge
	for _, e := range u.table.edges() {
		for _, trigger := range e.triggers {
			edges = append(edges, edge{e.from, e.to, []Trigger{trigger}})
		}
	}
	for _, e := range u.summary.Edges() {
		if e := (edge{e.From, e.To, []Trigger{e.Trigger}}); u.isStrange(e) && e.from != "" && e.to != "" {
			edges = append(edges, e)
		}
	}
	return edges
}

// notOurs marks what happened and this table does not have: an older one had it.
const notOurs = "not in this table"

// node returns the attributes of a state in DOT.
func (u *usage) node(s State) string {
	if u == nil {
		return ""
	}
	state := u.summary.State(s)
	label := labelDOT(append([]string{string(s)}, u.nodeTexts(s)...))
	switch {
	case slices.Contains(u.strange, s):
		return " [label=" + label + `, style="rounded,dotted"]`
	case state.Visits == 0 && state.Time == 0:
		return " [color=grey, fontcolor=grey]"
	}
	return " [label=" + label + "]"
}

// nodeTexts returns what is said of a state below its name.
func (u *usage) nodeTexts(s State) []string {
	state := u.summary.State(s)
	texts := []string{fmt.Sprintf("%d×, %s", state.Visits, brief(state.Time))}
	if remark := u.summary.Remarks[s]; remark != "" {
		texts = append(texts, remark)
	}
	if slices.Contains(u.strange, s) {
		texts = append(texts, notOurs)
	}
	return texts
}

// edgeTexts returns what is said of an edge.
func (u *usage) edgeTexts(e edge) []string {
	var texts []string
	for _, trigger := range e.triggers {
		texts = append(texts, string(trigger))
	}
	if used := u.used(e); used.Count > 0 {
		texts[0] += fmt.Sprintf(" %d× (%s)", used.Count, brief(used.Quantile(0.5)))
		if u.isStrange(e) {
			texts = append(texts, notOurs)
		}
	}
	return texts
}

// used returns how often an edge of one trigger was taken, and after how long.
func (u *usage) used(e edge) Durations {
	if u == nil {
		return Durations{}
	}
	return u.counts[passage{e.from, e.to, e.triggers[0]}].Durations
}

// isStrange reports whether the table does not have an edge.
func (u *usage) isStrange(e edge) bool { return u.table.next[step{e.from, e.triggers[0]}] != e.to }

// style returns the further attributes of an edge in DOT.
func (u *usage) style(e edge) string {
	if u == nil {
		return ""
	}
	count := u.used(e).Count
	if count == 0 {
		return ", color=grey, fontcolor=grey, style=dashed"
	}
	style := fmt.Sprintf(", penwidth=%.1f", 1+3*math.Log1p(float64(count))/math.Log1p(float64(u.most)))
	if slices.Contains(u.failures, e.triggers[0]) {
		style += ", color=red, fontcolor=red"
	}
	if u.isStrange(e) {
		style += ", style=dotted"
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
