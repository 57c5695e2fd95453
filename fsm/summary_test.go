package fsm_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/fsm"
)

func summaryOf(events []fsm.Event) *fsm.Summary {
	s := &fsm.Summary{}
	for _, e := range events {
		s.Apply(e)
	}
	return s
}

// twoRuns is a log with known answers: a run of ten seconds and, an hour after its
// last event, one of three.
func twoRuns(t *testing.T) []fsm.Event {
	clock, log := newClock(), &book{}
	run := func(id string, steps ...any) {
		m := newMachine(t, doorTable(t), fsm.Options{Run: id, Journal: log, Now: clock.Now})
		for _, step := range steps {
			switch step := step.(type) {
			case time.Duration:
				clock.move(step)
			case fsm.Trigger:
				_, _ = m.Fire(step, fsm.Evidence{})
			case fsm.Kind:
				_, _ = m.Record(step, fsm.Evidence{})
			}
		}
	}
	const open, shut, knock fsm.Trigger = "Open", "Close", "Knock"
	run("r1", fsm.KindBoot, time.Second, open, 2*time.Second, knock, 2*time.Second, shut, time.Second, knock, time.Second, open, 3*time.Second, fsm.KindStale)
	clock.move(time.Hour)
	run("r2", time.Second, fsm.KindNote, time.Second, shut, time.Second, fsm.Trigger("Kick"))
	return log.events
}

func TestSummary(t *testing.T) {
	events := twoRuns(t)
	s := summaryOf(events)
	if s.First != events[0].Time || s.Last != events[len(events)-1].Time || s.LastSeq != 10 || s.Events != 10 || s.Transitions != 6 ||
		s.Rejected != 1 || s.Stale != 1 || s.Runs != 2 || s.Between != time.Hour || s.Gaps+s.Missing+s.Overflow != 0 || s.Unseen != 0 {
		t.Errorf("%+v", s)
	}
	want := []fsm.StateSummary{
		{State: "Closed", Visits: 2, Time: 4 * time.Second},
		{State: "Open", Visits: 2, Time: 9 * time.Second},
		{State: "Broken", Visits: 1},
	}
	if diff := cmp.Diff(want, s.States()); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if s.State("Open") != want[1] || s.State("Ajar") != (fsm.StateSummary{State: "Ajar"}) {
		t.Errorf("State: %+v", s.State("Open"))
	}
	var edges []string
	for _, e := range s.Edges() {
		edges = append(edges, fmt.Sprintf("%s %s %s %d %s", e.From, e.Trigger, e.To, e.Durations.Count, e.Durations.Total))
	}
	if diff := cmp.Diff([]string{
		"Closed Open Open 2 2s", "Open Close Closed 2 6s", "Closed Knock Closed 1 1s", "Closed Kick Broken 1 1s",
	}, edges); diff != "" {
		t.Errorf("edges (-want +got):\n%s", diff)
	}
}

// Snapshots change nothing, wherever they are.
func TestSummaryWithSnapshots(t *testing.T) {
	events := twoRuns(t)
	want := summaryOf(events)
	for i := range events {
		with := slices.Insert(slices.Clone(events), i+1, snapshotOf(events[i], func(*fsm.Event) {}))
		if got := summaryOf(with); got.Events != want.Events || got.Between != want.Between || got.Runs != 2 ||
			!cmp.Equal(got.States(), want.States()) || got.LastSeq != want.LastSeq || got.Last != want.Last {
			t.Errorf("after %d: %+v", i, got)
		}
	}
	// The log begins with one: what was before it is not counted, what comes is.
	late := append([]fsm.Event{snapshotOf(events[1], func(*fsm.Event) {})}, events[2:]...)
	if s := summaryOf(late); s.State("Open").Time != 9*time.Second || s.State("Closed").Time != 3*time.Second || s.First != events[1].Time {
		t.Errorf("%+v, %+v", s.States(), s)
	}
	// It begins with nothing of the kind.
	if s := summaryOf(events[2:]); s.State("Open").Time != 7*time.Second || s.Runs != 2 {
		t.Errorf("%+v", s.States())
	}
}

func TestSummaryWithGaps(t *testing.T) {
	events := twoRuns(t)
	gap := fsm.Event{Kind: fsm.KindGap, Seq: 2, Run: "r1", Time: events[4].Time, MonoNS: events[4].MonoNS, From: "Closed", To: "Closed"}
	s := summaryOf(slices.Replace(slices.Clone(events), 1, 5, gap))
	if s.Gaps != 1 || s.Missing != 4 || s.Unseen != 6*time.Second || s.State("Closed").Time != 2*time.Second || s.State("Open").Time != 5*time.Second {
		t.Errorf("%+v, %+v", s, s.States())
	}
	if s := summaryOf(append(slices.Clone(events[:1]), gap)); s.Gaps != 1 || s.Missing != 1 || s.LastSeq != 2 {
		t.Errorf("a gap at the end: %+v", s)
	}
}

func TestSummaryIsBounded(t *testing.T) {
	var s fsm.Summary
	for i := range 3000 {
		to := fsm.State(fmt.Sprint(i))
		s.Apply(fsm.Event{Kind: fsm.KindTransition, Seq: uint64(i + 1), Run: to2(i), From: "x", To: to, Trigger: "t"})
	}
	if len(s.States()) != 1000 || len(s.Edges()) != 1000 || s.Overflow == 0 || s.Events != 3000 {
		t.Errorf("%d states, %d edges, overflow %d", len(s.States()), len(s.Edges()), s.Overflow)
	}
}

func to2(i int) string { return fmt.Sprint("r", i%2) }

func TestProjectStopsAtTheError(t *testing.T) {
	var a, b fsm.Summary
	err := fsm.Project(func(yield func(fsm.Event, error) bool) {
		_ = yield(fsm.Event{Seq: 1, Kind: fsm.KindNote}, nil) && yield(fsm.Event{}, errFull)
	}, &a, &b)
	if !errors.Is(err, errFull) || a.Events != 1 || b.Events != 1 {
		t.Errorf("%v after %d and %d events", err, a.Events, b.Events)
	}
}

func TestDurations(t *testing.T) {
	var d fsm.Durations
	if d.Quantile(0.5) != 0 {
		t.Error("nothing has a median")
	}
	random := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for range 5000 {
		v := time.Duration(random.ExpFloat64()*float64(10*time.Minute)) / time.Millisecond * time.Millisecond
		if random.IntN(2) == 0 {
			v /= 20000
		}
		all = append(all, v)
		d.Add(v)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.25, 0.5, 0.75, 0.95, 0.999} {
		want := all[int(q*5000)]
		if got := d.Quantile(q); (got - want).Abs() > want/32+time.Millisecond {
			t.Errorf("quantile %v is %s, want %s", q, got, want)
		}
	}
	if d.Quantile(1) != all[4999] || d.Max != all[4999] || d.Count != 5000 {
		t.Errorf("%+v", d)
	}
	d = fsm.Durations{}
	for _, v := range []time.Duration{-time.Second, 63 * time.Millisecond, 1<<63 - 1} {
		d.Add(v)
	}
	if d.Quantile(0) != 0 || d.Quantile(0.5) != 63*time.Millisecond || d.Quantile(0.9) < 250*365*24*time.Hour {
		t.Errorf("extremes: %s, %s, %s", d.Quantile(0), d.Quantile(0.5), d.Quantile(0.9))
	}
}

func TestFingerprint(t *testing.T) {
	states := []fsm.State{"A", "B"}
	row := func(trigger fsm.Trigger, doc string, to fsm.State, from ...fsm.State) fsm.Row {
		return fsm.Row{From: from, Trigger: trigger, To: to, Doc: doc}
	}
	table := func(initial fsm.State, states []fsm.State, rows ...fsm.Row) string {
		return must(fsm.NewTable(initial, states, rows)).Fingerprint()
	}
	base := table("A", states, row("go", "doc", "B", "A", "B"), row("back", "doc", "A", "B"))
	if len(base) != 16 {
		t.Errorf("%q", base)
	}
	same := []string{
		table("A", []fsm.State{"B", "A"}, row("back", "x", "A", "B"), row("go", "y", "B", "A"), row("go", "z", "B", "B")),
	}
	other := []string{
		table("B", states, row("go", "doc", "B", "A", "B"), row("back", "doc", "A", "B")),
		table("A", states, row("go", "doc", "B", "A", "B")),
		table("A", states, row("go", "doc", "B", "A", "B"), row("back", "doc", "B", "A")),
		table("A", append(states, "C"), row("go", "doc", "B", "A", "B"), row("back", "doc", "A", "B"), row("on", "doc", "C", "A")),
		table("A", states, row("go", "doc", "B", "A", "B"), row("Back", "doc", "A", "B")),
	}
	for i, f := range same {
		if f != base {
			t.Errorf("same %d: %s, not %s", i, f, base)
		}
	}
	for i, f := range other {
		if f == base || slices.Contains(other[:i], f) {
			t.Errorf("other %d: %s", i, f)
		}
	}
}
