package publish_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

const goldens = "../../../testdata/" // seen from this package's folder testdata

// TestLifecycle compares what the machine does for every pair of state and trigger with testdata/publishing.txt, and with
// the pure Next.
func TestLifecycle(t *testing.T) {
	table := publish.Lifecycle()
	var got strings.Builder
	got.WriteString("# What each trigger does in each state: the next state, or - where it is not permitted.\n\n")
	for _, state := range table.States() {
		for _, trigger := range table.Triggers() {
			next, err := table.Next(state, trigger)
			to := string(next)
			if errors.Is(err, fsm.ErrNotPermitted) {
				to = "-"
			}
			fmt.Fprintf(&got, "%-13s %-20s %s\n", state, trigger, to)

			machine := machineIn(t, table, state)
			event, fired := machine.Fire(trigger, fsm.Evidence{})
			if (fired == nil) != (err == nil) || err == nil && (event.To != next || machine.State() != next) ||
				err != nil && machine.State() != state {
				t.Errorf("%s, %s: Next says %q, %v; Fire says %q, %v", state, trigger, next, err, event.To, fired)
			}
		}
		got.WriteString("\n")
	}
	golden.Assert(t, strings.TrimSuffix(got.String(), "\n"), goldens+"publishing.txt")
}

// machineIn gives a machine in any state, by way of a journal that ends there.
func machineIn(t *testing.T, table *fsm.Table, state fsm.State) *fsm.Machine {
	t.Helper()
	ring := fsm.NewRing(4)
	if err := ring.Append(fsm.Event{V: fsm.Schema, Kind: fsm.KindTransition, Seq: 1, To: state}); err != nil {
		t.Fatal(err)
	}
	m, err := fsm.New(table, fsm.Options{Journal: ring})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLifecycleDrawings(t *testing.T) {
	table := publish.Lifecycle()
	golden.Assert(t, table.DOT(), goldens+"publishing.dot")
	golden.Assert(t, table.Mermaid(), goldens+"publishing.mmd")
	golden.Assert(t, table.Markdown(), goldens+"publishing.md")
}

// A previous run that ended amid something is closed first, in the journal.
func TestProcessRestarted(t *testing.T) {
	ring := fsm.NewRing(4)
	if err := ring.Append(fsm.Event{V: fsm.Schema, Kind: fsm.KindTransition, Seq: 1, To: publish.Blocked}); err != nil {
		t.Fatal(err)
	}
	p, err := publish.New(publish.Config{URLs: []string{"amqp://localhost"}, Journal: ring})
	if err != nil {
		t.Fatal(err)
	}
	if p.State() != publish.Disconnected {
		t.Error(p.State())
	}
	var got []fsm.Trigger
	for _, e := range ring.Events() {
		if e.Kind == fsm.KindTransition {
			got = append(got, e.Trigger)
		}
	}
	if len(got) != 2 || got[1] != publish.ProcessRestarted {
		t.Errorf("%v", got)
	}
}

// The triggers that say that something went wrong are in the table.
func TestFailures(t *testing.T) {
	for _, trigger := range publish.Failures() {
		known := false
		for _, each := range publish.Lifecycle().Triggers() {
			known = known || each == trigger
		}
		if !known {
			t.Errorf("the table has no %s", trigger)
		}
	}
}
