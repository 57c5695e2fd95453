package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/consumer/internal/inside"
	"github.com/everhop/everhop/fsm"
)

// door is a machine that is opened and closed.
func door(t *testing.T) *fsm.Machine {
	t.Helper()
	table, err := fsm.NewTable("Closed", []fsm.State{"Closed", "Open"}, []fsm.Row{
		{From: []fsm.State{"Closed"}, Trigger: "Open", To: "Open", Doc: "It is opened."},
		{From: []fsm.State{"Open"}, Trigger: "Close", To: "Closed", Doc: "It is closed."},
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := fsm.New(table, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func fire(t *testing.T, m *fsm.Machine, triggers ...fsm.Trigger) {
	t.Helper()
	for _, trigger := range triggers {
		if _, err := m.Fire(trigger, fsm.Evidence{}); err != nil {
			t.Fatal(err)
		}
	}
}

// Every observer sees every event, from before the start to the last one, and inside: also one that panics each time,
// which the log tells.
func TestObserversSeeEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := door(t)
		var marks inside.Marks
		var log bytes.Buffer
		var seen, panicked []fsm.Trigger
		lines := NewLines(zerolog.New(&log), &marks)
		o := Observe(m, lines, []func(fsm.Event){
			func(e fsm.Event) { panicked = append(panicked, e.Trigger); panic("no") },
			func(e fsm.Event) {
				if !marks.Has(context.Background()) {
					t.Error("an observer is not inside")
				}
				seen = append(seen, e.Trigger)
			},
		})
		fire(t, m, "Open")
		o.Start()
		fire(t, m, "Close", "Open")
		m.Close()
		o.Finish()
		want := []fsm.Trigger{"Open", "Close", "Open"}
		if !slices.Equal(seen, want) || !slices.Equal(panicked, want) {
			t.Errorf("seen %v and %v, want %v", seen, panicked, want)
		}
		if n := strings.Count(log.String(), "an observer panicked: no"); n != len(want) {
			t.Errorf("%d of %d panics in the log:\n%s", n, len(want), log.String())
		}
	})
}

// An observer that blocks holds the end up for a second, and no longer.
func TestFinishDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := door(t)
		hangs := make(chan struct{})
		o := Observe(m, NewLines(zerolog.Nop(), new(inside.Marks)), []func(fsm.Event){func(fsm.Event) { <-hangs }})
		o.Start()
		fire(t, m, "Open")
		m.Close()
		began := time.Now()
		o.Finish()
		if took := time.Since(began); took != time.Second {
			t.Errorf("the end took %v", took)
		}
		close(hangs)
	})
}

// A journal is synced when one of the states is entered, and not when it is only kept; what fails is logged.
func TestSyncJournal(t *testing.T) {
	var log bytes.Buffer
	see := SyncJournal(func() error { return errors.New("the disk is gone") }, zerolog.New(&log), "Open", "Ajar")
	for i, step := range [][2]fsm.State{{"Closed", "Open"}, {"Open", "Open"}, {"Open", "Closed"}, {"Closed", "Ajar"}} {
		see(fsm.Event{Seq: uint64(i), From: step[0], To: step[1]})
	}
	want := ""
	for _, seq := range []int{0, 3} {
		want += fmt.Sprintf(`{"level":"error","error":"the disk is gone","seq":%d,"message":"the journal could not be synced"}`+"\n", seq)
	}
	if log.String() != want {
		t.Errorf("logged\n%s, want\n%s", log.String(), want)
	}
}
