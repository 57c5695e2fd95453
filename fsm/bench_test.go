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

// evidences are none, and such as were made before.
func evidences(t testing.TB) map[string]fsm.Evidence {
	return map[string]fsm.Evidence{
		"plain":   {},
		"details": {Details: details(t, `{"gen":1,"endpoint":"rabbit.example.com:5672"}`), Error: "connection reset by peer"},
	}
}

func BenchmarkFire(b *testing.B) {
	for name, why := range evidences(b) {
		b.Run(name, func(b *testing.B) {
			m := observedDoor(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Fire("Knock", why); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// An idle machine's trips are folded; what differs each time is not.
func BenchmarkRingAppend(b *testing.B) {
	knock := fsm.Event{Kind: fsm.KindTransition, Run: "r", From: "Closed", To: "Closed", Trigger: "Knock"}
	for name, next := range map[string]func() fsm.Event{
		"trips":  roundTrips(),
		"knocks": func() fsm.Event { knock.Seq++; return knock },
	} {
		b.Run(name, func(b *testing.B) {
			ring := fsm.NewRing(0)
			b.ReportAllocs()
			for b.Loop() {
				_ = ring.Append(next())
			}
		})
	}
}

func TestFireAllocations(t *testing.T) {
	for name, why := range evidences(t) {
		m := observedDoor(t)
		allocs := testing.AllocsPerRun(1000, func() {
			if _, err := m.Fire("Knock", why); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > 3 {
			t.Errorf("Fire allocates %v times with evidence that is %s, want at most 3", allocs, name)
		}
	}
}

func BenchmarkNewDetails(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := fsm.NewDetails(struct {
			Generation uint64 `json:"gen"`
			Endpoint   string `json:"endpoint"`
		}{1, "rabbit.example.com:5672"}); err != nil {
			b.Fatal(err)
		}
	}
}
