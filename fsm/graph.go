package fsm

import (
	"fmt"
	"slices"
	"strings"
)

// edge is all triggers that lead from one state to another.
type edge struct {
	from, to State
	triggers []Trigger // in row order
}

// edges merges parallel transitions, in declared order of from, then of to.
func (t *Table) edges() []edge {
	var edges []edge
	for _, from := range t.states {
		for _, to := range t.states {
			e := edge{from: from, to: to}
			for _, row := range t.rows {
				if row.To == to && slices.Contains(row.From, from) {
					e.triggers = append(e.triggers, row.Trigger)
				}
			}
			if e.triggers != nil {
				edges = append(edges, e)
			}
		}
	}
	return edges
}

// DOT returns the table as a Graphviz digraph. The text depends on nothing but
// the table.
func (t *Table) DOT() string { return t.dot(nil) }

// DOTCounts returns the digraph of DOT with what has happened in it: how often each
// trigger led from one state to another, and in grey and dashed what never did.
// Events that are no transitions count for nothing.
func (t *Table) DOTCounts(events []Event) string {
	taken := make(map[passage]int)
	for _, e := range events {
		if e.Kind == KindTransition {
			taken[passage{e.From, e.To, e.Trigger}]++
		}
	}
	return t.dot(taken)
}

// passage is a transition that happened.
type passage struct {
	from, to State
	trigger  Trigger
}

// dot draws how often each passage was taken, or with nil the table alone.
func (t *Table) dot(taken map[passage]int) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	line(`digraph states {`)
	line(`	rankdir=LR; nodesep=0.5; ranksep=0.7;`)
	line(`	node [shape=box, style=rounded, fontname="Helvetica", fontsize=12];`)
	line(`	edge [fontname="Helvetica", fontsize=10, arrowsize=0.7];`)
	line(``)
	// No state has an empty name, so the start point cannot be mistaken for one.
	line(`	"" [shape=point];`)
	for _, s := range t.states {
		line(`	%s;`, quoteDOT(string(s)))
	}
	line(``)
	line(`	"" -> %s;`, quoteDOT(string(t.initial)))
	for _, e := range t.edges() {
		triggers, style := e.triggers, ""
		if taken != nil {
			if triggers = e.counted(taken); triggers == nil {
				triggers, style = e.triggers, `, color=grey, fontcolor=grey, style=dashed`
			}
		}
		line(`	%s -> %s [label=%s%s];`, quoteDOT(string(e.from)), quoteDOT(string(e.to)), labelDOT(triggers), style)
	}
	line(`}`)
	return b.String()
}

// counted are the triggers that were taken along the edge, each with how often; nil
// if none was.
func (e edge) counted(taken map[passage]int) []Trigger {
	var triggers []Trigger
	for _, trigger := range e.triggers {
		if n := taken[passage{e.from, e.to, trigger}]; n > 0 {
			triggers = append(triggers, Trigger(fmt.Sprintf("%s (%d)", trigger, n)))
		}
	}
	return triggers
}

var escapeDOT = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r\n", `\n`, "\n", `\n`, "\r", `\n`)

func quoteDOT(s string) string { return `"` + escapeDOT.Replace(s) + `"` }

// labelDOT returns a label with one trigger per line.
func labelDOT(triggers []Trigger) string {
	lines := make([]string, len(triggers))
	for i, trigger := range triggers {
		lines[i] = escapeDOT.Replace(string(trigger))
	}
	return `"` + strings.Join(lines, `\n`) + `"`
}
