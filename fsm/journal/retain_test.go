package journal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

func TestRotationAndRetention(t *testing.T) {
	dir, clock := t.TempDir(), newClock()
	o := journal.Options{SegmentBytes: 2000, RetainBytes: 10000, Now: clock.Now}
	j := openJournal(t, dir, o)
	m := newMachine(t, doorTable(t), fsm.Options{Run: "r1", Journal: j, Now: clock.Now})
	_, _ = m.Record(fsm.KindBoot, "", fsm.Evidence{})
	for range 200 {
		clock.move(333333 * time.Microsecond)
		fire(t, m, "Open")
		clock.move(1234567)
		_, _ = m.Fire("Knock", fsm.Evidence{Error: "refused"})
		clock.move(time.Millisecond)
		fire(t, m, "Close")
	}
	j.Close()

	var total int64
	paths := segmentsOf(t, dir)
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
		events := readAll(t, path)
		if s := events[0]; s.Kind != fsm.KindSnapshot || s.Seq+1 != events[1].Seq || s.Table != doorTable(t).Fingerprint() || s.Error != "" {
			t.Errorf("%s begins with %+v", path, s)
		}
		if want := fmt.Sprintf("%020d.jsonl", events[1].Seq); filepath.Base(path) != want {
			t.Errorf("%s begins with event %s", path, want)
		}
		if info.Size() > 2000+400 {
			t.Errorf("%s has %d bytes", path, info.Size())
		}
	}
	if total > 10000 || len(paths) != 4 {
		t.Errorf("%d bytes in %d segments", total, len(paths))
	}
	events := machineEvents(readAll(t, dir))
	if last := events[len(events)-1]; last.Seq != 601 || events[0].Seq != last.Seq-uint64(len(events))+1 {
		t.Errorf("events %d to %d, %d of them", events[0].Seq, last.Seq, len(events))
	}
	replayed(t, dir, "Closed")
}

func TestRetentionByAge(t *testing.T) {
	dir, clock := t.TempDir(), newClock()
	o := journal.Options{SegmentBytes: 1, RetainAge: time.Hour, Now: clock.Now}
	j := openJournal(t, dir, o)
	m := newMachine(t, doorTable(t), fsm.Options{Journal: j, Now: clock.Now})
	for i, want := range []struct {
		pause time.Duration
		kept  int
	}{{0, 1}, {time.Minute, 2}, {59 * time.Minute, 3}, {1, 3}, {time.Minute, 3}, {-2 * time.Hour, 4}} {
		clock.move(want.pause)
		fire(t, m, "Knock")
		if n := len(segmentsOf(t, dir)); n != want.kept {
			t.Errorf("%d segments after event %d, want %d", n, i+1, want.kept)
		}
	}
	j.Close()

	clock.move(4 * time.Hour)
	openJournal(t, dir, o).Close()
	if n := len(segmentsOf(t, dir)); n != 1 {
		t.Errorf("%d segments after opening, not the newest alone", n)
	}
	replayed(t, dir, "Closed")
}

// What cannot be removed keeps what is newer, too, so that no hole comes to be. A
// directory with something in it stands for it.
func TestRetentionLeavesNoHole(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, journal.Options{SegmentBytes: 1, RetainBytes: 1000})
	stuck := filepath.Join(dir, fmt.Sprintf("%020d.jsonl", 0))
	if err := os.MkdirAll(filepath.Join(stuck, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, doorTable(t), fsm.Options{Journal: j})
	fire(t, m, "Knock", "Knock", "Knock", "Knock", "Knock", "Knock")
	if n := len(segmentsOf(t, dir)); n != 1+6 {
		t.Errorf("%d segments", n)
	}
	if err := os.RemoveAll(stuck); err != nil {
		t.Fatal(err)
	}
	fire(t, m, "Knock")
	if n := len(segmentsOf(t, dir)); n > 4 {
		t.Errorf("%d segments, now that all can be removed", n)
	}
	j.Close()
	replayed(t, dir, "Closed")
}

// An idle consumer writes two events per drain timeout, and a day of that stays.
func TestAnIdleDayIsRetained(t *testing.T) {
	dir, clock := t.TempDir(), newClock()
	j := openJournal(t, dir, journal.Options{Now: clock.Now, Sync: journal.SyncNever})
	m := newMachine(t, doorTable(t), fsm.Options{Name: "consumer", Journal: j, Now: clock.Now})
	_, _ = m.Record(fsm.KindBoot, "", fsm.Evidence{})
	why := fsm.Evidence{Details: details(t, `{"gen":1,"endpoint":"rabbit.example.com:5672"}`)}
	const timeout = 2 * time.Second
	for range int(24 * time.Hour / timeout) {
		clock.move(timeout)
		if _, err := m.Fire("Open", why); err != nil {
			t.Fatal(err)
		}
		clock.move(3 * time.Millisecond)
		if _, err := m.Fire("Close", why); err != nil {
			t.Fatal(err)
		}
	}
	j.Close()
	var summary fsm.Summary
	if err := fsm.Project(journal.Read(dir), &summary); err != nil {
		t.Fatal(err)
	}
	if summary.LastSeq != 86401 || summary.Events != 86401 {
		t.Errorf("%d events of %d", summary.Events, summary.LastSeq)
	}
	if closed, open := summary.State("Closed"), summary.State("Open"); closed.Time != 24*time.Hour || open.Time != 43200*3*time.Millisecond ||
		open.Visits != 43200 || closed.Visits != 43200 {
		t.Errorf("%+v, %+v", closed, open)
	}
	t.Logf("%d events, %d segments", summary.Events, len(segmentsOf(t, dir)))
	replayed(t, dir, "Closed")
}

// What is too much goes when its successor holds a record, and not when that is an
// empty file: a process that dies between, or a disk that is full, would leave nothing.
func TestRetentionWaitsForTheSuccessor(t *testing.T) {
	for name, o := range map[string]journal.Options{
		"of one segment":    {SegmentBytes: 100, RetainBytes: 100},
		"which has shrunk":  {RetainBytes: 400},
		"by age":            {SegmentBytes: 100, RetainAge: time.Hour},
		"of one, each time": {SegmentBytes: 1, RetainBytes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir, clock := journalOf(t, 22, 3000), newClock()
			clock.move(2 * time.Hour)
			o.Now = clock.Now
			full := func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }
			j, err := journal.OpenBroken(dir, o, full, (*os.File).Sync)
			if err != nil {
				t.Fatal(err)
			}
			m := newMachine(t, doorTable(t), fsm.Options{Run: "r2", Journal: j, Now: clock.Now})
			fire(t, m, "Close")

			// What a process would find that continues it now, were this one dead.
			left := t.TempDir()
			if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			next := openJournal(t, left, journal.Options{})
			if last, _ := next.Last(); last.Seq != 22 {
				t.Errorf("the journal goes on after %+v", last)
			}

			j.BreakWrite((*os.File).Write)
			fire(t, m, "Open")
			if n := len(segmentsOf(t, dir)); n != 1 {
				t.Errorf("%d segments", n)
			}
			j.Close()
			replayed(t, dir, "Open")
		})
	}
}

// A power failure leaves something, too: a segment and its name are on the disk
// before the older ones go, and they stay when it may not be there.
func TestRetentionIsSyncedFirst(t *testing.T) {
	for failAt, name := range []string{"the segment", "its name", "nothing"} {
		t.Run(name+" cannot be synced", func(t *testing.T) {
			o := newOutage(t, journal.Options{SegmentBytes: 1, RetainBytes: 1})
			m := newMachine(t, doorTable(t), fsm.Options{Journal: o})
			fire(t, m, "Knock")
			if err := o.Sync(); err != nil {
				t.Fatal(err)
			}
			older, synced := segmentsOf(t, o.dir)[0], []string(nil)
			o.BreakSync(func(f *os.File) error {
				if _, err := os.Stat(older); err != nil {
					t.Errorf("removed before %s was synced", f.Name())
				}
				if synced = append(synced, f.Name()); len(synced) == failAt+1 {
					return syscall.EIO
				}
				return f.Sync()
			})
			fire(t, m, "Knock")
			paths := segmentsOf(t, o.dir)
			if want := []string{paths[len(paths)-1], o.dir}[:min(failAt+1, 2)]; !slices.Equal(synced, want) {
				t.Errorf("synced %v, want %v", synced, want)
			}
			if fails := failAt < 2; (len(paths) == 2) != fails || (len(o.failures) == 1) != fails || o.Missing() > 0 {
				t.Errorf("%d segments, told %v", len(paths), o.failures)
			}
			o.BreakSync((*os.File).Sync)
		})
	}
}

// Who wrote the newest segment may have died before it was synced.
func TestRetentionInOpeningIsSyncedFirst(t *testing.T) {
	dir := journalOf(t, 40, 2000)
	paths := segmentsOf(t, dir)
	var synced []string
	j, err := journal.OpenBroken(dir, journal.Options{RetainBytes: 400}, (*os.File).Write, func(f *os.File) error {
		if left := segmentsOf(t, dir); !slices.Equal(left, paths) {
			t.Errorf("left before %s was synced: %v", f.Name(), left)
		}
		synced = append(synced, f.Name())
		return f.Sync()
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{paths[len(paths)-1], dir}; !slices.Equal(synced, want) || len(segmentsOf(t, dir)) != 1 {
		t.Errorf("synced %v, left %v", synced, segmentsOf(t, dir))
	}
	j.BreakSync((*os.File).Sync)
	j.Close()
}

// What is set aside each time is not kept for ever: the newest of it is, and none
// of segments that are gone.
func TestSetAsideIsRetained(t *testing.T) {
	aside := func(dir string) []string { return must(filepath.Glob(filepath.Join(dir, "*.torn*"))) }
	for year, most := range map[int]int{2024: 8, 2124: 9} { // the one just set aside stays in any case
		t.Run(fmt.Sprint("all of one segment, in ", year), func(t *testing.T) {
			dir := journalOf(t, 3, 0)
			path, begin := segmentsOf(t, dir)[0], time.Date(year, 5, 17, 12, 0, 0, 0, time.UTC)
			for i := range 20 {
				truncateBy(t, path, 3)
				j := openJournal(t, dir, journal.Options{})
				torn := j.Torn()
				j.Close()
				if names := aside(dir); !slices.Contains(names, torn) || len(names) != min(i+1, most) {
					t.Fatalf("%d: %v, the newest is %s", i, names, torn)
				}
				at := begin.Add(time.Duration(i) * time.Minute)
				if err := os.Chtimes(torn, at, at); err != nil {
					t.Fatal(err)
				}
			}
			for _, path := range aside(dir) {
				if age := must(os.Stat(path)).ModTime().Sub(begin); age < time.Duration(20-most)*time.Minute {
					t.Errorf("%s is of the begin and %s", path, age)
				}
			}
			replayed(t, dir, "Open")
		})
	}
	t.Run("segments that are gone", func(t *testing.T) {
		dir := t.TempDir()
		o := journal.Options{SegmentBytes: 1, RetainBytes: 1000}
		for i := range 20 {
			j := openJournal(t, dir, o)
			if torn := j.Torn(); (torn != "") != (i > 0) {
				t.Fatalf("%d: set aside: %q", i, torn)
			}
			fire(t, newMachine(t, doorTable(t), fsm.Options{Run: fmt.Sprint(i), Journal: j}), "Knock", "Knock")
			j.Close()
			paths := segmentsOf(t, dir)
			truncateBy(t, paths[len(paths)-1], 3)
		}
		names, oldest := aside(dir), segmentsOf(t, dir)[0]
		if len(names) == 0 || len(names) > 3 || names[0] < oldest {
			t.Errorf("set aside %v, the oldest segment is %s", names, oldest)
		}
	})
	t.Run("not what is something else", func(t *testing.T) {
		dir := t.TempDir()
		other := filepath.Join(dir, "0.jsonl.torn")
		if err := os.WriteFile(other, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		j := openJournal(t, dir, journal.Options{SegmentBytes: 1, RetainBytes: 1})
		fire(t, newMachine(t, doorTable(t), fsm.Options{Journal: j}), "Knock", "Knock")
		if _, err := os.Stat(other); err != nil {
			t.Error(err)
		}
	})
}
