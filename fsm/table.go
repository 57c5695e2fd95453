package fsm

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// State is the name of a state.
type State string

// Trigger is the name of what may make a machine leave a state.
type Trigger string

// Row permits one trigger in one or more states.
type Row struct {
	// From lists the states the row holds for.
	From []State
	// Trigger is what the row permits.
	Trigger Trigger
	// To is the state the trigger leads to. It may be one of From.
	To State
	// Doc says in a few words when the trigger is fired.
	Doc string
}

// String returns the row as "Open, Ajar --Close--> Closed".
func (r Row) String() string {
	return fmt.Sprintf("%s --%s--> %s", join(r.From), r.Trigger, r.To)
}

// Table is a checked set of states and rows. It is immutable and safe for
// concurrent use.
type Table struct {
	initial State
	states  []State
	rows    []Row
	next    map[step]State

	fingerprint string
}

// step is what the next state is looked up by.
type step struct {
	from    State
	trigger Trigger
}

// NewTable returns the table of the given states and rows, both in the order in
// which they are to be documented and drawn. It copies what it is given.
//
// The error joins all problems found: a name or a Doc that is missing, a state
// that is declared twice, not declared, or not reachable from initial, a row
// without From, and a trigger permitted twice in one state. A problem of a row
// names it by its number, counted from 1, and by its text.
func NewTable(initial State, states []State, rows []Row) (*Table, error) {
	t := &Table{
		initial: initial,
		states:  slices.Clone(states),
		rows:    cloneRows(rows),
		next:    make(map[step]State),
	}
	problems := t.checkStates()
	for i := range t.rows {
		problems = append(problems, t.addRow(i)...)
	}
	if t.declares(initial) {
		problems = append(problems, t.checkReachable()...)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	t.fingerprint = t.hash()
	return t, nil
}

// Initial returns the state a machine without a past starts in.
func (t *Table) Initial() State { return t.initial }

// States returns a copy of the states, in declared order.
func (t *Table) States() []State { return slices.Clone(t.states) }

// Rows returns a deep copy of the rows, in declared order.
func (t *Table) Rows() []Row { return cloneRows(t.rows) }

// Triggers returns the triggers in the order of their first appearance.
func (t *Table) Triggers() []Trigger {
	var triggers []Trigger
	for _, row := range t.rows {
		if !slices.Contains(triggers, row.Trigger) {
			triggers = append(triggers, row.Trigger)
		}
	}
	return triggers
}

// Next returns the state that trigger leads to from the given state. The error
// is a [*NotPermittedError] when no row permits that.
func (t *Table) Next(from State, trigger Trigger) (State, error) {
	to, ok := t.next[step{from, trigger}]
	if !ok {
		return "", t.notPermitted(from, trigger)
	}
	return to, nil
}

// Permitted returns the triggers that the given state permits, in the order of
// the rows.
func (t *Table) Permitted(from State) []Trigger {
	var triggers []Trigger
	for _, row := range t.rows {
		if slices.Contains(row.From, from) {
			triggers = append(triggers, row.Trigger)
		}
	}
	return triggers
}

func (t *Table) notPermitted(from State, trigger Trigger) *NotPermittedError {
	return &NotPermittedError{State: from, Trigger: trigger, Permitted: t.Permitted(from)}
}

func (t *Table) declares(s State) bool { return slices.Contains(t.states, s) }

func (t *Table) checkStates() (problems []error) {
	for i, s := range t.states {
		switch {
		case s == "":
			problems = append(problems, fmt.Errorf("fsm: state %d has no name", i+1))
		case slices.Contains(t.states[:i], s):
			problems = append(problems, fmt.Errorf("fsm: state %q is declared twice", s))
		}
	}
	if !t.declares(t.initial) {
		problems = append(problems, fmt.Errorf("fsm: the initial state %q is not declared", t.initial))
	}
	return problems
}

// addRow checks row i and enters its steps into t.next.
func (t *Table) addRow(i int) (problems []error) {
	row := t.rows[i]
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("fsm: row %d (%s): %s", i+1, row, fmt.Sprintf(format, args...)))
	}
	if row.Trigger == "" {
		problem("Trigger is empty")
	}
	if row.Doc == "" {
		problem("Doc is empty")
	}
	if len(row.From) == 0 {
		problem("From is empty")
	}
	for _, from := range row.From {
		key := step{from, row.Trigger}
		_, taken := t.next[key]
		switch {
		case from == "":
			problem("From has an empty name")
		case !t.declares(from):
			problem("From has the undeclared state %q", from)
		case taken:
			problem("%q already permits %q", from, row.Trigger)
		default:
			t.next[key] = row.To
		}
	}
	switch {
	case row.To == "":
		problem("To is empty")
	case !t.declares(row.To):
		problem("To is the undeclared state %q", row.To)
	}
	return problems
}

func (t *Table) checkReachable() (problems []error) {
	reached := []State{t.initial}
	for i := 0; i < len(reached); i++ {
		for _, trigger := range t.Permitted(reached[i]) {
			if to := t.next[step{reached[i], trigger}]; !slices.Contains(reached, to) {
				reached = append(reached, to)
			}
		}
	}
	for _, s := range t.states {
		if s != "" && !slices.Contains(reached, s) {
			problems = append(problems, fmt.Errorf("fsm: state %q is not reachable from %q", s, t.initial))
		}
	}
	return problems
}

func cloneRows(rows []Row) []Row {
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i].From = slices.Clone(rows[i].From)
	}
	return rows
}

// join lists names as the messages and the documents show them: "A, B".
func join[T ~string](names []T) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(name))
	}
	return b.String()
}

// Fingerprint returns 16 hexadecimal digits that stand for what the table means:
// its states, the initial one, and which trigger leads where. The order of states
// and rows and the Docs do not count. A log with another fingerprint was written
// with another table, which is no reason yet for its replay to diverge.
func (t *Table) Fingerprint() string { return t.fingerprint }

func (t *Table) hash() string {
	lines := []string{fmt.Sprintf("initial %q", t.initial)}
	for _, s := range t.states {
		lines = append(lines, fmt.Sprintf("state %q", s))
	}
	for step, to := range t.next {
		lines = append(lines, fmt.Sprintf("step %q %q %q", step.from, step.trigger, to))
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:8])
}
