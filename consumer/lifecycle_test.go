package consumer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

const testdata = "../testdata"

// goldens is the same, seen from this package's folder testdata.
const goldens = "../" + testdata + "/"

// TestLifecycle compares what the machine does for every pair of state and trigger with
// testdata/lifecycle.txt, one row a case, and with the pure Next.
func TestLifecycle(t *testing.T) {
	table := consumer.Lifecycle()
	var got strings.Builder
	got.WriteString("# What each trigger does in each state: the next state, or - where it is not permitted.\n\n")
	for _, state := range table.States() {
		for _, trigger := range table.Triggers() {
			next, err := table.Next(state, trigger)
			to := string(next)
			if errors.Is(err, fsm.ErrNotPermitted) {
				to = "-"
			}
			fmt.Fprintf(&got, "%-15s %-17s %s\n", state, trigger, to)

			machine := machineIn(t, table, state)
			event, fired := machine.Fire(trigger, fsm.Evidence{})
			if (fired == nil) != (err == nil) || err == nil && (event.To != next || machine.State() != next) ||
				err != nil && machine.State() != state {
				t.Errorf("%s, %s: Next says %q, %v; Fire says %q, %v", state, trigger, next, err, event.To, fired)
			}
		}
		got.WriteString("\n")
	}
	golden.Assert(t, strings.TrimSuffix(got.String(), "\n"), goldens+"lifecycle.txt")
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
	table := consumer.Lifecycle()
	golden.Assert(t, table.DOT(), goldens+"lifecycle.dot")
	golden.Assert(t, table.Mermaid(), goldens+"lifecycle.mmd")
	golden.Assert(t, table.Markdown(), goldens+"lifecycle.md")
}
