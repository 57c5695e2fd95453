package journal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

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

// Follow sees what a writer writes, over new segments, a torn end, a removed file
// and retention, and ends with its context.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		seen := make(chan journal.Record, 100)
		done := make(chan error, 1)
		go func() {
			for record, err := range journal.Follow(ctx, dir) {
				if err != nil {
					done <- err
					return
				}
				seen <- record
			}
			done <- nil
		}()
		sees := func(what string, want ...uint64) {
			t.Helper()
			time.Sleep(time.Second)
			synctest.Wait()
			var got []uint64
			for len(seen) > 0 {
				r := <-seen
				if text := must(os.ReadFile(r.File)); bytes.Count(text[:r.Offset], []byte("\n")) != r.Line-1 {
					t.Errorf("%s: event %d is not on line %d", what, r.Event.Seq, r.Line)
				}
				if r.Event.Kind != fsm.KindSnapshot {
					got = append(got, r.Event.Seq)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}

		sees("nothing")
		j := openJournal(t, dir, journal.Options{Sync: journal.SyncNever, SegmentBytes: 600})
		m := newMachine(t, doorTable(t), fsm.Options{Journal: j})
		fire(t, m, "Knock")
		sees("the first", 1)
		fire(t, m, "Knock", "Knock", "Knock", "Knock")
		sees("over segments", 2, 3, 4, 5)

		newest := slices.Max(segmentsOf(t, dir))
		torn := must(os.OpenFile(newest, os.O_WRONLY|os.O_APPEND, 0))
		torn.WriteString(`{"v":1,"kind":"no`)
		torn.Close()
		sees("a torn end")
		info := must(os.Stat(newest))
		os.Truncate(newest, info.Size()-17)
		fire(t, m, "Knock")
		sees("what is written in its place", 6)

		os.Remove(slices.Max(segmentsOf(t, dir)))
		fire(t, m, "Open")
		sees("the new file in place of the removed one", 4, 7) // from the gap on
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		j.Close()
		replayed(t, dir, "Open")
	})
}

func TestFollowEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range journal.Follow(ctx, journalOf(t, 20, 1000)) {
		cancel()
		if n++; err != nil {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("%d records, though the context ended in the first", n)
	}
}

func TestFollowTellsDamage(t *testing.T) {
	dir := journalOf(t, 20, 1000)
	truncateBy(t, segmentsOf(t, dir)[1], 1)
	var last error
	for _, err := range journal.Follow(t.Context(), dir) {
		last = err
	}
	var corrupt *journal.CorruptError
	if !errors.As(last, &corrupt) || corrupt.File != segmentsOf(t, dir)[1] {
		t.Errorf("Follow: %v", last)
	}
	for _, err := range journal.Follow(t.Context(), filepath.Join(dir, "nowhere")) {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Follow: %v", err)
		}
	}
	for range journal.Follow(t.Context(), dir) {
		break
	}
}

// follow runs Follow in a bubble, and returns what tells what it has yielded since
// the last call, such as "note 3", or its error.
func follow(t *testing.T, path string) (news func() string) {
	var mu sync.Mutex
	var seen []string
	go func() {
		for record, err := range journal.Follow(t.Context(), path) {
			text := fmt.Sprint(record.Event.Kind, " ", record.Event.Seq)
			if err != nil {
				text = err.Error()
			}
			mu.Lock()
			seen = append(seen, text)
			mu.Unlock()
		}
	}()
	return func() string {
		time.Sleep(time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		defer func() { seen = nil }()
		return strings.Join(seen, ", ")
	}
}

// A writer cuts off what it could not write whole or sync, though it may have been
// read by then.
func TestFollowWhatIsTakenBack(t *testing.T) {
	const long = 1100 * time.Millisecond // ends between two looks of Follow
	broken := func(*os.File) error {
		time.Sleep(long)
		return syscall.EIO
	}
	short := func(f *os.File, b []byte) (int, error) { // the gap fits, and the event does not
		n, _ := f.Write(b[:bytes.IndexByte(b, '\n')+20])
		time.Sleep(long)
		return n, syscall.ENOSPC
	}
	for name, tt := range map[string]struct {
		options journal.Options
		harm    func(j *journal.Journal)
		before  []fsm.Trigger // after the harm was done, and shown
		shown   string
		after   []fsm.Trigger
		want    string
	}{
		"sync": {
			journal.Options{Sync: journal.SyncEach}, func(j *journal.Journal) { j.BreakSync(broken) },
			[]fsm.Trigger{"Knock"}, "transition 2", []fsm.Trigger{"Knock"}, "gap 2, transition 3",
		},
		"sync, and the gap with it": {
			journal.Options{Sync: journal.SyncEach}, func(j *journal.Journal) { j.BreakSync(broken) },
			[]fsm.Trigger{"Knock", "Knock"}, "transition 2, gap 2, transition 3", []fsm.Trigger{"Knock"}, "gap 2, transition 4",
		},
		"sync of a new segment": {
			journal.Options{Sync: journal.SyncEach, SegmentBytes: 1}, func(j *journal.Journal) { j.BreakSync(broken) },
			[]fsm.Trigger{"Knock"}, "snapshot 1, transition 2", []fsm.Trigger{"Knock", "Knock"}, "snapshot 1, gap 2, transition 3, snapshot 3, transition 4",
		},
		"sync of a new segment, and the gap with it": {
			journal.Options{Sync: journal.SyncEach, SegmentBytes: 1}, func(j *journal.Journal) { j.BreakSync(broken) },
			[]fsm.Trigger{"Knock", "Knock"}, "snapshot 1, transition 2, gap 2, transition 3",
			[]fsm.Trigger{"Knock", "Knock"}, "snapshot 1, gap 2, transition 4, snapshot 4, transition 5",
		},
		"what is as long": {
			journal.Options{Sync: journal.SyncEach, Strict: true}, func(j *journal.Journal) { j.BreakSync(broken) },
			[]fsm.Trigger{"Knock"}, "transition 2", []fsm.Trigger{"Knock"}, "transition 2",
		},
		"a part of a write": {
			journal.Options{Sync: journal.SyncNever}, func(j *journal.Journal) {
				n := 0
				j.BreakWrite(func(f *os.File, b []byte) (int, error) {
					if n++; n == 1 {
						return 0, syscall.ENOSPC
					}
					return short(f, b)
				})
			},
			[]fsm.Trigger{"Knock", "Knock"}, "gap 2", []fsm.Trigger{"Knock"}, "gap 2, transition 4",
		},
		"before the next segment": {
			journal.Options{Sync: journal.SyncEach, SegmentBytes: 1500}, func(j *journal.Journal) { j.BreakSync(broken) },
			[]fsm.Trigger{"Knock"}, "transition 2", slices.Repeat([]fsm.Trigger{"Knock"}, 8),
			"gap 2, transition 3, transition 4, transition 5, transition 6, transition 7, snapshot 7, transition 8, transition 9, transition 10",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				j := openJournal(t, dir, tt.options)
				m := newMachine(t, doorTable(t), fsm.Options{Journal: j})
				fire(t, m, "Knock")
				news := follow(t, dir)
				sees := func(want string) {
					t.Helper()
					if got := news(); got != want {
						t.Errorf("sees %s\nwant %s", got, want)
					}
				}
				sees("snapshot 0, transition 1")
				tt.harm(j)
				for _, trigger := range tt.before {
					_, _ = m.Fire(trigger, fsm.Evidence{})
				}
				sees(tt.shown)
				j.BreakWrite((*os.File).Write)
				j.BreakSync((*os.File).Sync)
				fire(t, m, tt.after...)
				sees(tt.want)
				fire(t, m, "Open")
				if got := news(); !strings.HasSuffix(got, fmt.Sprint("transition ", m.Last().Seq)) {
					t.Errorf("sees %s", got)
				}
				j.Close()
				replayed(t, dir, "Open")
			})
		})
	}
}

// What is cut and written while it is read can look damaged, once.
func TestFollowLooksTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := journalOf(t, 5, 0)
		path := segmentsOf(t, dir)[0]
		text := must(os.ReadFile(path))
		cut := bytes.LastIndexByte(text[:len(text)-1], '\n') + 1
		os.WriteFile(path, append(slices.Clone(text[:cut]), "odd\n"...), 0o600)
		news := follow(t, path)
		synctest.Wait() // it has looked
		os.WriteFile(path, text, 0o600)
		if got, want := news(), "snapshot 0, boot 1, transition 2, rejected 3, transition 4, note 5"; got != want {
			t.Errorf("sees %s", got)
		}
		os.WriteFile(path, append(text, "odd\n"...), 0o600)
		if got := news(); !strings.Contains(got, ":7 is damaged") {
			t.Errorf("sees %s", got)
		}
	})
}

// A writer makes its directory again.
func TestFollowTheRemovedDirectory(t *testing.T) {
	for name, after := range map[string]struct {
		segmentBytes int64
		want         string
	}{
		"one segment": {0, "snapshot 0, gap 1, transition 2, transition 3, transition 4"},
		"several":     {1, "snapshot 0, gap 1, transition 2, snapshot 2, transition 3, snapshot 3, transition 4"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "journal")
				j := openJournal(t, dir, journal.Options{Sync: journal.SyncNever, SegmentBytes: after.segmentBytes})
				m := newMachine(t, doorTable(t), fsm.Options{Journal: j})
				fire(t, m, "Knock")
				news := follow(t, dir)
				if got := news(); got != "snapshot 0, transition 1" {
					t.Errorf("sees %s", got)
				}
				os.RemoveAll(dir)
				if got := news(); got != "" {
					t.Errorf("sees %s", got)
				}
				fire(t, m, "Knock", "Knock", "Knock")
				if got := news(); got != after.want {
					t.Errorf("sees %s\nwant %s", got, after.want)
				}
				j.Close()
			})
		})
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
