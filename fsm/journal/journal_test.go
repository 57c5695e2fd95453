package journal_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// openJournal opens a journal that is closed at the end of the test at the latest.
func openJournal(t testing.TB, dir string, o journal.Options) *journal.Journal {
	t.Helper()
	j, err := journal.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// readAll reads a journal that is not damaged.
func readAll(t testing.TB, path string) (events []fsm.Event) {
	t.Helper()
	for e, err := range journal.Read(path) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// machineEvents leaves out what the journal itself has written.
func machineEvents(events []fsm.Event) []fsm.Event {
	return slices.DeleteFunc(slices.Clone(events), func(e fsm.Event) bool { return e.Kind == fsm.KindSnapshot })
}

// replayed replays a journal with the door's table, as a whole and each segment alone.
func replayed(t testing.TB, dir string, want fsm.State) {
	t.Helper()
	var damage error
	state, err := fsm.Replay(doorTable(t), journal.Until(journal.Read(dir), &damage))
	if err != nil || damage != nil || state != want {
		t.Errorf("Replay = %q, %v, %v; want %q", state, err, damage, want)
	}
	for _, path := range segmentsOf(t, dir) {
		if state, err = fsm.Replay(doorTable(t), journal.Until(journal.Read(path), &damage)); err != nil || damage != nil {
			t.Errorf("Replay of %s alone = %v, %v", filepath.Base(path), err, damage)
		}
	}
	if state != want {
		t.Errorf("the last segment leads to %q, want %q", state, want)
	}
}

func segmentsOf(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestJournalKeepsWhatAMachineCommits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "it")
	j := openJournal(t, dir, journal.Options{})
	for _, e := range doorLog(t) {
		if err := j.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(j.Close(), j.Close()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.Append(fsm.Event{Seq: 8}), j.Sync()); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}

	events := readAll(t, dir)
	if diff := cmp.Diff(doorLog(t), machineEvents(events), byValue); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if events[0].Kind != fsm.KindSnapshot || events[0].Seq != 0 || events[0].To != "Closed" {
		t.Errorf("the first record is %+v", events[0])
	}
	replayed(t, dir, "Broken")

	path := filepath.Join(dir, "00000000000000000001.jsonl")
	for path, want := range map[string]fs.FileMode{path: 0o600, dir: 0o700 | fs.ModeDir} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// A snapshot has what is still so after the event before it, and not what that was about.
func TestSnapshotsRepeatWhatIsKnown(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, journal.Options{SegmentBytes: 1, Sync: journal.SyncNever})
	for _, e := range doorLog(t) {
		if err := j.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	j.Close()
	events := readAll(t, dir)
	for i := 2; i < len(events); i += 2 {
		want := events[i-1]
		if want.Kind == fsm.KindTransition {
			want.InStateMS = 0
		}
		want.Kind, want.From, want.Trigger, want.Name, want.Error, want.Note = fsm.KindSnapshot, want.To, "", "", "", ""
		want.Table = doorTable(t).Fingerprint()
		if events[i] != want {
			t.Errorf("after %+v\n got %+v\nwant %+v", events[i-1], events[i], want)
		}
	}
}

func TestOneWriteForEachEvent(t *testing.T) {
	j := openJournal(t, t.TempDir(), journal.Options{})
	var writes []string
	j.BreakWrite(func(f *os.File, b []byte) (int, error) {
		writes = append(writes, string(b))
		return f.Write(b)
	})
	fire(t, newMachine(t, doorTable(t), fsm.Options{Journal: j}), "Knock", "Knock", "Knock")
	if len(writes) != 3 || strings.Count(writes[0], "\n") != 2 || strings.Count(writes[1], "\n") != 1 {
		t.Errorf("writes: %q", writes)
	}
}

func TestSecondWriterIsRefused(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC)
	j := openJournal(t, dir, journal.Options{Now: func() time.Time { return now }})
	_, err := journal.Open(dir, journal.Options{})
	if want := fmt.Sprintf("written by pid %d on ", os.Getpid()); !errors.Is(err, journal.ErrLocked) ||
		!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "since 2024-05-17T12:00:00Z") ||
		!strings.Contains(err.Error(), "need not be removed") {
		t.Errorf("a second writer: %v", err)
	}
	j.Close()
	openJournal(t, dir, journal.Options{}).Close()
}

func TestJournalOptionsAreChecked(t *testing.T) {
	for field, o := range map[string]journal.Options{
		"SegmentBytes": {SegmentBytes: -1},
		"RetainBytes":  {RetainBytes: -1},
		"RetainAge":    {RetainAge: -1},
		"SyncEvery":    {SyncEvery: -1},
		"Sync ":        {Sync: 7},
		"more than":    {SegmentBytes: 2, RetainBytes: 1},
	} {
		dir := filepath.Join(t.TempDir(), "journal")
		if _, err := journal.Open(dir, o); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: the directory was made", field)
		}
	}
}

func TestReopeningContinues(t *testing.T) {
	for name, o := range map[string]journal.Options{"one segment": {}, "many": {SegmentBytes: 900, RetainBytes: 1 << 20}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for run := range 4 {
				j := openJournal(t, dir, o)
				m := newMachine(t, doorTable(t), fsm.Options{Run: fmt.Sprint(run), Journal: j})
				if run == 0 {
					_, _ = m.Record(fsm.KindBoot, "", fsm.Evidence{})
				}
				fire(t, m, "Open")
				_, _ = m.Fire("Knock", fsm.Evidence{})
				fire(t, m, "Close")
				_, _ = m.Record(fsm.KindNote, "remark", fsm.Evidence{})
				j.Close()
			}
			events := readAll(t, dir)
			for i, e := range machineEvents(events) {
				if e.Seq != uint64(i+1) {
					t.Fatalf("event %d has seq %d", i, e.Seq)
				}
			}
			for _, e := range events {
				if e.Kind == fsm.KindSnapshot && e.Table != doorTable(t).Fingerprint() && e.Seq > 0 {
					t.Errorf("a snapshot without the table: %+v", e)
				}
			}
			replayed(t, dir, "Closed")
		})
	}
}

func TestAppendTakesOnlyTheNext(t *testing.T) {
	j := openJournal(t, t.TempDir(), journal.Options{})
	for _, step := range []struct {
		seq uint64
		ok  bool
	}{{0, false}, {7, true}, {7, false}, {9, false}, {6, false}, {8, true}} {
		if err := j.Append(fsm.Event{V: fsm.Schema, Kind: fsm.KindNote, Seq: step.seq}); errors.Is(err, journal.ErrNotNext) == step.ok {
			t.Errorf("Append(%d): %v", step.seq, err)
		}
	}
}

// What a ring has kept can be written to files, for a later look.
func TestARingInFiles(t *testing.T) {
	clock, ring, dir := newClock(), fsm.NewRing(0), t.TempDir()
	m := newMachine(t, doorTable(t), fsm.Options{Journal: ring, Now: clock.Now, Run: "r1"})
	for range 50 {
		for _, trigger := range []fsm.Trigger{"Knock", "Open", "Close", "Open", "Close", "Open", "Close"} {
			clock.move(1500 * time.Millisecond)
			fire(t, m, trigger)
		}
	}
	for i, e := range ring.Events() { // each time by another process
		j := openJournal(t, dir, journal.Options{SegmentBytes: int64(1 + i%5*100)})
		if err := j.Append(e); err != nil {
			t.Fatal(err)
		}
		j.Close()
	}
	var want, got fsm.Summary
	for _, e := range ring.Events() {
		want.Apply(e)
	}
	if err := fsm.Project(journal.Read(dir), &got); err != nil {
		t.Fatal(err)
	}
	if got.Events != 350 || got.LastSeq != 350 || got.Missing != 0 || !cmp.Equal(got.States(), want.States()) {
		t.Errorf("%+v, %+v\nwant %+v, %+v", got, got.States(), want, want.States())
	}
	replayed(t, dir, "Closed")
}
