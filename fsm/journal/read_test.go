package journal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

func TestRecordsSayWhereTheyStand(t *testing.T) {
	dir := journalOf(t, 30, 1500)
	n := 0
	for record, err := range journal.Records(dir) {
		if err != nil {
			t.Fatal(err)
		}
		text := must(os.ReadFile(record.File))
		line := bytes.SplitAfter(text, []byte("\n"))[record.Line-1]
		if !bytes.HasPrefix(text[record.Offset:], line) || !bytes.Contains(line, fmt.Appendf(nil, `"seq":%d,`, record.Event.Seq)) {
			t.Errorf("%+v is not %q", record, line)
		}
		var back journal.Record
		if err := json.Unmarshal(must(json.Marshal(record)), &back); err != nil || back != record {
			t.Errorf("in JSON %+v is %+v, %v", record, back, err)
		}
		n++
	}
	if want := 30 + len(segmentsOf(t, dir)); n != want {
		t.Errorf("%d records of %d", n, want)
	}
	for range journal.Read(dir) {
		break // leaving early is allowed
	}
}

func TestReadNothing(t *testing.T) {
	if events := readAll(t, t.TempDir()); events != nil {
		t.Errorf("an empty directory has %v", events)
	}
	for _, err := range journal.Read(filepath.Join(t.TempDir(), "nowhere")) {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a path that is not there: %v", err)
		}
	}
}

func TestReadingIgnoresOtherFiles(t *testing.T) {
	dir := journalOf(t, 3, 0)
	for _, name := range []string{"lock", "1.jsonl", "00000000000000000002.jsonl.torn", "0000000000000000000x.jsonl", "99999999999999999999.jsonl", "notes"} {
		os.WriteFile(filepath.Join(dir, name), []byte("odd"), 0o600)
	}
	if n := len(machineEvents(readAll(t, dir))); n != 3 {
		t.Errorf("%d events", n)
	}
}

// A name whose file has gone, as between listing and opening. It is a symbolic
// link to nothing.
func TestReadingWhileRetentionRemoves(t *testing.T) {
	dir := journalOf(t, 20, 1000)
	paths := segmentsOf(t, dir)
	gone := func(path string) {
		os.Remove(path)
		if err := os.Symlink("nowhere", path); err != nil {
			t.Skip(err)
		}
	}
	gone(paths[0])
	if events := readAll(t, dir); events[0].Kind != fsm.KindSnapshot {
		t.Errorf("begins with %+v", events[0])
	}
	gone(paths[2])
	if _, err := damage(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("one in the middle: %v", err)
	}
}

// A slow reader: while it has the first record, retention removes the segments that
// it was to read next.
func TestReadingSlowerThanRetention(t *testing.T) {
	for name, read := range map[string]func(dir string) iter.Seq2[journal.Record, error]{
		"Records": journal.Records,
		"Follow":  func(dir string) iter.Seq2[journal.Record, error] { return journal.Follow(t.Context(), dir) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := openJournal(t, dir, journal.Options{SegmentBytes: 1000, RetainBytes: 4000, Sync: journal.SyncNever})
			m := newMachine(t, doorTable(t), fsm.Options{Journal: j})
			write := func(until func() bool) {
				for !until() {
					fire(t, m, "Knock")
				}
			}
			write(func() bool { return len(segmentsOf(t, dir)) == 3 })
			paths := segmentsOf(t, dir)
			var first string
			var last error
			var next uint64 = 1
			for record, err := range read(dir) {
				if last = err; err != nil {
					break
				}
				if record.Event.Kind == fsm.KindTransition {
					if record.Event.Seq != next {
						t.Errorf("event %d, want %d", record.Event.Seq, next)
					}
					next++
				}
				if first == "" {
					first = record.File
					write(func() bool { return segmentsOf(t, dir)[0] > paths[2] })
				}
				if record.File != first {
					t.Errorf("%s was read", record.File)
				}
			}
			want := fmt.Sprintf("those between seq %d and %s", next-1, segmentsOf(t, dir)[0])
			if !errors.Is(last, journal.ErrRemoved) || !strings.Contains(last.Error(), want) || next < 2 {
				t.Errorf("%v, want %s", last, want)
			}
		})
	}
}

// What somebody else removes is damage: what is older is still there.
func TestReadingWhileSomebodyRemoves(t *testing.T) {
	last := func(records iter.Seq2[journal.Record, error], remove string) (last error) {
		for _, last = range records {
			os.Remove(remove)
		}
		return last
	}
	dir := journalOf(t, 20, 1000)
	if err := last(journal.Records(dir), segmentsOf(t, dir)[2]); !errors.Is(err, os.ErrNotExist) || errors.Is(err, journal.ErrRemoved) {
		t.Errorf("Records: %v", err)
	}
	dir = journalOf(t, 20, 1000)
	var corrupt *journal.CorruptError
	if err := last(journal.Follow(t.Context(), dir), segmentsOf(t, dir)[2]); !errors.As(err, &corrupt) {
		t.Errorf("Follow: %v", err)
	}
}

func TestReadingWhileAllIsRemoved(t *testing.T) {
	dir := journalOf(t, 20, 1000)
	var last error
	for _, last = range journal.Records(dir) {
		for _, path := range segmentsOf(t, dir) {
			os.Remove(path)
		}
	}
	if !errors.Is(last, os.ErrNotExist) {
		t.Errorf("Records: %v", last)
	}
}

func TestReadersCloseTheirFiles(t *testing.T) {
	const open = "/proc/self/fd"
	if _, err := os.Stat(open); err != nil {
		t.Skip("no list of open files: ", err)
	}
	dir := journalOf(t, 20, 1000)
	files := func() (n int) {
		for _, fd := range must(os.ReadDir(open)) {
			if name, err := os.Readlink(filepath.Join(open, fd.Name())); err == nil && strings.HasPrefix(name, dir) {
				n++
			}
		}
		return n
	}
	newest := slices.Max(segmentsOf(t, dir))
	for name, records := range map[string]iter.Seq2[journal.Record, error]{"Records": journal.Records(dir), "Follow": journal.Follow(t.Context(), dir)} {
		for record := range records {
			if n := files(); n != 1 {
				t.Errorf("%s has %d open files", name, n)
			}
			if record.File == newest {
				break
			}
		}
		if n := files(); n != 0 {
			t.Errorf("%s has left %d files open", name, n)
		}
	}
}

func TestUntilStopsAtTheError(t *testing.T) {
	dir := journalOf(t, 5, 0)
	truncateBy(t, segmentsOf(t, dir)[0], 1)
	var damage error
	events := slices.Collect(journal.Until(journal.Read(dir), &damage))
	if len(events) != 5 || damage == nil {
		t.Errorf("%d records, %v", len(events), damage)
	}
	for range journal.Until(journal.Read(dir), &damage) {
		break
	}
}

// Whatever is in a file, reading it ends, and yields nothing after an error.
func FuzzReader(f *testing.F) {
	whole := readSegment(f, journalOf(f, 3, 0))
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte("{}\n\n{\"v\":1,\"kind\":\"note\"}\n"))
	damage := journal.Damage()
	f.Fuzz(func(t *testing.T, text []byte) {
		records, err := damage(text)
		if lines := bytes.Count(text, []byte("\n")); records > lines || err == nil && len(text) > 0 && records != lines {
			t.Errorf("%d records in %d lines, %v", records, lines, err)
		}
	})
}

func TestIsSegment(t *testing.T) {
	for path, want := range map[string]bool{
		"00000000000000000001.jsonl":                     true,
		filepath.Join("a", "18446744073709551615.jsonl"): true,
		"18446744073709551616.jsonl":                     false,
		"0000000000000000000x.jsonl":                     false,
		"0000000000000000001.jsonl":                      false,
		"00000000000000000001.jsonl.torn":                false,
		"00000000000000000001":                           false,
		filepath.Join("00000000000000000001.jsonl", "x"): false,
		"": false,
	} {
		if got := journal.IsSegment(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
	for _, path := range segmentsOf(t, journalOf(t, 30, 1500)) {
		if !journal.IsSegment(path) {
			t.Errorf("%s was written, and is none", path)
		}
	}
}

// A checksum that is right does not make an event of a line.
func TestRecordsThatAreNoEvents(t *testing.T) {
	for _, e := range []fsm.Event{
		{V: fsm.Schema, Seq: 1},                         // of no kind
		{V: fsm.Schema - 1, Kind: fsm.KindNote, Seq: 1}, // which no everhop wrote
	} {
		dir := t.TempDir()
		whole, sum := journal.Encode(&fsm.Event{V: fsm.Schema, Kind: fsm.KindSnapshot}, 0)
		line, _ := journal.Encode(&e, sum)
		os.WriteFile(filepath.Join(dir, "00000000000000000001.jsonl"), append(whole, line...), 0o600)
		records, err := damage(dir)
		var corrupt *journal.CorruptError
		if !errors.As(err, &corrupt) || corrupt.Line != 2 || records != 1 {
			t.Errorf("%+v: %d records, then %v", e, records, err)
		}
	}
}
