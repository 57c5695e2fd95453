package fsm_test

import (
	"testing"

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
