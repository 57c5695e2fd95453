package fsm_test

import (
	"testing"
	"time"

	"github.com/everhop/everhop/fsm"
)

// observedDoor has the default ring and a feed nobody reads, the dearest case:
// each event drops another one.
func observedDoor(t testing.TB) *fsm.Machine {
	m := newMachine(t, doorTable(t), fsm.Options{})
	m.Feed(64)
	return m
}

func BenchmarkFire(b *testing.B) {
	m := observedDoor(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Fire("Knock", fsm.Evidence{Generation: 1}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestFireAllocations(t *testing.T) {
	m := observedDoor(t)
	allocs := testing.AllocsPerRun(1000, func() {
		if _, err := m.Fire("Knock", fsm.Evidence{Generation: 1}); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 3 {
		t.Errorf("Fire allocates %v times, want at most 3", allocs)
	}
}

// BenchmarkFireFileJournal is a transition with the default file journal. It may cost 8 µs.
func BenchmarkFireFileJournal(b *testing.B) {
	m := newMachine(b, doorTable(b), fsm.Options{Name: "door", Journal: openJournal(b, b.TempDir(), fsm.JournalOptions{})})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Fire("Knock", fsm.Evidence{Generation: 1, Endpoint: "rabbit.example.com:5672"}); err != nil {
			b.Fatal(err)
		}
	}
	if each := b.Elapsed() / time.Duration(b.N); each > 8*time.Microsecond {
		b.Errorf("%s each", each)
	}
}

// BenchmarkReplayFile reads, checks and replays a journal of 100,000 events, at least 300,000 a second.
func BenchmarkReplayFile(b *testing.B) {
	const events = 100_000
	dir := b.TempDir()
	journal := openJournal(b, dir, fsm.JournalOptions{Sync: fsm.SyncNever})
	m := newMachine(b, doorTable(b), fsm.Options{Name: "door", Journal: journal})
	for range events {
		if _, err := m.Fire("Knock", fsm.Evidence{Generation: 1, Endpoint: "rabbit.example.com:5672"}); err != nil {
			b.Fatal(err)
		}
	}
	_ = journal.Close()
	b.ReportAllocs()
	for b.Loop() {
		var damage error
		if _, err := fsm.Replay(doorTable(b), fsm.Until(fsm.Read(dir), &damage)); err != nil || damage != nil {
			b.Fatal(err, damage)
		}
	}
	rate := events * float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "events/s")
	if rate < 300_000 {
		b.Errorf("%.0f events/s", rate)
	}
}
