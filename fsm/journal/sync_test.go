package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

func TestSyncPolicies(t *testing.T) {
	for name, tt := range map[string]struct {
		o    journal.Options
		want int // syncs of three events
	}{
		"each":     {journal.Options{Sync: journal.SyncEach}, 3},
		"never":    {journal.Options{Sync: journal.SyncNever}, 0},
		"interval": {journal.Options{SyncEvery: time.Hour}, 0},
		"rotation": {journal.Options{Sync: journal.SyncNever, SegmentBytes: 1}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			j, syncs := openJournal(t, t.TempDir(), tt.o), 0
			j.BreakSync(func(f *os.File) error {
				if filepath.Ext(f.Name()) == ".jsonl" { // and not the directory
					syncs++
				}
				return f.Sync()
			})
			fire(t, newMachine(t, doorTable(t), fsm.Options{Journal: j}), "Knock", "Knock", "Knock")
			if syncs != tt.want {
				t.Errorf("%d syncs", syncs)
			}
			if err := errors.Join(j.Sync(), j.Sync()); err != nil || name != "each" && syncs != tt.want+1 {
				t.Errorf("%d syncs after Sync: %v", syncs, err)
			}
			syncs = 0
			_ = j.Append(fsm.Event{V: 1, Kind: fsm.KindNote, Seq: 4, From: "Closed", To: "Closed"})
			before := syncs
			if err := j.Close(); err != nil || name != "each" && syncs != before+1 {
				t.Errorf("%d syncs in Close: %v", syncs-before, err)
			}
		})
	}
}

func TestSyncInterval(t *testing.T) {
	j, synced := openJournal(t, t.TempDir(), journal.Options{SyncEvery: time.Millisecond}), make(chan struct{}, 10)
	j.BreakSync(func(f *os.File) error {
		if filepath.Ext(f.Name()) == ".jsonl" {
			synced <- struct{}{}
		}
		return f.Sync()
	})
	m := newMachine(t, doorTable(t), fsm.Options{Journal: j})
	for range 3 {
		fire(t, m, "Knock")
		<-synced
	}
}

func TestFailingSyncIsToldOnce(t *testing.T) {
	var told []error
	j := openJournal(t, t.TempDir(), journal.Options{Sync: journal.SyncNever, OnFailure: func(err error) { told = append(told, err) }})
	m := newMachine(t, doorTable(t), fsm.Options{Journal: j})
	for range 2 {
		fire(t, m, "Knock")
		j.BreakSync(func(*os.File) error { return syscall.EIO })
		for range 2 {
			if err := j.Sync(); !errors.Is(err, syscall.EIO) {
				t.Errorf("Sync: %v", err)
			}
		}
		j.BreakSync((*os.File).Sync)
		if err := j.Sync(); err != nil {
			t.Error(err)
		}
	}
	if len(told) != 2 || j.Missing() != 0 {
		t.Errorf("told %v, missing %d", told, j.Missing())
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
