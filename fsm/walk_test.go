package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/everhop/everhop/fsm"
)

// drawTable draws a table of one to six states, each of them reachable.
func drawTable(t *rapid.T) *fsm.Table {
	states := make([]fsm.State, rapid.IntRange(1, 6).Draw(t, "states"))
	for i := range states {
		states[i] = fsm.State(fmt.Sprintf("S%d", i))
	}
	state := rapid.SampledFrom(states)
	row := func(from fsm.State, trigger string, to fsm.State) fsm.Row {
		return fsm.Row{From: []fsm.State{from}, Trigger: fsm.Trigger(trigger), To: to, Doc: "drawn"}
	}
	var rows []fsm.Row
	for i, to := range states[1:] {
		rows = append(rows, row(rapid.SampledFrom(states[:i+1]).Draw(t, "parent"), fmt.Sprintf("To%d", i+1), to))
	}
	for _, from := range states {
		for _, trigger := range []string{"A", "B", "C"} {
			if rapid.Bool().Draw(t, "permitted") {
				rows = append(rows, row(from, trigger, state.Draw(t, "to")))
			}
		}
	}
	table, err := fsm.NewTable(states[0], states, rows)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// A random walk of several runs, with a journal that fails at random, against
// the plainest model: the state moves as Next says if the journal took it.
func TestRandomWalk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawTable(t)
		triggers := rapid.SampledFrom(append(table.Triggers(), "Unheard"))
		clock, log := newClock(), &book{}
		model := table.Initial()

		for run := range rapid.IntRange(1, 3).Draw(t, "runs") {
			m, err := fsm.New(table, fsm.Options{Run: fmt.Sprintf("r%d", run), Journal: log, Now: clock.Now})
			if err != nil {
				t.Fatal(err)
			}
			feed := m.Feed(rapid.IntRange(1, 20).Draw(t, "capacity"))
			for range rapid.IntRange(0, 30).Draw(t, "steps") {
				clock.move(time.Duration(rapid.Int64Range(0, 3e6).Draw(t, "ns")))
				log.full = rapid.IntRange(0, 3).Draw(t, "full") == 0
				if rapid.IntRange(0, 4).Draw(t, "record") == 0 {
					_, err = m.Record(fsm.KindNote, "walk", fsm.Evidence{})
				} else {
					trigger := triggers.Draw(t, "trigger")
					to, refused := table.Next(model, trigger)
					if _, err = m.Fire(trigger, fsm.Evidence{}); errors.Is(err, fsm.ErrNotPermitted) != (refused != nil) {
						t.Fatalf("Fire(%s) in %s: %v", trigger, model, err)
					}
					if refused == nil && !log.full {
						model = to
					}
				}
				if errors.Is(err, fsm.ErrVetoed) != log.full {
					t.Fatalf("journal full %v: %v", log.full, err)
				}
				if m.State() != model {
					t.Fatalf("state %s, model %s", m.State(), model)
				}
			}
			m.Close()
			// A feed that opened late and overflowed still folds to the live state.
			seen := slices.Collect(feed.All(context.Background()))
			if state, err := fsm.Replay(table, slices.Values(seen)); err != nil || len(seen) > 0 && state != model {
				t.Fatalf("replay of the feed: %s, %v; model %s\n%+v", state, err, model, seen)
			}
		}
		for i, e := range log.events {
			if e.Seq != uint64(i+1) {
				t.Fatalf("event %d has seq %d", i, e.Seq)
			}
		}
		if state, err := fsm.Replay(table, slices.Values(log.events)); err != nil || state != model {
			t.Fatalf("replay: %s, %v; model %s", state, err, model)
		}
	})
}
