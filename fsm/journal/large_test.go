package journal_test

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// A gigabyte is read in constant memory. It takes half a minute and the room.
func TestReadAGigabyte(t *testing.T) {
	if os.Getenv("FSM_TEST_GIGABYTE") == "" {
		t.Skip("set FSM_TEST_GIGABYTE=1 to write and read 1 GB below TMPDIR")
	}
	dir := t.TempDir()
	j := openJournal(t, dir, journal.Options{RetainBytes: 1 << 40, SegmentBytes: 64 << 20, Sync: journal.SyncNever})
	m := newMachine(t, doorTable(t), fsm.Options{Name: "door", Journal: j})
	why := fsm.Evidence{Details: details(t, `{"gen":1,"endpoint":"rabbit.example.com:5672"}`), Note: "é"}
	for range 5_000_000 {
		if _, err := m.Fire("Knock", why); err != nil {
			t.Fatal(err)
		}
	}
	_ = j.Close()
	var size int64
	for _, path := range segmentsOf(t, dir) {
		size += must(os.Stat(path)).Size()
	}

	var stats runtime.MemStats
	var peak, events uint64
	var summary fsm.Summary
	runtime.GC()
	begin := time.Now()
	var damage error
	_, err := fsm.Replay(doorTable(t), func(yield func(fsm.Event) bool) {
		for e := range journal.Until(journal.Read(dir), &damage) {
			if events++; events%100_000 == 0 {
				runtime.ReadMemStats(&stats)
				peak = max(peak, stats.HeapInuse)
			}
			summary.Apply(e)
			if !yield(e) {
				return
			}
		}
	})
	if err != nil || damage != nil {
		t.Fatal(err, damage)
	}
	took := time.Since(begin)
	t.Logf("%d bytes, %d events in %s: %.0f events/s, %d MB of heap at most", size, events, took.Round(time.Millisecond),
		float64(events)/took.Seconds(), peak>>20)
	if size < 1e9 || peak > 64<<20 {
		t.Errorf("%d bytes, a heap of %d", size, peak)
	}
}
