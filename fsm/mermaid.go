package fsm

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Mermaid returns the table as a Mermaid stateDiagram-v2. A state whose name
// Mermaid could misread gets an alias. The text depends on nothing but the table.
func (t *Table) Mermaid() string { return t.mermaid(nil) }

// MermaidSummary returns the diagram of Mermaid with what has happened in it, as
// far as Mermaid can draw it: the edges and texts of [Table.DOTSummary]; a trigger
// that was never fired has no count.
func (t *Table) MermaidSummary(s *Summary) string { return t.mermaid(t.usage(s, nil)) }

func (t *Table) mermaid(u *usage) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	line("stateDiagram-v2")
	line("    direction LR")
	states, edges := t.states, t.edges()
	if u != nil {
		states, edges = u.states(), u.edges()
	}
	id := make(map[State]string, len(states))
	for i, s := range states {
		id[s] = string(s)
		if !plainMermaid(id[s]) {
			id[s] = fmt.Sprintf("s%d", i+1)
			line(`    state "%s" as %s`, escapeMermaid(string(s)), id[s])
		}
	}
	line("    [*] --> %s", id[t.initial])
	if u != nil {
		for _, s := range states {
			texts := u.nodeTexts(s)
			if plainMermaid(string(s)) { // else it has a name: Mermaid shows the id only while there is no text
				texts = append([]string{id[s]}, texts...)
			}
			for _, text := range texts {
				line("    %s : %s", id[s], escapeMermaid(text))
			}
		}
	}
	for _, e := range edges {
		texts := u.edgeTexts(e)
		for i, text := range texts {
			texts[i] = escapeMermaid(text)
		}
		line("    %s --> %s : %s", id[e.from], id[e.to], strings.Join(texts, "<br/>"))
	}
	return b.String()
}

var (
	identMermaid = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	aliasMermaid = regexp.MustCompile(`^s[0-9]+$`)

	// Mermaid reads these as keywords, whatever their case.
	keywordsMermaid = []string{
		"accdescr", "acctitle", "as", "class", "classdef", "click", "default", "direction", "end",
		"hide", "href", "note", "scale", "state", "statediagram", "style",
	}
)

// plainMermaid reports whether Mermaid takes name for an identifier, and nobody
// takes it for one of our aliases.
func plainMermaid(name string) bool {
	return identMermaid.MatchString(name) && !aliasMermaid.MatchString(name) &&
		!slices.Contains(keywordsMermaid, strings.ToLower(name))
}

// escapeMermaid writes all but letters, digits and a few harmless characters as Mermaid's entity codes.
func escapeMermaid(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" _-.,()×", r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}
