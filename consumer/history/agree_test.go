package history_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// agree compares what "everhop graph" shows of a log with what "everhop replay" does. Both add up to the
// time that has passed, unless several machines wrote under one name.
func agree(log []fsm.Event) error {
	var drawn fsm.Summary
	var told history.Summary
	for _, e := range log {
		drawn.Apply(e)
		told.Apply(e)
	}
	r := told.Report()
	var problems []error
	compare := func(what string, graph, replay any) {
		if graph != replay {
			problems = append(problems, fmt.Errorf("%s: the graph has %v, replay %v", what, graph, replay))
		}
	}
	compare("events", drawn.Events, r.Events)
	compare("rejected", drawn.Rejected, r.Rejected)
	compare("stale", drawn.Stale, r.Stale)
	compare("runs", drawn.Runs, r.Runs)
	compare("overlaps", drawn.Overlaps, uint64(r.Overlaps))
	compare("gaps", drawn.Gaps, r.Gaps)
	compare("missing", drawn.Missing, r.Missing)
	compare("repeated", drawn.Repeated, r.Repeated)
	compare("between runs", drawn.Between, r.Between)
	compare("unseen", drawn.Unseen, r.Unseen)
	sum := r.Between + r.Unseen + r.Suspended
	for _, state := range told.Lifecycle().Table.States() {
		compare(string(state), drawn.State(state).Time, r.InState[state])
		sum += r.InState[state]
	}
	if kinds := r.Up + r.Down + r.Stopped + r.Unknown; sum != kinds {
		problems = append(problems, fmt.Errorf("%v in states and none, %v up, down, stopped and unknown", sum, kinds))
	}
	return errors.Join(problems...)
}

func readAll(t testing.TB, path string) (log []fsm.Event) {
	t.Helper()
	for e, err := range journal.Read(path) {
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, e)
	}
	return log
}

func TestGraphAndReplayAgree(t *testing.T) {
	frozen, err := filepath.Glob(filepath.Join("..", "..", "testdata", "histories", "v1", "*.jsonl"))
	if err != nil || len(frozen) < 20 {
		t.Fatal(len(frozen), "frozen histories:", err)
	}
	for _, path := range append(frozen, filepath.Join("..", "..", "testdata", "night")) {
		log := readAll(t, path)
		if err := agree(log); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		atInfo := slices.DeleteFunc(slices.Clone(log), routine)
		if err := agree(atInfo); err != nil {
			t.Errorf("%s, at level info: %v", path, err)
		}
	}
}

// stroll draws a log of several runs: some crash, some stop, and the time between them may be long.
func stroll(t *rapid.T, of *history.Lifecycle) []fsm.Event {
	w := newWriterOf(t, of).begin()
	trigger := rapid.SampledFrom(of.Table.Triggers())
	for range rapid.IntRange(0, 60).Draw(t, "steps") {
		w.wait(time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "wait")))
		switch rapid.IntRange(0, 9).Draw(t, "step") {
		case 0:
			w.begin()
		case 1:
			w.record(fsm.KindNote, consumer.NoteBlocked, consumer.Evidence{})
			w.record(fsm.KindNote, consumer.NoteParked, consumer.Evidence{Queue: "q", Attempt: 1, Error: "poison"})
			w.record(fsm.KindNote, consumer.NoteOutcomes, consumer.Evidence{Queue: "q", PeriodMS: 5000, Acknowledged: 7, Parked: 1, Calls: 8})
		case 2:
			stood := time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "stood"))
			w.suspended += stood / 2
			w.stalled(stood)
		case 3:
			if of.Check != "" && w.m.State() == of.Up {
				w.idle(3 * time.Second)
			}
		default:
			silent := rapid.Int64Range(0, 9000).Draw(t, "silent")
			_, _ = w.m.Fire(trigger.Draw(t, "trigger"), consumer.Evidence{Class: "network", SilenceMS: silent}.Event()) // or it is rejected
		}
	}
	return w.log
}

func TestGraphAndReplayAgreeOnAnyLog(t *testing.T) {
	for _, of := range []*history.Lifecycle{history.Consumer(), history.Publisher()} {
		t.Run(of.Noun, func(t *testing.T) { agreeOnAnyLog(t, of) })
	}
}

func agreeOnAnyLog(t *testing.T, of *history.Lifecycle) {
	rapid.Check(t, func(t *rapid.T) {
		log := stroll(t, of)
		place := func() int { return rapid.IntRange(0, len(log)-1).Draw(t, "place") }
		for range rapid.IntRange(0, 3).Draw(t, "faults") {
			i := place()
			j := rapid.IntRange(i+1, len(log)).Draw(t, "end")
			switch rapid.IntRange(0, 7).Draw(t, "fault") {
			case 0: // as at level info
				log = slices.DeleteFunc(log, routine)
			case 1: // a hole
				if j-i < len(log) {
					log = slices.Delete(log, i, j)
				}
			case 2: // a gap
				var gap fsm.Gap
				for _, e := range log[i:j] {
					gap.Add(e)
				}
				log = slices.Replace(log, i, j, gap.Event("lost"))
			case 3: // the end of a segment
				log = slices.Insert(log, i+1, snapshot(log[i]))
			case 4: // and those before are deleted
				log = slices.Insert(slices.Clone(log[i+1:]), 0, snapshot(log[i]))
			case 5: // read twice
				log = slices.Insert(log, j, log[i:j]...)
			case 6: // the clock is set
				for k := i; k < len(log); k++ {
					log[k].Time = log[k].Time.Add(-time.Minute)
				}
			case 7: // a later version's
				log[i].Kind, log[i].To = "odd", log[i].From
			}
			if len(log) == 0 {
				return
			}
		}
		if err := agree(log); err != nil {
			t.Fatalf("%v\n%s", err, listed(log))
		}
	})
}

// snapshot is what a journal begins a segment with, behind e.
func snapshot(e fsm.Event) fsm.Event {
	if e.Kind == fsm.KindTransition {
		e.InStateMS = 0
	}
	e.Kind, e.From, e.Trigger = fsm.KindSnapshot, e.To, ""
	return e
}

func listed(log []fsm.Event) (text string) {
	for _, e := range log {
		text += fmt.Sprintf("%s %d %s %s %s %s --%s--> %s after %d ms\n",
			e.Time.Format("15:04:05.000"), e.Seq, e.Run, e.Kind, time.Duration(e.MonoNS), e.From, e.Trigger, e.To, e.InStateMS)
	}
	return text
}

// A journal of small segments, of which the oldest are deleted as it grows.
func TestGraphAndReplayAgreeOnAJournal(t *testing.T) {
	for seed := range uint64(4) {
		of := []*history.Lifecycle{history.Consumer(), history.Publisher()}[seed%2]
		for _, keep := range []int64{1 << 20, 20_000} {
			dir := t.TempDir()
			j, err := journal.Open(dir, journal.Options{SegmentBytes: 4000, RetainBytes: keep, Sync: journal.SyncNever})
			if err != nil {
				t.Fatal(err)
			}
			written := wanderAs(t, of, seed, 300)
			for _, e := range written {
				if err := j.Append(e); err != nil {
					t.Fatal(err)
				}
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			files, _ := os.ReadDir(dir)
			log := readAll(t, dir)
			if len(files) < 4 || (keep < 1<<20) == (log[1].Seq == 1) {
				t.Errorf("%d files, from event %d on: not what this is a test of", len(files), log[1].Seq)
			}
			if err := errors.Join(agree(log), agree(written)); err != nil {
				t.Errorf("seed %d, %d bytes kept: %v", seed, keep, err)
			}
			if log[1].Seq == 1 {
				if whole, read := summarize(written), summarize(log); whole.Up != read.Up || whole.Down != read.Down || whole.Events != read.Events {
					t.Errorf("seed %d: %+v was written, %+v is read", seed, whole, read)
				}
			}
		}
	}
}

// Runs that take turns: the numbers mean little, but they are the same.
func TestGraphAndReplayAgreeOnOverlaps(t *testing.T) {
	for _, of := range []*history.Lifecycle{history.Consumer(), history.Publisher()} {
		agreeOnOverlaps(t, wanderAs(t, of, 1, 60), wanderAs(t, of, 2, 60))
	}
}

func agreeOnOverlaps(t *testing.T, a, b []fsm.Event) {
	var turns []fsm.Event
	for i := range min(len(a), len(b)) {
		b[i].Run = "another " + b[i].Run
		turns = append(turns, a[i], b[i])
	}
	if err := agree(turns); err != nil {
		t.Error(err)
	}
}
