package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// journalOf writes a journal of n door events in one segment, or in several when
// segmentBytes is not 0, and returns its directory.
func journalOf(t testing.TB, n int, segmentBytes int64) string {
	t.Helper()
	dir := t.TempDir()
	j := openJournal(t, dir, journal.Options{SegmentBytes: segmentBytes, Sync: journal.SyncNever})
	m := newMachine(t, doorTable(t), fsm.Options{Run: "r1", Name: "door", Journal: j, Now: newClock().Now})
	_, _ = m.Record(fsm.KindBoot, "", fsm.Evidence{Note: "begin"})
	for m.Last().Seq < uint64(n) {
		switch m.Last().Seq % 4 {
		case 1:
			fire(t, m, "Open")
		case 2:
			_, _ = m.Fire("Open", fsm.Evidence{Error: `"no"`})
		case 3:
			fire(t, m, "Close")
		default:
			_, _ = m.Record(fsm.KindNote, "remark", fsm.Evidence{Note: "é"})
		}
	}
	j.Close()
	return dir
}

// damage returns how many records could be read before the first error, and that.
func damage(path string) (records int, err error) {
	for _, err := range journal.Records(path) {
		if err != nil {
			return records, err
		}
		records++
	}
	return records, nil
}

// The end of a journal may be cut off at any byte: what is whole is recovered, and
// only that.
func TestTruncationAtEveryByte(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s, and is skipped with -short")
	}
	whole := readSegment(t, journalOf(t, 200, 0))
	dir, read := memoryDir(t), journal.Damage()
	path := filepath.Join(dir, fmt.Sprintf("%020d.jsonl", 1))
	for size := 0; size <= len(whole); size += stride {
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		records := bytes.Count(whole[:size], []byte("\n"))
		torn := size > 0 && whole[size-1] != '\n'

		got, err := read(whole[:size])
		var corrupt *journal.CorruptError
		if got != records || errors.As(err, &corrupt) != torn || torn && !corrupt.Torn {
			t.Fatalf("%d bytes: read %d records of %d, %v", size, got, records, err)
		}
		j, err := journal.Open(dir, journal.Options{Sync: journal.SyncNever})
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		want := uint64(max(records-1, 0)) // one record is the snapshot
		if torn && want > 0 {
			want++ // the note
		}
		if last, ok := j.Last(); last.Seq != want || ok != (want > 0) || (j.Torn() != "") != torn {
			t.Fatalf("%d bytes: Last = %+v, %v; want seq %d; torn: %q", size, last, ok, want, j.Torn())
		}
		j.Close()
		if torn {
			aside, err := os.ReadFile(j.Torn())
			if whole := whole[bytes.LastIndexByte(whole[:size], '\n')+1 : size]; err != nil || !bytes.Equal(aside, whole) {
				t.Fatalf("%d bytes: set aside %q, %v", size, aside, err)
			}
			os.Remove(j.Torn())
		}
		if size%97 == 0 && want > 0 {
			if _, err := fsm.Replay(doorTable(t), slices.Values(readAll(t, dir))); err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
		}
	}
	t.Logf("cut at each of %d bytes", len(whole)/stride)
}

// memoryDir is a directory in memory, where the machine has such: what is synced
// forty thousand times need not wear a disk.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fsm")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func readSegment(t testing.TB, dir string) []byte {
	t.Helper()
	paths := segmentsOf(t, dir)
	if len(paths) != 1 {
		t.Fatalf("%d segments", len(paths))
	}
	text, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Every change of one byte is noticed, where it is: each byte of a long journal,
// and each value of each byte of a short one.
func TestEveryByteCounts(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 5 s, and is skipped with -short")
	}
	damage, changes := journal.Damage(), 0
	notice := func(whole []byte, at int, flip byte) {
		whole[at] ^= flip
		records, err := damage(whole)
		whole[at] ^= flip
		changes++
		start := bytes.LastIndexByte(whole[:at], '\n') + 1
		before := bytes.Count(whole[:at], []byte("\n"))
		var corrupt *journal.CorruptError
		if !errors.As(err, &corrupt) || records != before || corrupt.Line != before+1 ||
			corrupt.Offset != int64(start) || corrupt.Seq != uint64(max(before-1, 0)) {
			t.Fatalf("byte %d, %q instead of %q: %d records, %+v", at, whole[at]^flip, whole[at], records, err)
		}
	}
	long, short := readSegment(t, journalOf(t, 200, 0)), readSegment(t, journalOf(t, 3, 0))
	for at := 0; at < len(long); at += stride {
		notice(long, at, 1)
		notice(long, at, byte(at)|2)
	}
	for at := 0; at < len(short); at += stride {
		for flip := 1; flip < 256; flip++ {
			notice(short, at, byte(flip))
		}
	}
	t.Logf("%d changes of one byte", changes)
}

func TestEveryLineCounts(t *testing.T) {
	whole := bytes.SplitAfter(readSegment(t, journalOf(t, 200, 0)), []byte("\n"))
	whole = whole[:len(whole)-1]
	damage := journal.Damage()
	notice := func(what string, lines [][]byte, line int) {
		t.Helper()
		_, err := damage(bytes.Join(lines, nil))
		var corrupt *journal.CorruptError
		if !errors.As(err, &corrupt) || corrupt.Line != line+1 {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i := range len(whole) - 1 {
		notice(fmt.Sprintf("line %d removed", i), slices.Delete(slices.Clone(whole), i, i+1), i)
		notice(fmt.Sprintf("line %d twice", i), slices.Insert(slices.Clone(whole), i, whole[i]), i+1)
	}
	swaps := 0
	for i := range whole {
		for j := i + 1; j < len(whole); j += stride {
			swapped := slices.Clone(whole)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			notice(fmt.Sprintf("lines %d and %d swapped", i, j), swapped, i)
			swaps++
		}
	}
	t.Logf("%d lines removed, %d pairs swapped", len(whole)-1, swaps)
}

func TestDamageBetweenSegments(t *testing.T) {
	for name, tt := range map[string]struct {
		harm func(t *testing.T, paths []string)
		want int // the segment that is named; -1: nothing is noticed
	}{
		"one is missing":        {func(_ *testing.T, p []string) { os.Remove(p[2]) }, 3},
		"the oldest is missing": {func(_ *testing.T, p []string) { os.Remove(p[0]) }, -1},
		"the newest is missing": {func(_ *testing.T, p []string) { os.Remove(p[len(p)-1]) }, -1},
		"one has lost its end":  {func(t *testing.T, p []string) { cutLine(t, p[2]) }, 3},
		"one is torn":           {func(t *testing.T, p []string) { truncateBy(t, p[2], 1) }, 2},
		"one is empty":          {func(_ *testing.T, p []string) { os.Truncate(p[2], 0) }, 3},
		"the newest is empty":   {func(_ *testing.T, p []string) { os.Truncate(p[len(p)-1], 0) }, -1},
		"one continues another": {func(t *testing.T, p []string) {
			text := append(must(os.ReadFile(p[0])), must(os.ReadFile(p[2]))...)
			for _, path := range p {
				os.Remove(path)
			}
			os.WriteFile(p[0], text, 0o600)
		}, 0},
		"two have changed places": {func(_ *testing.T, p []string) { os.Rename(p[2], "x"); os.Rename(p[3], p[2]); os.Rename("x", p[3]) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			dir := journalOf(t, 100, 2000)
			paths := segmentsOf(t, dir)
			t.Chdir(dir)
			tt.harm(t, paths)
			_, err := damage(dir)
			var corrupt *journal.CorruptError
			switch {
			case tt.want < 0:
				if err != nil {
					t.Error(err)
				}
			case !errors.As(err, &corrupt) || corrupt.File != paths[tt.want] || corrupt.Torn:
				t.Errorf("want damage in %s, got %v", paths[tt.want], err)
			}
		})
	}
}

func cutLine(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	truncateBy(t, path, len(text)-bytes.LastIndexByte(text[:len(text)-1], '\n')-1)
}

func truncateBy(t *testing.T, path string, n int) {
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-int64(n)); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesDamage(t *testing.T) {
	dir := journalOf(t, 20, 0)
	path := segmentsOf(t, dir)[0]
	text, _ := os.ReadFile(path)
	text[bytes.Index(text, []byte(`"no\"`))] ^= 1
	os.WriteFile(path, text, 0o600)
	_, err := journal.Open(dir, journal.Options{})
	var corrupt *journal.CorruptError
	if !errors.As(err, &corrupt) || corrupt.File != path || corrupt.Seq != 2 || !strings.Contains(err.Error(), path) {
		t.Errorf("Open: %v", err)
	}
	if now, _ := os.ReadFile(path); !bytes.Equal(now, text) {
		t.Error("the damaged file was changed")
	}
	// The lock is free again: what is damaged is told each time.
	if _, again := journal.Open(dir, journal.Options{}); fmt.Sprint(again) != fmt.Sprint(err) {
		t.Errorf("the second time: %v", again)
	}
}

// A file system may leave a tail of zeros behind, as XFS does. It is torn, however
// long it is; a line as long that has an end is damage.
func TestLongTail(t *testing.T) {
	for name, tt := range map[string]struct {
		tail string
		torn bool
	}{
		"short":            {strings.Repeat("\x00", 4096), true},
		"just too long":    {strings.Repeat("\x00", journal.MaxLine+1), true},
		"many times":       {strings.Repeat("\x00", 3*journal.MaxLine), true},
		"long, has an end": {strings.Repeat("\x00", 3*journal.MaxLine) + "\n", false},
		"and more":         {strings.Repeat("\x00", 3*journal.MaxLine) + "\n{", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := journalOf(t, 3, 0)
			path := segmentsOf(t, dir)[0]
			text := must(os.ReadFile(path))
			if err := os.WriteFile(path, append(text, tt.tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := damage(dir)
			var corrupt *journal.CorruptError
			if !errors.As(err, &corrupt) || corrupt.Torn != tt.torn || corrupt.Offset != int64(len(text)) || corrupt.Line != 5 {
				t.Errorf("Records: %+v", err)
			}
			j, err := journal.Open(dir, journal.Options{})
			if !tt.torn {
				if !errors.As(err, &corrupt) {
					t.Errorf("Open: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			j.Close()
			if aside, err := os.ReadFile(j.Torn()); err != nil || string(aside) != tt.tail {
				t.Errorf("%d bytes were set aside, %v", len(aside), err)
			}
			replayed(t, dir, "Open")
		})
	}
}

func TestOpenRefusesWhatIsNewer(t *testing.T) {
	dir := t.TempDir()
	line, _ := journal.Encode(&fsm.Event{V: fsm.Schema + 1, Kind: fsm.KindSnapshot}, 0)
	os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d.jsonl", 1)), line, 0o600)
	if _, err := journal.Open(dir, journal.Options{}); !errors.Is(err, journal.ErrNewerSchema) || !strings.Contains(err.Error(), "jsonl:1") {
		t.Errorf("Open: %v", err)
	}
}

// A crash may leave nothing in the newest segment, or its snapshot alone.
func TestOpenAfterACrashInANewSegment(t *testing.T) {
	for name, keep := range map[string]func(text []byte) int{
		"empty":             func([]byte) int { return 0 },
		"half a snapshot":   func([]byte) int { return 30 },
		"snapshot":          func(text []byte) int { return bytes.IndexByte(text, '\n') + 1 },
		"snapshot and half": func(text []byte) int { return bytes.IndexByte(text, '\n') + 30 },
	} {
		t.Run(name, func(t *testing.T) {
			dir := journalOf(t, 10, 1)
			paths := segmentsOf(t, dir)
			newest := paths[len(paths)-1]
			text, _ := os.ReadFile(newest)
			os.Truncate(newest, int64(keep(text)))
			j := openJournal(t, dir, journal.Options{})
			m := newMachine(t, doorTable(t), fsm.Options{Run: "r2", Journal: j})
			torn := strings.Contains(name, "half")
			if want := map[bool]uint64{false: 9, true: 10}[torn]; m.Last().Seq != want || (j.Torn() != "") != torn {
				t.Errorf("continues from %+v, torn %q", m.Last(), j.Torn())
			}
			if m.State() != "Closed" {
				t.Fatalf("in %s", m.State())
			}
			fire(t, m, "Open", "Close", "Kick")
			j.Close()
			replayed(t, dir, "Broken")
		})
	}
}

// Of a journal's only segment nothing whole is left: it begins anew, and there is
// nothing a note could follow.
func TestOpenAfterACrashInTheFirstRecord(t *testing.T) {
	dir := journalOf(t, 3, 0)
	path := segmentsOf(t, dir)[0]
	os.Truncate(path, 30)
	j := openJournal(t, dir, journal.Options{})
	if e, ok := j.Last(); ok || j.Torn() != path+".torn" || len(segmentsOf(t, dir)) != 0 {
		t.Errorf("continues from %+v, torn %q", e, j.Torn())
	}
	fire(t, newMachine(t, doorTable(t), fsm.Options{Journal: j}), "Open")
	j.Close()
	if events := machineEvents(readAll(t, dir)); len(events) != 1 || events[0].Seq != 1 {
		t.Errorf("%+v", events)
	}
	replayed(t, dir, "Open")
}

func TestTornNote(t *testing.T) {
	dir := journalOf(t, 3, 0)
	path := segmentsOf(t, dir)[0]
	taken := path + ".torn"
	os.WriteFile(taken, []byte("of another time"), 0o600)
	truncateBy(t, path, 5)
	j := openJournal(t, dir, journal.Options{})
	note, _ := j.Last()
	if note.Kind != fsm.KindNote || note.Name != journal.NoteTorn || note.Seq != 3 || note.Run != "r1" || note.Machine != "door" || note.From != "Open" ||
		!strings.Contains(note.Note, filepath.Base(taken)+".2") || j.Torn() != taken+".2" {
		t.Errorf("%+v, torn %q", note, j.Torn())
	}
	j.Close()
	replayed(t, dir, "Open")
	if diff := cmp.Diff([]string{taken, taken + ".2"}, must(filepath.Glob(path+".*"))); diff != "" {
		t.Error(diff)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
