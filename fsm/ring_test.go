package fsm_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/fsm"
)

func TestRingKeepsTheNewest(t *testing.T) {
	ring := fsm.NewRing(3)
	if _, ok := ring.Last(); ok || len(ring.Events()) != 0 {
		t.Error("a new ring is not empty")
	}
	for seq := uint64(1); seq <= 8; seq++ {
		if err := ring.Append(fsm.Event{Seq: seq}); err != nil {
			t.Fatal(err)
		}
		var got, want []uint64
		for _, e := range ring.Events() {
			got = append(got, e.Seq)
		}
		for s := max(seq, 3) - 2; s <= seq; s++ {
			want = append(want, s)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after %d (-want +got):\n%s", seq, diff)
		}
		if last, ok := ring.Last(); !ok || last.Seq != seq {
			t.Errorf("Last = %d, %v; want %d", last.Seq, ok, seq)
		}
	}
}

func TestRingDefaultCapacity(t *testing.T) {
	ring := fsm.NewRing(0)
	for seq := range uint64(1100) {
		_ = ring.Append(fsm.Event{Seq: seq})
	}
	if n := len(ring.Events()); n != 1024 {
		t.Errorf("holds %d", n)
	}
}

func TestRingAppendAllocatesNothing(t *testing.T) {
	ring := fsm.NewRing(16)
	if n := testing.AllocsPerRun(100, func() { _ = ring.Append(fsm.Event{Seq: 1}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
