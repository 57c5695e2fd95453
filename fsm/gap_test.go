package fsm_test

import (
	"testing"
	"time"

	"github.com/everhop/everhop/fsm"
)

// A gap has what is known of the newest event it stands for, the number of the
// oldest, and nothing that is of one of them alone.
func TestGap(t *testing.T) {
	at := time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC)
	event := func(seq uint64, to fsm.State) fsm.Event {
		return fsm.Event{
			V: fsm.Schema, Kind: fsm.KindTransition, Name: "x", Seq: seq, Run: "r", Machine: "m", Time: at.Add(time.Duration(seq)), MonoNS: int64(seq),
			From: "A", To: to, Trigger: "Go", InStateMS: 5, Table: "t", Evidence: fsm.Evidence{Details: details(t, `{"x":1}`), Error: "e", Note: "n"},
		}
	}
	var gap fsm.Gap
	for i, to := range []fsm.State{"B", "C", "D"} {
		seq := uint64(4 + i)
		gap.Add(event(seq, to))
		if gap.Count != uint64(i+1) || gap.First != 4 || gap.Last != event(seq, to) {
			t.Errorf("after %d: %+v", seq, gap)
		}
		want := fsm.Event{
			V: fsm.Schema, Kind: fsm.KindGap, Seq: 4, Run: "r", Machine: "m", Time: at.Add(time.Duration(seq)), MonoNS: int64(seq),
			From: to, To: to, Evidence: fsm.Evidence{Note: "not seen"},
		}
		if got := gap.Event("not seen"); got != want {
			t.Errorf("after %d:\n got %+v\nwant %+v", seq, got, want)
		}
	}
}
