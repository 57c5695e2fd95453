package history_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// What Recovered tells never shrinks, while events are applied and reports are made.
func TestRecovered(t *testing.T) {
	w := idleDay(t).fire(consumer.Connect).fire(consumer.Connected).wait(time.Minute)
	w.record(fsm.KindNote, consumer.NoteStalled, consumer.Evidence{StalledMS: 42_000})
	w.wait(time.Second).fire(consumer.ConnectionError, reset).wait(time.Second).fire(consumer.Revived) // a part of it
	w.wait(time.Minute).record(fsm.KindNote, consumer.NoteStalled, consumer.Evidence{StalledMS: 7000})
	w.wait(time.Minute).fire(consumer.DrainTimeout)
	var s history.Summary
	n, causes := 0, 0
	for _, e := range w.log {
		s.Apply(e)
		s.Report()
		byCause, took := s.Recovered()
		sum := 0
		for _, of := range byCause {
			sum += of
		}
		if len(took) < n || sum < causes {
			t.Fatalf("after %s it shrinks: %v, %v", e.Trigger, byCause, took)
		}
		n, causes = len(took), sum
	}
	byCause, took := s.Recovered()
	if r := s.Report(); r.Recoveries != len(took) || !cmp.Equal(r.Revivals, byCause) {
		t.Errorf("the report has %v, %d of them from their beginning on; recovered are %v, %d", r.Revivals, r.Recoveries, byCause, len(took))
	}
	if byCause["stalled"] != 2 || took[len(took)-1] != 7*time.Second {
		t.Errorf("two stalls are told of as %v, %v", byCause, took)
	}
}
