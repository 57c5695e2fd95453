package history_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// brief is what tells one outage from another.
type brief struct {
	Name     string
	Duration time.Duration
	IsOver   bool
}

func briefs(outages []history.Outage) (list []brief) {
	for _, o := range outages {
		list = append(list, brief{o.Cause.Name(), o.Duration, !o.End.IsZero()})
	}
	return list
}

func TestOutages(t *testing.T) {
	w := idleDay(t).fire(consumer.Connect).fire(consumer.Connected).wait(time.Minute)
	w.record(fsm.KindNote, consumer.NoteStalled, consumer.Evidence{StalledMS: 42_000}) // shown at once, though a loss may follow
	all := []brief{{"network", 500 * ms, true}, {"heartbeat", 4 * time.Second, true}, {"cancelled", time.Minute, true}, {"stalled", 42 * time.Second, true}}
	underway := func(w *writer) {
		w.wait(time.Minute).fire(consumer.ConnectionError, reset).wait(time.Second).fire(consumer.ReviveFailed, refused)
	}
	for keep, want := range map[int][]brief{0: nil, 1: all[3:], 3: all[1:], 9: all} {
		s := history.Summary{Keep: keep}
		for _, e := range w.log {
			s.Apply(e)
		}
		for range 2 { // to look changes nothing
			if diff := cmp.Diff(want, briefs(s.Outages())); diff != "" {
				t.Errorf("%d are kept: %s", keep, diff)
			}
		}
	}
	underway(w)
	s := history.Summary{Keep: 2}
	for _, e := range w.log {
		s.Apply(e)
	}
	if diff := cmp.Diff([]brief{all[3], {"network", time.Second, false}}, briefs(s.Outages())); diff != "" {
		t.Error(diff)
	}
	if n := s.Report().Outages; n != 5 {
		t.Errorf("%d are counted, want 5", n)
	}
}
