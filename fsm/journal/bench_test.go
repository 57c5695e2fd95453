package journal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// evidences are none, such as come up again and again, and others each time.
func evidences(t testing.TB) map[string]func(i int) fsm.Evidence {
	ordinary := fsm.Evidence{Details: details(t, `{"gen":1,"endpoint":"rabbit.example.com:5672"}`)}
	var others []fsm.Evidence
	for i := range 4096 { // more than a reader remembers
		others = append(others, fsm.Evidence{Details: details(t, fmt.Sprintf(`{"gen":%d,"endpoint":"rabbit.example.com:5672"}`, i))})
	}
	return map[string]func(i int) fsm.Evidence{
		"plain":         func(int) fsm.Evidence { return fsm.Evidence{} },
		"details":       func(int) fsm.Evidence { return ordinary },
		"other details": func(i int) fsm.Evidence { return others[i%len(others)] },
	}
}

// BenchmarkFireFile is a transition with the default journal. It may cost 8 µs.
func BenchmarkFireFile(b *testing.B) {
	for name, why := range evidences(b) {
		b.Run(name, func(b *testing.B) {
			m := newMachine(b, doorTable(b), fsm.Options{Name: "door", Journal: openJournal(b, b.TempDir(), journal.Options{})})
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := m.Fire("Knock", why(i)); err != nil {
					b.Fatal(err)
				}
			}
			if each := b.Elapsed() / time.Duration(b.N); each > 8*time.Microsecond {
				b.Errorf("%s each", each)
			}
		})
	}
}

// BenchmarkReplayFile reads, checks and replays a journal of 100,000 events, at least 300,000 a second.
func BenchmarkReplayFile(b *testing.B) {
	const events = 100_000
	for name, why := range evidences(b) {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			j := openJournal(b, dir, journal.Options{Sync: journal.SyncNever})
			m := newMachine(b, doorTable(b), fsm.Options{Name: "door", Journal: j})
			for i := range events {
				if _, err := m.Fire("Knock", why(i)); err != nil {
					b.Fatal(err)
				}
			}
			_ = j.Close()
			b.ReportAllocs()
			for b.Loop() {
				var damage error
				if _, err := fsm.Replay(doorTable(b), journal.Until(journal.Read(dir), &damage)); err != nil || damage != nil {
					b.Fatal(err, damage)
				}
			}
			rate := events * float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rate, "events/s")
			if rate < 300_000 && name != "other details" {
				b.Errorf("%.0f events/s", rate)
			}
		})
	}
}
