package fsm_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
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
				_, _ = m.Record(step, "step", fsm.Evidence{})
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

// What a summary returns is the caller's.
func TestSummaryReturnsCopies(t *testing.T) {
	s := summaryOf(twoRuns(t))
	edges, states := s.Edges(), s.States()
	edges[0].Durations.Add(time.Hour)
	edges[1].To, states[0].Time = "nowhere", 0
	if d := s.Edges()[0].Durations; d.Count != 2 || d.Quantile(0.5) != time.Second || s.Edges()[1].To != "Closed" || s.States()[0].Time != 4*time.Second {
		t.Errorf("%+v, %+v", s.Edges(), s.States())
	}
	before := edges[2].Durations.Quantile(0)
	for _, e := range twoRuns(t) {
		e.Run, e.InStateMS = "again "+e.Run, 0
		s.Apply(e)
	}
	if edges[2].Durations.Quantile(0) != before {
		t.Error("what was returned grows on")
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

// A cycle counts as what it stands for. Its transitions have taken their mean; the
// first of them counts from when its From was entered.
func TestSummaryWithACycle(t *testing.T) {
	var log []fsm.Event
	for i, e := range []fsm.Event{
		{Kind: fsm.KindTransition, From: "Open", To: "Closed", Trigger: "Close"},
		{Kind: fsm.KindNote, From: "Closed", To: "Closed"},
		{Kind: fsm.KindCycle, From: "Closed", To: "Closed", Trigger: "Open", Via: "Open", Back: "Close", Count: 4, InStateMS: 600},
		{Kind: fsm.KindNote, Seq: 3, From: "Closed", To: "Closed"},
	} {
		e.Seq, e.Run, e.MonoNS = e.Seq+uint64(i+1), "r1", int64(i)*1e9
		log = append(log, e)
	}
	s := summaryOf(log)
	if s.Events != 7 || s.Transitions != 5 || s.LastSeq != 7 || s.Missing != 0 || s.State("Open") != (fsm.StateSummary{State: "Open", Visits: 2, Time: 600 * time.Millisecond}) ||
		s.State("Closed") != (fsm.StateSummary{State: "Closed", Visits: 3, Time: 2400 * time.Millisecond}) {
		t.Errorf("%+v, %+v", s, s.States())
	}
	var edges []string
	for _, e := range s.Edges() {
		edges = append(edges, fmt.Sprintf("%s %s %s %d %s %s", e.From, e.Trigger, e.To, e.Durations.Count, e.Durations.Total, e.Durations.Quantile(1)))
	}
	if diff := cmp.Diff([]string{"Open Close Closed 3 600ms 300ms", "Closed Open Open 2 1.4s 700ms"}, edges); diff != "" {
		t.Errorf("edges (-want +got):\n%s", diff)
	}
	if s := summaryOf(log[2:]); s.Events != 5 || s.State("Closed").Time != time.Second || s.State("Open").Time != 0 {
		t.Errorf("the log begins with it: %+v, %+v", s, s.States())
	}
}

// What stands before a gap and behind it may be missing, too.
func TestSummaryAroundAGap(t *testing.T) {
	const ms = int64(time.Millisecond)
	note := func(seq uint64, mono, in int64) fsm.Event {
		return fsm.Event{Kind: fsm.KindNote, Seq: seq, Run: "r1", MonoNS: mono, InStateMS: in, From: "Open", To: "Open"}
	}
	gap := func(seq uint64, mono int64) fsm.Event {
		e := note(seq, mono, 0)
		e.Kind = fsm.KindGap
		return e
	}
	ofAnother := func(e fsm.Event) fsm.Event { e.Run = "r2"; return e }
	for name, tt := range map[string]struct {
		events  []fsm.Event
		missing uint64
		unseen  int64 // in ms
		open    time.Duration
	}{
		"a gap":                    {[]fsm.Event{note(1, ms, 1), gap(2, 3*ms), note(5, 4*ms, 1)}, 3, 2, 2 * time.Millisecond},
		"a hole before it":         {[]fsm.Event{note(1, ms, 1), gap(4, 3*ms), note(5, 4*ms, 1)}, 3, 2, 2 * time.Millisecond},
		"no whole millisecond":     {[]fsm.Event{note(1, ms, 1), gap(2, 3*ms), note(5, 4*ms+ms/2, 1)}, 3, 2, 2*time.Millisecond + time.Millisecond/2},
		"a hole behind it":         {[]fsm.Event{note(1, ms, 1), gap(2, 3*ms), note(4, 4*ms, 1), note(6, 8*ms, 1)}, 3, 2, 6 * time.Millisecond},
		"a clock that went back":   {[]fsm.Event{note(1, 9*ms, 9), gap(2, 3*ms), note(3, 4*ms, 1)}, 1, 0, 10 * time.Millisecond},
		"the begin of another run": {[]fsm.Event{note(1, ms, 1), ofAnother(gap(2, 3*ms)), ofAnother(note(4, 4*ms, 1))}, 2, 3, 2 * time.Millisecond},
		"a snapshot of another run": {[]fsm.Event{
			note(1, ms, 1), ofAnother(snapshotOf(note(3, 9*ms, 1), func(*fsm.Event) {})), ofAnother(note(4, 10*ms, 2)),
		}, 2, 0, 2 * time.Millisecond},
	} {
		s := summaryOf(tt.events)
		if s.Missing != tt.missing || s.Unseen != time.Duration(tt.unseen*ms) || s.State("Open").Time != tt.open || s.Overlaps != 0 {
			t.Errorf("%s: %d missing in %s, %+v", name, s.Missing, s.Unseen, s.States())
		}
	}
}

// Events that are not in the log, and no gap tells of it, are counted. Their time is
// that of the state which is before and behind them, or else no state's: but InStateMS
// tells when the last of them was.
func TestSummaryOfALogWithHoles(t *testing.T) {
	all := twoRuns(t)
	without := func(seqs ...uint64) []fsm.Event {
		return slices.DeleteFunc(slices.Clone(all), func(e fsm.Event) bool { return slices.Contains(seqs, e.Seq) })
	}
	// Without a journal, each run begins with 1.
	renumbered := without(8)
	for i := range renumbered {
		if renumbered[i].Run == "r2" {
			renumbered[i].Seq -= 7
		}
	}
	for name, tt := range map[string]struct {
		events         []fsm.Event
		missing        uint64
		unseen         time.Duration
		closed, opened time.Duration
	}{
		"none":                         {all, 0, 0, 4 * time.Second, 9 * time.Second},
		"a rejected trigger":           {without(3), 1, 0, 4 * time.Second, 9 * time.Second},
		"a transition":                 {without(4), 1, 2 * time.Second, 4 * time.Second, 7 * time.Second},
		"two transitions":              {without(4, 5), 2, 3 * time.Second, 3 * time.Second, 7 * time.Second},
		"the begin of a run":           {without(8), 1, 0, 4 * time.Second, 9 * time.Second},
		"all of a run but the end":     {without(8, 9), 2, 2 * time.Second, 4 * time.Second, 7 * time.Second},
		"the begin, each begins at 1":  {renumbered, 1, 0, 4 * time.Second, 9 * time.Second},
		"the begin of the log":         {all[3:], 0, 0, 3 * time.Second, 5 * time.Second},
		"a snapshot in place of three": {slices.Insert(without(3, 4, 5), 2, snapshotOf(all[4], func(*fsm.Event) {})), 3, 5 * time.Second, 3 * time.Second, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			s := summaryOf(tt.events)
			if s.Missing != tt.missing || s.Unseen != tt.unseen || s.State("Closed").Time != tt.closed || s.State("Open").Time != tt.opened ||
				s.Gaps+s.Overlaps != 0 || s.LastSeq != tt.events[len(tt.events)-1].Seq {
				t.Errorf("%d missing in %s, %+v", s.Missing, s.Unseen, s.States())
			}
		})
	}
	hostile := fsm.Event{Kind: fsm.KindNote, Seq: 9, Run: "r1", MonoNS: 1e9, InStateMS: 1<<63 - 1, From: "Open", To: "Open"}
	if s := summaryOf([]fsm.Event{all[0], hostile}); s.Missing != 7 || s.Unseen != 0 || s.State("Open").Time != time.Second {
		t.Errorf("%+v, %+v", s, s.States())
	}
}

// Two or three processes write under one name. What each did is counted, but only
// the times between two events of one that nothing came between.
func TestSummaryOfOverlappingRuns(t *testing.T) {
	runs := make(map[string][]fsm.Event)
	for _, run := range []string{"a", "b", "c"} {
		for _, e := range twoRuns(t)[:4] {
			e.Run = run
			runs[run] = append(runs[run], e)
		}
	}
	for order, want := range map[string]struct {
		overlaps uint64
		runs     int
		opened   time.Duration
	}{
		"aaaabbbbcccc": {0, 3, 12 * time.Second},
		"aabbbbaa":     {1, 2, 4*time.Second + 2*time.Second},
		"abababab":     {6, 2, 0},
		"abcabcabc":    {6, 3, 0},
		"aabbaabb":     {2, 2, 4 * time.Second},
	} {
		at := make(map[string]int)
		var s fsm.Summary
		for _, run := range strings.Split(order, "") {
			s.Apply(runs[run][at[run]])
			at[run]++
		}
		if s.Overlaps != want.overlaps || s.Runs != want.runs || s.State("Open").Time != want.opened || s.Missing != 0 || s.Events != uint64(len(order)) {
			t.Errorf("%s: %+v, %+v", order, s, s.States())
		}
	}
	var s fsm.Summary // remembers no more than 16 runs
	for _, last := range []int{16, 17} {
		s = fsm.Summary{}
		for run := range last + 1 {
			s.Apply(fsm.Event{Kind: fsm.KindNote, Seq: 1, Run: fmt.Sprint(run)})
		}
		s.Apply(fsm.Event{Kind: fsm.KindNote, Seq: 2, Run: "0"})
		if want := uint64(17 - last); s.Overlaps != want {
			t.Errorf("behind %d runs: %d overlaps", last, s.Overlaps)
		}
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
		want := all[max(1, int(math.Ceil(q*5000)))-1]
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

// A quantile is the shortest that at least such a share does not exceed.
func TestQuantileOfFew(t *testing.T) {
	for _, tt := range []struct {
		n, ms int // of 1 to n milliseconds
		q     float64
	}{
		{1, 1, 0}, {1, 1, 0.5}, {1, 1, 1}, {2, 1, 0.5}, {2, 2, 0.51}, {3, 2, 0.5}, {4, 2, 0.5}, {4, 3, 0.75},
		{20, 10, 0.5}, {20, 19, 0.95}, {20, 20, 0.951}, {20, 20, 0.999}, {21, 20, 0.95}, {60, 1, 0}, {50, 7, 0.14}, {50, 28, 0.56},
		{20, 1, -1}, {20, 20, 2},
	} {
		var d fsm.Durations
		for i := range tt.n {
			d.Add(time.Duration(i+1) * time.Millisecond)
		}
		if got := d.Quantile(tt.q); got != time.Duration(tt.ms)*time.Millisecond {
			t.Errorf("quantile %v of 1 to %d ms is %s, want %d ms", tt.q, tt.n, got, tt.ms)
		}
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
