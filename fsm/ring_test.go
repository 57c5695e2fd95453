package fsm_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

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
	trips := roundTrips()
	if n := testing.AllocsPerRun(100, func() { _ = ring.Append(trips()) }); n != 0 || len(ring.Events()) > 16 {
		t.Errorf("%v allocations for what is folded", n)
	}
}

// roundTrips returns a function that returns the next event of a machine that goes to
// and fro, which no ring can do without looking at it.
func roundTrips() func() fsm.Event {
	leave := fsm.Event{Kind: fsm.KindTransition, Run: "a0f3", Machine: "orders", From: "Consuming", To: "HeartbeatCheck", Trigger: "DrainTimeout"}
	back := leave
	back.From, back.To, back.Trigger = leave.To, leave.From, "HeartbeatOK"
	seq := uint64(0)
	return func() fsm.Event {
		seq++
		e := leave
		if seq%2 == 0 {
			e = back
		}
		e.Seq, e.MonoNS = seq, int64(seq)*1e9
		return e
	}
}

// idleWeek is how often something happens in a week that happens each two seconds.
const idleWeek = 302_400

// counted is a ring, and counts all that it was ever given.
type counted struct {
	*fsm.Ring
	whole fsm.Summary
}

func (c *counted) Append(e fsm.Event) error {
	c.whole.Apply(e)
	return c.Ring.Append(e)
}

func TestRingFoldsWhatRepeats(t *testing.T) {
	clock, log := newClock(), &counted{Ring: fsm.NewRing(100)}
	table := doorTable(t)
	m := newMachine(t, table, fsm.Options{Run: "r1", Name: "door", Journal: log, Now: clock.Now})
	_, _ = m.Record(fsm.KindBoot, "", fsm.Evidence{})
	for range 2 {
		clock.move(time.Minute)
		_, _ = m.Fire("Open", fsm.Evidence{Error: "kicked in"})
		clock.move(time.Minute)
		fire(t, m, "Close", "Knock")
	}
	calm := fsm.Evidence{Details: details(t, `{"gen":1}`)}
	for range idleWeek {
		clock.move(1999 * time.Millisecond)
		_, _ = m.Fire("Open", calm)
		clock.move(999 * time.Microsecond)
		_, _ = m.Fire("Close", calm)
	}
	_, _ = m.Record(fsm.KindNote, "seen", fsm.Evidence{})

	events := log.Events()
	if len(events) != 1+2*3+1+2+1 {
		t.Fatalf("holds %d:\n%+v", len(events), events)
	}
	cycle, before, behind := events[7], events[6], events[8]
	want := fsm.Event{
		V: fsm.Schema, Kind: fsm.KindCycle, Seq: 8, Run: "r1", Machine: "door", From: "Closed", To: "Closed", Trigger: "Open", Via: "Open", Back: "Close",
		Count: 2 * (idleWeek - 1), Time: behind.Time.Add(-1999 * time.Millisecond), MonoNS: behind.MonoNS - 1999e6,
		InStateMS: (idleWeek - 1) * 999 / 1000, Evidence: calm,
	}
	if diff := cmp.Diff(want, cycle, byValue); diff != "" {
		t.Errorf("the cycle (-want +got):\n%s", diff)
	}
	if before.Seq != 7 || behind.Seq != cycle.LastSeq()+1 || behind.Kind != fsm.KindTransition || behind.Trigger != "Open" {
		t.Errorf("between\n%+v and\n%+v", before, behind)
	}
	if state, err := fsm.Replay(table, slices.Values(events)); err != nil || state != m.State() {
		t.Errorf("Replay: %s, %v", state, err)
	}
	if last, _ := log.Last(); last != m.Last() {
		t.Errorf("Last = %+v, want %+v", last, m.Last())
	}
	sameCounts(t, &log.whole, events)
}

// tester is a testing.TB or a *rapid.T.
type tester interface {
	Helper()
	Errorf(string, ...any)
}

// sameCounts compares what a ring holds, if it has forgotten nothing, with the whole
// log. Only what is shorter than a millisecond in each cycle, and how the durations of
// its transitions differed, the ring does not know any more.
func sameCounts(t tester, want *fsm.Summary, ring []fsm.Event) {
	t.Helper()
	got := summaryOf(ring)
	if got.Events != want.Events || got.Transitions != want.Transitions || got.Rejected != want.Rejected || got.LastSeq != want.LastSeq ||
		got.Missing != 0 || got.Runs != want.Runs || got.Between != want.Between || got.Unseen != 0 {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	cycles := 0
	for _, e := range ring {
		if e.Kind == fsm.KindCycle {
			cycles++
		}
	}
	near := func(a, b time.Duration, each uint64) bool {
		return (a - b).Abs() <= time.Duration(cycles)*time.Millisecond+time.Duration(each)*time.Millisecond
	}
	for _, state := range want.States() {
		if other := got.State(state.State); other.Visits != state.Visits || !near(other.Time, state.Time, 0) {
			t.Errorf("%+v, want %+v", other, state)
		}
	}
	edges := got.Edges()
	for _, edge := range want.Edges() {
		i := slices.IndexFunc(edges, func(e fsm.EdgeSummary) bool {
			return e.From == edge.From && e.Trigger == edge.Trigger && e.To == edge.To
		})
		// Each duration of the whole log is cut to a millisecond.
		if i < 0 || edges[i].Durations.Count != edge.Durations.Count || !near(edges[i].Durations.Total, edge.Durations.Total, edge.Durations.Count) {
			t.Errorf("%+v, want %+v", edges, edge)
		}
	}
}

// What is not quite the same is kept.
func TestRingKeepsWhatDiffers(t *testing.T) {
	at := time.Duration(0)
	trip := func(change func(leave, back *fsm.Event)) []fsm.Event {
		e := fsm.Event{V: fsm.Schema, Kind: fsm.KindTransition, Run: "r", Machine: "m", From: "A", To: "B", Trigger: "Go"}
		back := e
		back.From, back.To, back.Trigger = "B", "A", "Come"
		change(&e, &back)
		return []fsm.Event{e, back}
	}
	plain := func(*fsm.Event, *fsm.Event) {}
	odd := details(t, `{"x":1}`)
	for name, tt := range map[string]struct {
		change func(leave, back *fsm.Event)
		always bool // also if the next trip is the same
	}{
		"an error":         {func(leave, _ *fsm.Event) { leave.Error = "lost" }, true},
		"a note":           {func(_, back *fsm.Event) { back.Note = "found" }, true},
		"a name":           {func(_, back *fsm.Event) { back.Name = "found" }, true},
		"details":          {func(leave, back *fsm.Event) { leave.Details, back.Details = odd, odd }, false},
		"details of one":   {func(_, back *fsm.Event) { back.Details = odd }, true},
		"another run":      {func(leave, back *fsm.Event) { leave.Run, back.Run = "s", "s" }, false},
		"another machine":  {func(leave, back *fsm.Event) { leave.Machine, back.Machine = "n", "n" }, false},
		"two machines":     {func(leave, _ *fsm.Event) { leave.Machine = "n" }, true},
		"another trigger":  {func(leave, _ *fsm.Event) { leave.Trigger = "Run" }, false},
		"another way back": {func(_, back *fsm.Event) { back.Trigger = "Run" }, false},
		"another state":    {func(leave, back *fsm.Event) { leave.To, back.From = "C", "C" }, false},
		"another kind":     {func(_, back *fsm.Event) { back.Kind = fsm.KindRejected }, true},
		"a hole":           {func(_, back *fsm.Event) { back.Seq = 1 }, true},
		"it stays there":   {func(leave, back *fsm.Event) { leave.To, back.From = "A", "A" }, true},
		"no way back":      {func(_, back *fsm.Event) { back.To = "C" }, true},
	} {
		logs := map[string][]fsm.Event{
			"before":  slices.Concat(trip(tt.change), trip(plain)),
			"behind":  slices.Concat(trip(plain), trip(tt.change)),
			"between": slices.Concat(trip(plain), trip(tt.change), trip(plain)),
		}
		if tt.always {
			logs["again and again"] = slices.Concat(trip(tt.change), trip(tt.change), trip(tt.change))
		}
		for order, log := range logs {
			ring, seq := fsm.NewRing(20), uint64(0)
			for i := range log {
				at += time.Second
				seq += log[i].Seq + 1 // further by one, if there is to be a hole
				log[i].Seq, log[i].MonoNS = seq, int64(at)
				_ = ring.Append(log[i])
			}
			if diff := cmp.Diff(log, ring.Events(), byValue); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", name, order, diff)
			}
		}
	}
	ring := fsm.NewRing(20) // but these are folded
	for i, e := range slices.Concat(trip(plain), trip(plain)) {
		e.Seq = uint64(i + 1)
		_ = ring.Append(e)
	}
	events := ring.Events()
	if len(events) != 3 || events[0].Kind != fsm.KindCycle {
		t.Errorf("%+v", events)
	}
	// And what a ring has kept is taken by another one, which goes on from there if it
	// is of the same kind.
	for other, want := range map[fsm.Trigger]uint64{"Come": 4, "Run": 2} {
		second := fsm.NewRing(20)
		events[0].Back, events[0].InStateMS = other, 5
		for i, e := range append(slices.Clone(events), trip(plain)...) {
			e.Seq, e.MonoNS = uint64(i+1), int64(i)*1e9
			if i > 0 {
				e.Seq++
			}
			_ = second.Append(e)
		}
		cycle := second.Events()[0]
		if cycle.Count != want || want == 4 && cycle.InStateMS != 1005 {
			t.Errorf("back by %s: %+v", other, second.Events())
		}
	}
}

// Whatever a machine does, what a ring has kept of it leads to the same state, and
// counts the same if nothing was forgotten.
func TestRingReplays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, clock := drawTable(t), newClock()
		n := rapid.IntRange(1, 40).Draw(t, "n")
		log := &counted{Ring: fsm.NewRing(n)}
		all := table.Triggers()
		var m *fsm.Machine
		for run := range rapid.IntRange(1, 3).Draw(t, "runs") {
			m = must(fsm.New(table, fsm.Options{Run: fmt.Sprintf("r%d", run), Journal: log, Now: clock.Now}))
			for range rapid.IntRange(0, 20).Draw(t, "steps") {
				trips := 1
				if rapid.Bool().Draw(t, "again") {
					trips = rapid.IntRange(2, 6).Draw(t, "trips")
				}
				pair := [2]fsm.Trigger{rapid.SampledFrom(append(all, "Unheard")).Draw(t, "leave"), rapid.SampledFrom(append(all, "Unheard")).Draw(t, "back")}
				for range trips {
					for _, trigger := range pair {
						clock.move(time.Duration(rapid.Int64Range(0, 3e6).Draw(t, "ns")))
						_, _ = m.Fire(trigger, fsm.Evidence{})
					}
				}
			}
			m.Close()
		}
		events := log.Events()
		if len(events) > n {
			t.Fatalf("%d events of %d", len(events), n)
		}
		state, err := fsm.Replay(table, slices.Values(events))
		if err != nil || len(events) > 0 && state != m.State() {
			t.Fatalf("Replay: %s, %v; live %s\n%+v", state, err, m.State(), events)
		}
		if last, _ := log.Last(); last != m.Last() {
			t.Fatalf("Last = %+v, want %+v", last, m.Last())
		}
		if len(events) > 0 && events[0].Seq == 1 {
			sameCounts(t, &log.whole, events)
		}
		for i, e := range events {
			if i > 0 && (e.Seq != events[i-1].LastSeq()+1 || e.Kind == fsm.KindCycle && events[i-1].Kind == fsm.KindCycle) {
				t.Fatalf("%+v behind %+v", e, events[i-1])
			}
		}
	})
}

// A machine that continues a log which a ring has kept, numbers on.
func TestMachineContinuesARing(t *testing.T) {
	ring := fsm.NewRing(10)
	m := newMachine(t, doorTable(t), fsm.Options{Journal: ring, Run: "r1"})
	fire(t, m, "Open", "Close", "Open", "Close", "Open", "Close")
	cycle := &book{events: ring.Events()[:1]}
	m = newMachine(t, doorTable(t), fsm.Options{Journal: cycle, Run: "r2"})
	fire(t, m, "Knock")
	if e := m.Last(); e.Seq != 5 {
		t.Errorf("%+v behind %+v", e, cycle.events[0])
	}
}
