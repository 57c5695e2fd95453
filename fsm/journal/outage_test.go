package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// outage is a journal whose disk can fail, and what it told.
type outage struct {
	*journal.Journal
	dir       string
	clock     *clock
	failures  []error
	recovered []uint64
}

func newOutage(t *testing.T, o journal.Options) *outage {
	out := &outage{dir: t.TempDir(), clock: newClock()}
	o.Sync, o.Now = journal.SyncNever, out.clock.Now
	o.OnFailure = func(err error) { out.failures = append(out.failures, err) }
	o.OnRecovered = func(n uint64) { out.recovered = append(out.recovered, n) }
	out.Journal = openJournal(t, out.dir, o)
	return out
}

// fill leaves room for that many bytes of each write.
func (o *outage) fill(room int) {
	o.BreakWrite(func(f *os.File, b []byte) (int, error) {
		n, err := f.Write(b[:min(room, len(b))])
		return n, errors.Join(err, syscall.ENOSPC)
	})
}

func (o *outage) empty() { o.BreakWrite((*os.File).Write) }

func TestFullDisk(t *testing.T) {
	for _, segmentBytes := range []int64{0, 1} {
		for _, room := range []int{0, 1, 150, 1 << 20} {
			for _, before := range []int{0, 1, 4} {
				t.Run(fmt.Sprintf("segments of %d, room for %d, after %d", segmentBytes, room, before), func(t *testing.T) {
					o := newOutage(t, journal.Options{SegmentBytes: segmentBytes})
					m := newMachine(t, doorTable(t), fsm.Options{Run: "r1", Journal: o})
					for range before {
						fire(t, m, "Knock")
					}
					o.fill(room)
					fire(t, m, "Open", "Close", "Open")
					if len(o.failures) != 1 || !errors.Is(o.failures[0], syscall.ENOSPC) || o.Missing() != 3 || o.recovered != nil {
						t.Errorf("told %v, %v; %d missing", o.failures, o.recovered, o.Missing())
					}
					if last, _ := o.Last(); last != m.Last() {
						t.Errorf("Last is %+v", last)
					}
					if got := len(machineEvents(readAll(t, o.dir))); got != before {
						t.Errorf("%d events in the files during the outage", got)
					}
					o.empty()
					fire(t, m, "Close", "Knock")
					if len(o.failures) != 1 || len(o.recovered) != 1 || o.recovered[0] != 3 || o.Missing() != 3 {
						t.Errorf("told %v, %v; %d missing", o.failures, o.recovered, o.Missing())
					}
					o.fill(room)
					fire(t, m, "Open")
					if len(o.failures) != 2 || o.Missing() != 4 {
						t.Errorf("told %v, %d missing", o.failures, o.Missing())
					}
					o.empty()
					if err := o.Close(); err != nil || len(o.recovered) != 2 {
						t.Errorf("Close: %v, told %v", err, o.recovered)
					}

					events := machineEvents(readAll(t, o.dir))
					gap := events[before]
					if gap.Kind != fsm.KindGap || gap.Seq != uint64(before+1) || gap.To != "Open" || gap.From != "Open" ||
						!strings.HasPrefix(gap.Note, "3 events are missing: ") || !strings.Contains(gap.Note, "no space left") {
						t.Errorf("gap: %+v", gap)
					}
					replayed(t, o.dir, "Open")
					var s fsm.Summary
					if err := fsm.Project(journal.Read(o.dir), &s); err != nil || s.Gaps != 2 || s.Missing != 4 {
						t.Errorf("summary: %+v, %v", s, err)
					}
				})
			}
		}
	}
}

// Nothing of the events goes into the files, and Close says so.
func TestDiskFullToTheEnd(t *testing.T) {
	o := newOutage(t, journal.Options{})
	m := newMachine(t, doorTable(t), fsm.Options{Journal: o})
	fire(t, m, "Knock")
	o.fill(7)
	fire(t, m, "Open")
	if err := o.Close(); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "last 1 events") {
		t.Errorf("Close: %v", err)
	}
	replayed(t, o.dir, "Closed")
}

func TestStrictVetoes(t *testing.T) {
	for _, policy := range []journal.SyncPolicy{journal.SyncNever, journal.SyncEach} {
		j := openJournal(t, t.TempDir(), journal.Options{Strict: true, Sync: policy})
		m := newMachine(t, doorTable(t), fsm.Options{Journal: j})
		fire(t, m, "Open")
		if policy == journal.SyncEach {
			j.BreakSync(func(*os.File) error { return syscall.EIO })
		} else {
			j.BreakWrite(func(f *os.File, b []byte) (int, error) { _, _ = f.Write(b[:9]); return 9, syscall.EIO })
		}
		for range 2 {
			if _, err := m.Fire("Close", fsm.Evidence{}); !errors.Is(err, fsm.ErrVetoed) || !errors.Is(err, syscall.EIO) || m.State() != "Open" {
				t.Errorf("Fire: %v, in %s", err, m.State())
			}
		}
		j.BreakWrite((*os.File).Write)
		j.BreakSync((*os.File).Sync)
		fire(t, m, "Close")
		if j.Missing() != 0 || m.Last().Seq != 2 {
			t.Errorf("%d missing, after %+v", j.Missing(), m.Last())
		}
		_ = j.Close()
	}
}

// In Strict mode the machine is told, before it goes on, that what it has committed
// is not all there; and once.
func TestStrictVetoesAfterALoss(t *testing.T) {
	for name, tt := range map[string]struct {
		harm    func(o *outage)
		text    string
		told    int // by OnFailure: what Append did not find
		missing uint64
	}{
		"removed, noticed by the append": {func(o *outage) {
			os.Remove(segmentsOf(t, o.dir)[0])
			o.clock.move(time.Second)
		}, "was removed", 0, 2},
		"removed, noticed by a sync": {func(o *outage) {
			os.Remove(segmentsOf(t, o.dir)[0])
			_ = o.Sync()
		}, "was removed", 1, 2},
		"not synced": {func(o *outage) {
			o.BreakSync(func(*os.File) error { return syscall.EIO })
			_ = o.Sync()
			o.BreakSync((*os.File).Sync)
		}, "input/output", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutage(t, journal.Options{Strict: true})
			m := newMachine(t, doorTable(t), fsm.Options{Journal: o})
			fire(t, m, "Knock", "Open")
			tt.harm(o)
			if _, err := m.Fire("Close", fsm.Evidence{}); !errors.Is(err, fsm.ErrVetoed) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Fire: %v", err)
			}
			if m.State() != "Open" || o.Missing() != tt.missing || len(o.failures) != tt.told {
				t.Errorf("in %s, %d missing, told %v", m.State(), o.Missing(), o.failures)
			}
			fire(t, m, "Close", "Open")
			o.Close()
			replayed(t, o.dir, "Open")
			if last := machineEvents(readAll(t, o.dir)); last[len(last)-1].Seq != 4 {
				t.Errorf("ends with %+v", last[len(last)-1])
			}
		})
	}
}

// What a gap stands for is missing once, also when the gap goes with its file.
func TestMissingIsCountedOnce(t *testing.T) {
	o := newOutage(t, journal.Options{})
	m := newMachine(t, doorTable(t), fsm.Options{Journal: o})
	fire(t, m, "Knock", "Knock")
	o.fill(0)
	fire(t, m, "Knock", "Knock", "Knock")
	o.empty()
	fire(t, m, "Knock")
	os.Remove(segmentsOf(t, o.dir)[0])
	o.clock.move(time.Second)
	fire(t, m, "Knock")
	if o.Missing() != 6 || !slices.Equal(o.recovered, []uint64{3, 6}) {
		t.Errorf("%d missing, told %v", o.Missing(), o.recovered)
	}
}

// Close leaves nothing open, whatever fails.
func TestCloseClosesTheSegment(t *testing.T) {
	o := newOutage(t, journal.Options{})
	fire(t, newMachine(t, doorTable(t), fsm.Options{Journal: o}), "Knock")
	var segment *os.File
	o.BreakSync(func(f *os.File) error { segment = f; return syscall.EIO })
	if err := o.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("Close: %v", err)
	}
	if _, err := segment.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the segment is still open: %v", err)
	}
}

func TestSyncSaysItsErrorOnce(t *testing.T) {
	o := newOutage(t, journal.Options{})
	fire(t, newMachine(t, doorTable(t), fsm.Options{Journal: o}), "Knock")
	o.BreakSync(func(*os.File) error { return syscall.EIO })
	if err := o.Sync(); err == nil || err.Error() != syscall.EIO.Error() {
		t.Errorf("Sync: %v", err)
	}
}

func TestRemovedUnderneath(t *testing.T) {
	for name, harm := range map[string]func(o *outage, path string){
		"file removed":      func(_ *outage, path string) { os.Remove(path) },
		"file renamed":      func(_ *outage, path string) { os.Rename(path, path+".old") },
		"file replaced":     func(_ *outage, path string) { os.Remove(path); os.WriteFile(path, []byte("odd\n"), 0o600) },
		"file emptied":      func(_ *outage, path string) { os.Truncate(path, 0) },
		"file cut short":    func(_ *outage, path string) { os.Truncate(path, 100) },
		"directory emptied": func(o *outage, _ string) { o.removeAll(); os.Mkdir(o.dir, 0o700) },
		"directory removed": func(o *outage, _ string) { o.removeAll() },
	} {
		for _, by := range []string{"a later append", "a sync", "the close"} {
			t.Run(name+", noticed by "+by, func(t *testing.T) {
				o := newOutage(t, journal.Options{SegmentBytes: 1000})
				m := newMachine(t, doorTable(t), fsm.Options{Run: "r1", Journal: o})
				for range 5 { // the second segment holds events 5 and 6
					fire(t, m, "Knock")
				}
				fire(t, m, "Open")
				paths := segmentsOf(t, o.dir)
				newest := paths[len(paths)-1]
				first := machineEvents(readAll(t, newest))[0].Seq
				harm(o, newest)
				switch by {
				case "a later append":
					o.clock.move(time.Second)
				case "a sync":
					if err := o.Sync(); err == nil {
						t.Error("Sync did not notice")
					}
				}
				want := fsm.State("Open")
				if by != "the close" {
					fire(t, m, "Close")
					want = "Closed"
				}
				if err := o.Close(); err != nil {
					t.Error(err)
				}
				if len(o.failures) != 1 || !strings.Contains(o.failures[0].Error(), newest) || len(o.recovered) != 1 || o.recovered[0] != 7-first {
					t.Errorf("told %v, %v", o.failures, o.recovered)
				}
				events := machineEvents(readAll(t, o.dir))
				var gap fsm.Event
				for _, e := range events {
					if e.Kind == fsm.KindGap {
						gap = e
					}
				}
				if gap.Seq != first || gap.To != "Open" || o.Missing() != 7-first {
					t.Errorf("gap %+v, %d missing", gap, o.Missing())
				}
				replayed(t, o.dir, want)
				if _, err := os.Stat(filepath.Join(o.dir, "lock")); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func (o *outage) removeAll() { os.RemoveAll(o.dir) }

func TestLookedAtOncePerSecond(t *testing.T) {
	o := newOutage(t, journal.Options{})
	m := newMachine(t, doorTable(t), fsm.Options{Journal: o})
	fire(t, m, "Knock", "Knock")
	os.Remove(segmentsOf(t, o.dir)[0])
	o.clock.move(999 * time.Millisecond)
	fire(t, m, "Knock")
	if o.failures != nil {
		t.Errorf("told %v", o.failures)
	}
	o.clock.move(-time.Hour)
	fire(t, m, "Knock")
	if len(o.failures) != 1 {
		t.Error("not noticed after the clock was set back")
	}
}

// The disk is full, and then the file goes: one gap stands for both.
func TestRemovedDuringAnOutage(t *testing.T) {
	o := newOutage(t, journal.Options{})
	m := newMachine(t, doorTable(t), fsm.Options{Journal: o})
	fire(t, m, "Knock", "Knock")
	o.fill(0)
	fire(t, m, "Knock", "Open")
	os.Remove(segmentsOf(t, o.dir)[0])
	o.clock.move(time.Second)
	fire(t, m, "Close", "Open")
	o.empty()
	fire(t, m, "Kick")
	if len(o.recovered) != 1 || o.recovered[0] != 6 || o.Missing() != 6 {
		t.Errorf("told %v, %d missing", o.recovered, o.Missing())
	}
	o.Close()
	if gap := machineEvents(readAll(t, o.dir))[0]; gap.Seq != 1 || gap.To != "Open" || !strings.HasPrefix(gap.Note, "6 events are missing") {
		t.Errorf("%+v", gap)
	}
	replayed(t, o.dir, "Broken")
}

// A segment that was continued by another process goes: the chain over the older
// ones holds.
func TestRemovedAfterReopening(t *testing.T) {
	dir := journalOf(t, 21, 1500)
	clock := newClock()
	j := openJournal(t, dir, journal.Options{SegmentBytes: 1500, Now: clock.Now})
	m := newMachine(t, doorTable(t), fsm.Options{Run: "r2", Journal: j})
	paths := segmentsOf(t, dir)
	os.Remove(paths[len(paths)-1])
	clock.move(time.Second)
	fire(t, m, "Open")
	j.Close()
	replayed(t, dir, "Open")
	if got := segmentsOf(t, dir); len(got) != len(paths) || got[len(got)-1] != paths[len(paths)-1] {
		t.Errorf("segments %v, were %v", got, paths)
	}
}

// A segment is retired and closed while Sync is on its way to it.
func TestSyncDuringRotation(t *testing.T) {
	j := openJournal(t, t.TempDir(), journal.Options{SegmentBytes: 1, Sync: journal.SyncNever})
	m := newMachine(t, doorTable(t), fsm.Options{Journal: j})
	fire(t, m, "Knock")
	j.BreakSync(func(f *os.File) error {
		j.BreakSync((*os.File).Sync)
		fire(t, m, "Knock")
		return f.Sync()
	})
	if err := j.Sync(); err != nil {
		t.Errorf("Sync: %v", err)
	}
}

// A torn line on a full disk is set aside once there is room, and once only.
func TestTornOnAFullDisk(t *testing.T) {
	dir := journalOf(t, 3, 0)
	path := segmentsOf(t, dir)[0]
	truncateBy(t, path, 5)
	torn := must(os.ReadFile(path))
	for range 3 {
		_, err := journal.OpenBroken(dir, journal.Options{}, func(f *os.File, b []byte) (int, error) {
			n, err := f.Write(b[:7])
			return n, errors.Join(err, syscall.ENOSPC)
		}, (*os.File).Sync)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Open: %v", err)
		}
	}
	if aside := must(filepath.Glob(path + ".*")); aside != nil || string(must(os.ReadFile(path))) != string(torn) {
		t.Errorf("left behind: %v", aside)
	}
	j := openJournal(t, dir, journal.Options{})
	line := torn[strings.LastIndexByte(string(torn), '\n')+1:]
	if aside := must(filepath.Glob(path + ".*")); len(aside) != 1 || j.Torn() != aside[0] || string(must(os.ReadFile(aside[0]))) != string(line) {
		t.Errorf("set aside: %v", aside)
	}
	j.Close()
	replayed(t, dir, "Open")
}

// A power failure loses nothing of a torn line: its copy is on the disk before the
// original goes, and a copy that may not be there is none.
func TestTornIsKeptFirst(t *testing.T) {
	for name, failAt := range map[string]int{"the copy": 1, "its name": 2, "the original": 3, "nothing": 4} {
		t.Run(name+" cannot be synced", func(t *testing.T) {
			dir := journalOf(t, 3, 0)
			path := segmentsOf(t, dir)[0]
			truncateBy(t, path, 5)
			whole := must(os.Stat(path)).Size()
			var synced []string
			j, err := journal.OpenBroken(dir, journal.Options{Sync: journal.SyncNever}, (*os.File).Write, func(f *os.File) error {
				if synced = append(synced, filepath.Base(f.Name())); len(synced) <= 2 && must(os.Stat(path)).Size() != whole {
					t.Error("the line was cut off before the copy and its name were synced")
				}
				if len(synced) == failAt {
					return syscall.EIO
				}
				return f.Sync()
			})
			if err == nil {
				_ = j.Close()
			}
			base := filepath.Base(path)
			want := []string{base + ".torn", filepath.Base(dir), base}[:min(failAt, 3)]
			if !slices.Equal(synced[:min(len(synced), 3)], want) || errors.Is(err, syscall.EIO) != (failAt < 4) {
				t.Errorf("synced %v, %v", synced, err)
			}
			copies := must(filepath.Glob(path + ".*"))
			if isWhole := must(os.Stat(path)).Size() == whole; isWhole != (failAt < 3) || isWhole == (len(copies) == 1) {
				t.Errorf("the original is whole: %v; copies %v", isWhole, copies)
			}
		})
	}
}

// What was set aside stays so when the note of it cannot be written; the segment is
// closed.
func TestTornNoteIsVetoed(t *testing.T) {
	dir := journalOf(t, 3, 0)
	path := segmentsOf(t, dir)[0]
	truncateBy(t, path, 5)
	var segment *os.File
	_, err := journal.OpenBroken(dir, journal.Options{Strict: true}, func(f *os.File, b []byte) (int, error) {
		if f.Name() != path {
			return f.Write(b)
		}
		segment = f
		return 0, syscall.ENOSPC
	}, (*os.File).Sync)
	if !errors.Is(err, syscall.ENOSPC) || segment == nil {
		t.Fatalf("Open: %v", err)
	}
	if _, err := segment.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the segment is still open: %v", err)
	}
	j := openJournal(t, dir, journal.Options{Strict: true})
	if aside := must(filepath.Glob(path + ".*")); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
	j.Close()
	replayed(t, dir, "Open")
}

// While the disk is being asked to keep a segment, it was not kept: who ends the
// segment asks, too, and what is written meanwhile is for the next time.
func TestSyncUnderWay(t *testing.T) {
	for name, tt := range map[string]struct {
		meanwhile func(j *journal.Journal, m *fsm.Machine) error
		asked     int // how often for the first segment, within
		after     int // and by another Sync
	}{
		"nothing": {func(*journal.Journal, *fsm.Machine) error { return nil }, 0, 0},
		"a write": {func(_ *journal.Journal, m *fsm.Machine) error {
			_, err := m.Record(fsm.KindNote, "remark", fsm.Evidence{})
			return err
		}, 0, 1},
		"a new segment": {func(_ *journal.Journal, m *fsm.Machine) error {
			for range 9 {
				if _, err := m.Record(fsm.KindNote, "remark", fsm.Evidence{}); err != nil {
					return err
				}
			}
			return nil
		}, 1, 0},
		"the close": {func(j *journal.Journal, _ *fsm.Machine) error { return j.Close() }, 1, 0},
	} {
		for _, failure := range []error{nil, syscall.EIO} {
			t.Run(fmt.Sprint(name, ", then ", failure), func(t *testing.T) {
				dir := t.TempDir()
				j := openJournal(t, dir, journal.Options{SegmentBytes: 1000, Sync: journal.SyncNever})
				m := newMachine(t, doorTable(t), fsm.Options{Journal: j})
				fire(t, m, "Knock")
				first, asked := segmentsOf(t, dir)[0], 0
				count := func(f *os.File) error {
					if f.Name() == first {
						asked++
					}
					return f.Sync()
				}
				j.BreakSync(func(f *os.File) error {
					j.BreakSync(count)
					if err := tt.meanwhile(j, m); err != nil {
						t.Error(err)
					}
					return errors.Join(failure, f.Sync())
				})
				_ = j.Sync()
				if asked != tt.asked {
					t.Errorf("asked %d times meanwhile, want %d", asked, tt.asked)
				}
				asked = 0
				_ = j.Sync()
				want := tt.after
				if failure != nil && tt.asked == 0 { // the failed one is made good
					want = 1
				}
				if asked != want {
					t.Errorf("asked %d times afterwards, want %d", asked, want)
				}
			})
		}
	}
}
