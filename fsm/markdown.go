package fsm

import (
	"fmt"
	"slices"
	"strings"
)

// Markdown returns the rows as a table for a README, one line each. A row that
// holds for all states but one says so, if there are at least four.
func (t *Table) Markdown() string {
	var b strings.Builder
	b.WriteString("| from | trigger | to | when |\n|---|---|---|---|\n")
	for _, row := range t.rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n",
			cell(t.sources(row)), cell(string(row.Trigger)), cell(string(row.To)), cell(row.Doc))
	}
	return b.String()
}

func (t *Table) sources(row Row) string {
	if len(t.states) < 4 || len(row.From) != len(t.states)-1 {
		return join(row.From)
	}
	exception := slices.IndexFunc(t.states, func(s State) bool { return !slices.Contains(row.From, s) })
	return "all but " + string(t.states[exception])
}

var cellEscape = strings.NewReplacer(`\`, `\\`, `|`, `\|`, "\r\n", " ", "\n", " ", "\r", " ")

func cell(s string) string { return cellEscape.Replace(s) }
