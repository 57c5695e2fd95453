package history_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

func TestSummaryBounds(t *testing.T) {
	w := newWriter(t).begin().connect().wait(time.Minute).fire(consumer.ConnectionError, reset)
	began := w.clock
	w.revive(9, time.Minute, refused).wait(time.Hour).fire(consumer.Stop)
	s := history.Summary{Since: began.Add(90 * time.Second), Until: began.Add(5 * time.Minute)}
	for _, e := range w.log {
		s.Apply(e)
	}
	r := s.Report()
	if r.Down != 210*time.Second || r.Up != 0 || r.Outages != 1 || !r.Longest.Begin.Equal(began) || r.Longest.Duration != 5*time.Minute || r.Attempts != 4 {
		t.Errorf("%+v", r)
	}
	m := s.Now()
	if m.State != consumer.Reviving || !m.Since.Equal(began) || m.Led.Trigger != consumer.ConnectionError || m.Outage.Attempts != 5 || !m.Up.IsZero() {
		t.Errorf("%+v", m)
	}
	late := history.Summary{Since: w.clock.Add(time.Second)}
	for _, e := range w.log {
		late.Apply(e)
	}
	if diff := cmp.Diff(history.Report{}, late.Report()); diff != "" {
		t.Error(diff)
	}
}

// A bound that the wall clock jumped over: no more time passes before it than did.
func TestSummaryBoundInJump(t *testing.T) {
	w := newWriter(t).begin().connect().wait(time.Second).fire(consumer.DrainTimeout).wait(time.Second).fire(consumer.HeartbeatOK)
	w.wait(time.Second).fire(consumer.Stop)
	for i := range w.log[4:] {
		w.log[4+i].Time = w.log[4+i].Time.Add(time.Hour)
	}
	for _, tt := range []struct {
		since, until time.Time
		up           time.Duration
	}{
		{morning.Add(time.Minute), time.Time{}, time.Second},
		{time.Time{}, morning.Add(time.Minute), 2 * time.Second},
	} {
		s := history.Summary{Since: tt.since, Until: tt.until}
		for _, e := range w.log {
			s.Apply(e)
		}
		if r := s.Report(); r.Up != tt.up {
			t.Errorf("since %v, until %v: up %v, want %v", tt.since, tt.until, r.Up, tt.up)
		}
	}
}

func TestSummaryNow(t *testing.T) {
	w := newWriter(t).begin().connect()
	up := w.clock
	w.idle(30 * time.Second)
	var s history.Summary
	for _, e := range w.log {
		s.Apply(e)
	}
	m := s.Now()
	if m.State != consumer.Consuming || !m.Since.Equal(w.clock) || !m.InLog || m.Led.Trigger != consumer.HeartbeatOK || !m.Up.Equal(up) || m.Idle != 10 {
		t.Errorf("%+v", m)
	}
	w.fire(consumer.ConnectionError, reset).revive(0, time.Second, reset).idle(6 * time.Second)
	for _, e := range w.log[len(w.log)-6:] {
		s.Apply(e)
	}
	if m := s.Now(); !m.Up.After(up) || m.Idle != 2 {
		t.Errorf("%+v", m)
	}
	var middle history.Summary
	w.wait(30*time.Second).record(fsm.KindNote, consumer.NoteBlocked, consumer.Evidence{})
	middle.Apply(w.log[len(w.log)-1])
	if m := middle.Now(); m.State != consumer.Consuming || !m.Since.Equal(w.clock.Add(-30*time.Second)) || !m.InLog || m.Led.Seq != 0 {
		t.Errorf("%+v", m)
	}
}

// A journal begins with a snapshot of number 0: whatever was before, there was no consumer.
func TestSummaryNowAtTheBegin(t *testing.T) {
	w := newWriter(t).begin()
	first := w.log[0]
	first.Kind, first.Seq = fsm.KindSnapshot, 0
	for _, log := range [][]fsm.Event{w.log[:1], {first, w.log[0]}} {
		var s history.Summary
		for _, e := range log {
			s.Apply(e)
		}
		if m := s.Now(); m.State != consumer.Disconnected || !m.InLog || !m.Since.Equal(morning) {
			t.Errorf("%d events: %+v", len(log), m)
		}
	}
}
