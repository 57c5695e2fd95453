package journal_test

import (
	"errors"
	"fmt"
	"os"
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
