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

// DOTSummary returns the digraph of DOT with what has happened in it: visits and
// total time of each state, how often each trigger led from one state to another
// and, as the median, after how long. Each trigger has an edge of its own. What
// happened more often is drawn thicker, what never did in grey and dashed, what
// this table does not have in dots, and the given failures, if they happened, in red.
func (t *Table) DOTSummary(s *Summary, failures ...Trigger) string {
	return t.dot(t.usage(s, failures))
}

// dot draws what happened, or with nil the table alone.
func (t *Table) dot(u *usage) string {
	states, edges := t.states, t.edges()
	if u != nil {
		states, edges = u.states(), u.edges()
	}

	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	line(`digraph states {`)
	line(`	rankdir=LR; nodesep=0.5; ranksep=0.7;`)
	line(`	node [shape=box, style=rounded, fontname="Helvetica", fontsize=12];`)
	line(`	edge [fontname="Helvetica", fontsize=10, arrowsize=0.7];`)
	line(``)
	// No state has an empty name, so the start point cannot be mistaken for one.
	line(`	"" [shape=point];`)
	for _, s := range states {
		line(`	%s%s;`, quoteDOT(string(s)), u.node(s))
	}
	line(``)
	line(`	"" -> %s;`, quoteDOT(string(t.initial)))
	for _, e := range edges {
		line(`	%s -> %s [label=%s%s];`, quoteDOT(string(e.from)), quoteDOT(string(e.to)), labelDOT(u.edgeTexts(e)), u.style(e))
	}
	line(`}`)
	return b.String()
}

var escapeDOT = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r\n", `\n`, "\n", `\n`, "\r", `\n`)

func quoteDOT(s string) string { return `"` + escapeDOT.Replace(s) + `"` }

// labelDOT returns a label with one text per line.
func labelDOT(texts []string) string {
	lines := make([]string, len(texts))
	for i, text := range texts {
		lines[i] = escapeDOT.Replace(text)
	}
	return `"` + strings.Join(lines, `\n`) + `"`
}
