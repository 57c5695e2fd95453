package journal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

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
