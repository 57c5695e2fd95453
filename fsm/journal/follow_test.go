package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
