package history_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// A run without a journal does not know of the one before: no ProcessRestarted, and Seq begins anew.
func TestSummaryRunsWithoutJournal(t *testing.T) {
	a := newWriter(t).begin().connect().idle(time.Minute)
	b := newWriter(t)
	b.runs, b.clock = 1, a.clock.Add(time.Second)
	b.begin().wait(time.Second).connect().idle(time.Minute).fire(consumer.Stop).wait(time.Hour)
	c := newWriter(t)
	c.runs, c.clock = 2, b.clock
	c.begin().connect()
	r := summarize(slices.Concat(a.log, b.log, c.log))
	if r.Runs != 3 || r.Aborted != 1 || r.Missing != 0 || r.Repeated != 0 || r.Overlaps != 0 {
		t.Errorf("%+v", r)
	}
	if r.Down != 2060*ms || r.Unrecorded != time.Second || r.Up != 2*time.Minute || r.Stopped != time.Hour {
		t.Errorf("down %v, of that unrecorded %v, up %v, stopped %v", r.Down, r.Unrecorded, r.Up, r.Stopped)
	}
	// The second run without its begin.
	r = summarize(slices.Concat(a.log, b.log[5:]))
	if r.Missing != 5 || r.Up != 117*time.Second || r.Down != 20*ms+2*time.Second+20*ms+3*time.Second {
		t.Errorf("missing %d, up %v, down %v", r.Missing, r.Up, r.Down)
	}
	// Two processes with one name, and three.
	if r = summarize([]fsm.Event{a.log[0], b.log[0], a.log[1], b.log[1]}); r.Overlaps != 2 || r.Runs != 2 {
		t.Errorf("%d overlaps of %d runs", r.Overlaps, r.Runs)
	}
	r = summarize([]fsm.Event{a.log[0], b.log[0], c.log[0], a.log[1], b.log[1], c.log[1]})
	if r.Overlaps != 3 || r.Runs != 3 {
		t.Errorf("%d overlaps of %d runs", r.Overlaps, r.Runs)
	}
}

func TestSummaryGaps(t *testing.T) {
	gap := func(before, after fsm.Event) fsm.Event { // in place of what is between
		g := before
		g.Kind, g.Seq, g.Trigger, g.Note = fsm.KindGap, before.Seq+1, "", "events not seen"
		g.From, g.To, g.Time, g.MonoNS = after.From, after.From, after.Time.Add(-time.Second), after.MonoNS-int64(time.Second)
		return g
	}
	w := newWriter(t).begin().connect().wait(time.Minute)
	w.fire(consumer.ConnectionError, reset).revive(0, time.Minute, reset).wait(time.Minute) // 3, 4
	w.fire(consumer.ConnectionError, reset).wait(time.Minute).fire(consumer.ReviveFailed, attempt(refused, 1))
	w.wait(time.Minute).fire(consumer.Stop) // 5, 6, 7
	log := w.log
	tests := []struct {
		name                          string
		log                           []fsm.Event
		up, down, unknown, unrecorded time.Duration
		outages                       int
		missing                       uint64
	}{
		{"whole", log, 2 * time.Minute, 3*time.Minute + 20*ms, 0, 0, 2, 0},
		{"up, then up", slices.Concat(log[:3], []fsm.Event{gap(log[2], log[5])}, log[5:]),
			time.Second, 2*time.Minute + 20*ms, 3*time.Minute - time.Second, 0, 1, 2},
		{"up, then down", slices.Concat(log[:3], []fsm.Event{gap(log[2], log[4])}, log[4:]),
			time.Minute, time.Second + 2*time.Minute + 20*ms, 2*time.Minute - time.Second, 0, 2, 1},
		{"down, then up", slices.Concat(log[:4], []fsm.Event{gap(log[3], log[5])}, log[5:]),
			time.Minute + time.Second, 2*time.Minute - time.Second + 2*time.Minute + 20*ms, 0, 2*time.Minute - time.Second, 2, 1},
		{"down, then down", slices.Concat(log[:4], []fsm.Event{gap(log[3], log[7])}, log[7:]),
			time.Minute, 4*time.Minute + 20*ms, 0, 4*time.Minute - time.Second, 1, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := summarize(tt.log)
			if r.Up != tt.up || r.Down != tt.down || r.Unknown != tt.unknown || r.Unrecorded != tt.unrecorded || r.Outages != tt.outages || r.Missing != tt.missing {
				t.Errorf("up %v, down %v, unknown %v, unrecorded %v, %d outages, %d missing\nwant %+v",
					r.Up, r.Down, r.Unknown, r.Unrecorded, r.Outages, r.Missing, tt)
			}
			if span := r.Last.Sub(r.First); r.Up+r.Down+r.Stopped+r.Unknown != span {
				t.Errorf("it does not add up to %v", span)
			}
		})
	}
}

// What is no transition changes nothing but its counter.
func TestSummaryBetween(t *testing.T) {
	log := idleDay(t).log[:2000]
	want := summarize(log)
	var mixed []fsm.Event
	seq := uint64(0)
	for i, e := range log {
		seq++
		e.Seq = seq
		mixed = append(mixed, e)
		between := e
		between.From, between.Trigger, between.InStateMS = e.To, "", 0
		switch i % 50 {
		case 10:
			between.Kind = fsm.KindSnapshot
			mixed = append(mixed, between)
			continue
		case 20:
			between.Kind = "from-the-future"
		case 30:
			between.Kind = fsm.KindStale
		case 40:
			between.Kind, between.Trigger = fsm.KindRejected, consumer.Revived
		case 49:
			between.Kind, between.Evidence = fsm.KindNote, consumer.Evidence{Class: "network"}.Event()
		default:
			continue
		}
		seq++
		between.Seq = seq
		mixed = append(mixed, between)
	}
	want.Events += 160
	want.Stale, want.Rejected, want.Notes = 40, 40, 40
	if diff := cmp.Diff(want, summarize(mixed)); diff != "" {
		t.Error(diff)
	}

	// A log that begins with a snapshot, as one of which the oldest segments are deleted.
	snapshot := log[100]
	snapshot.Kind, snapshot.From, snapshot.Trigger = fsm.KindSnapshot, snapshot.To, ""
	r := summarize(append([]fsm.Event{snapshot}, log[101:]...))
	if r.Missing != 0 || r.Events != 1899 || r.First != snapshot.Time || r.Up != r.Last.Sub(r.First) {
		t.Errorf("%+v", r)
	}

	// A log that was read twice.
	want = summarize(log)
	want.Repeated = 500
	if diff := cmp.Diff(want, summarize(slices.Concat(log[:1000], log[500:]))); diff != "" {
		t.Error(diff)
	}
}

// The wall clock is set while it runs: durations stay right.
func TestSummaryClockSet(t *testing.T) {
	w := newWriter(t).begin().connect().wait(time.Minute).fire(consumer.ConnectionError, reset).revive(1, time.Second, refused).wait(time.Minute).fire(consumer.Stop)
	want := summarize(w.log)
	for i := range w.log[4:] {
		w.log[4+i].Time = w.log[4+i].Time.Add(-time.Hour)
	}
	got := summarize(w.log)
	got.Last, got.Longest.End = want.Last, want.Longest.End
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
