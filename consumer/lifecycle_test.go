package consumer_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

var update = flag.Bool("update", false, "write the golden files in testdata")

const testdata = "../testdata"

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
	golden(t, "lifecycle.txt", strings.TrimSuffix(got.String(), "\n"))
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
	golden(t, "lifecycle.dot", table.DOT())
	golden(t, "lifecycle.mmd", table.Mermaid())
	golden(t, "lifecycle.md", table.Markdown())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join(testdata, name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); write it with -update:\n%s", path, diff)
	}
}
