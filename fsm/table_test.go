package fsm_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/fsm"
)

func TestNewTableNamesEveryProblem(t *testing.T) {
	from := func(states ...fsm.State) []fsm.State { return states }
	there := fsm.Row{From: from("A"), Trigger: "Go", To: "B", Doc: "d"}
	ab := from("A", "B")
	tests := map[string]struct {
		initial fsm.State
		states  []fsm.State
		rows    []fsm.Row
		want    []string
	}{
		"nothing at all":    {"", nil, nil, []string{`the initial state "" is not declared`}},
		"unknown initial":   {"X", ab, []fsm.Row{there}, []string{`the initial state "X" is not declared`}},
		"nameless state":    {"A", from("A", "", "B"), []fsm.Row{there}, []string{"state 2 has no name"}},
		"duplicate state":   {"A", from("A", "B", "A"), []fsm.Row{there}, []string{`state "A" is declared twice`}},
		"unreachable state": {"A", from("A", "B", "C"), []fsm.Row{there}, []string{`state "C" is not reachable from "A"`}},
		"unreachable island": {"A", from("A", "B", "C"), []fsm.Row{
			there, {From: from("C"), Trigger: "Go", To: "C", Doc: "d"},
		}, []string{`state "C" is not reachable from "A"`}},
		"unknown from": {"A", ab, []fsm.Row{there, {From: from("B", "X"), Trigger: "Back", To: "A", Doc: "d"}},
			[]string{`row 2 (B, X --Back--> A): From has the undeclared state "X"`}},
		"unknown to": {"A", ab, []fsm.Row{there, {From: ab, Trigger: "Off", To: "X", Doc: "d"}},
			[]string{`row 2 (A, B --Off--> X): To is the undeclared state "X"`}},
		"duplicate step": {"A", ab, []fsm.Row{there, {From: from("B", "A"), Trigger: "Go", To: "A", Doc: "d"}},
			[]string{`row 2 (B, A --Go--> A): "A" already permits "Go"`}},
		"duplicate step in one row": {"A", ab, []fsm.Row{{From: from("A", "A"), Trigger: "Go", To: "B", Doc: "d"}},
			[]string{`row 1 (A, A --Go--> B): "A" already permits "Go"`}},
		"empty row": {"A", from("A"), []fsm.Row{{}},
			[]string{"Trigger is empty", "Doc is empty", "From is empty", "To is empty"}},
		"empty name in from": {"A", ab, []fsm.Row{there, {From: from(""), Trigger: "Off", To: "A", Doc: "d"}},
			[]string{"row 2 ( --Off--> A): From has an empty name"}},
		"empty doc": {"A", ab, []fsm.Row{{From: from("A"), Trigger: "Go", To: "B"}},
			[]string{"row 1 (A --Go--> B): Doc is empty"}},
		"several at once": {"A", from("A", "B", "B"), []fsm.Row{{From: from("A", "X"), Trigger: "Go", To: "Y"}},
			[]string{"twice", "Doc is empty", `"X"`, `"Y"`, `"B" is not reachable`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			table, err := fsm.NewTable(tt.initial, tt.states, tt.rows)
			if err == nil || table != nil {
				t.Fatalf("NewTable = %v, %v; want an error", table, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not say %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestTableIsImmutable(t *testing.T) {
	states := []fsm.State{"A", "B"}
	rows := []fsm.Row{{From: []fsm.State{"A", "B"}, Trigger: "Go", To: "B", Doc: "d"}}
	table, err := fsm.NewTable("A", states, rows)
	if err != nil {
		t.Fatal(err)
	}
	before := table.DOT()
	states[0], rows[0].To, rows[0].From[0] = "X", "X", "X"
	table.States()[0] = "X"
	table.Rows()[0].From[0] = "X"
	if diff := cmp.Diff(before, table.DOT()); diff != "" {
		t.Errorf("the table changed:\n%s", diff)
	}
	if to, err := table.Next("A", "Go"); to != "B" || err != nil {
		t.Errorf("Next = %q, %v", to, err)
	}
}

func TestTableQueries(t *testing.T) {
	table := doorTable(t)
	if got := table.Initial(); got != "Closed" {
		t.Errorf("Initial = %q", got)
	}
	if diff := cmp.Diff([]fsm.Trigger{"Open", "Close", "Knock", "Kick"}, table.Triggers()); diff != "" {
		t.Errorf("Triggers:\n%s", diff)
	}
	if diff := cmp.Diff([]fsm.Trigger{"Open", "Knock", "Kick"}, table.Permitted("Closed")); diff != "" {
		t.Errorf("Permitted:\n%s", diff)
	}
	if got := table.Permitted("Broken"); got != nil {
		t.Errorf("Permitted(Broken) = %q", got)
	}
}

func TestNotPermittedError(t *testing.T) {
	tests := map[string]struct {
		from    fsm.State
		trigger fsm.Trigger
		want    string
	}{
		"other triggers":  {"Open", "Knock", `fsm: "Open" does not permit "Knock", only: Close, Kick`},
		"no trigger":      {"Broken", "Open", `fsm: "Broken" does not permit "Open", only: none`},
		"unknown trigger": {"Open", "Sing", `fsm: "Open" does not permit "Sing", only: Close, Kick`},
		"unknown state":   {"Gone", "Open", `fsm: "Gone" does not permit "Open", only: none`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := doorTable(t).Next(tt.from, tt.trigger)
			var refused *fsm.NotPermittedError
			if !errors.Is(err, fsm.ErrNotPermitted) || !errors.As(err, &refused) {
				t.Fatalf("Next: %v", err)
			}
			if refused.State != tt.from || refused.Trigger != tt.trigger {
				t.Errorf("error is about %q in %q", refused.Trigger, refused.State)
			}
			if err.Error() != tt.want {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
		})
	}
}
