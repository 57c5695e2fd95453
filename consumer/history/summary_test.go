package history_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

const ms = time.Millisecond

// idleDay is a day without messages, and with three outages: of 500 ms, 4 s and a minute.
func idleDay(t testing.TB) *writer {
	w := newWriter(t).begin().wait(30 * ms).connect()
	w.idle(6*time.Hour).fire(consumer.ConnectionError, reset).revive(0, 500*ms, reset)
	w.idle(6 * time.Hour).wait(2 * time.Second).fire(consumer.DrainTimeout).wait(2 * time.Second)
	w.fire(consumer.HeartbeatFailed, frozen).revive(3, time.Second, refused)
	w.idle(6*time.Hour).fire(consumer.ChannelError, deleted).revive(59, time.Second, missing)
	return w.idle(6 * time.Hour).fire(consumer.Stop)
}

func summarize(log []fsm.Event) history.Report {
	var s history.Summary
	for _, e := range log {
		s.Apply(e)
	}
	return s.Report()
}

func TestSummaryIdleDay(t *testing.T) {
	w := idleDay(t)
	got := summarize(w.log)
	const cycles = 4 * 7200
	const down = 500*ms + 4*time.Second + time.Minute
	longest := morning.Add(50*ms + 18*time.Hour + 8*time.Second + 500*ms)
	want := history.Report{
		First: morning, Last: w.clock,
		Events: 1 + 2 + 2*cycles + 2 + 1 + 5 + 61 + 1, Runs: 1,
		Up: 24*time.Hour + 4*time.Second, Down: down + 20*ms, Stopped: 30 * ms,
		InState: map[fsm.State]time.Duration{
			consumer.Disconnected:   30 * ms,
			consumer.Connecting:     20 * ms,
			consumer.Consuming:      cycles*2990*ms + 2*time.Second,
			consumer.HeartbeatCheck: cycles*10*ms + 2*time.Second,
			consumer.Reviving:       down,
		},
		Outages: 3, Revivals: map[string]int{"network": 1, "heartbeat": 1, "cancelled": 1},
		Recoveries: 3, RecoverP50: 4 * time.Second, RecoverP95: time.Minute, RecoverMax: time.Minute,
		Longest: history.Outage{
			Begin: longest, End: longest.Add(time.Minute), Duration: time.Minute, Ending: consumer.Revived, Attempts: 60,
			Cause: history.Cause{
				Trigger: consumer.ChannelError, Class: deleted.Class, Error: deleted.Error, Endpoint: deleted.Endpoint, Queue: deleted.Queue,
			},
		},
		Attempts: 1 + 1 + 4 + 60, MostAttempts: 60,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	share, ok := got.Availability()
	if up, should := float64(24*time.Hour+4*time.Second), float64(24*time.Hour+4*time.Second+down+20*ms); !ok || share != up/should {
		t.Errorf("availability %v, %v, want %v", share, ok, up/should)
	}
}

// routine is what is logged at debug level.
func routine(e fsm.Event) bool {
	return e.Trigger == consumer.DrainTimeout || e.Trigger == consumer.HeartbeatOK ||
		e.Trigger == consumer.ReviveFailed && e.Attempt&(e.Attempt-1) != 0
}

// good is what is logged at info level.
func good(e fsm.Event) bool {
	return e.Kind != fsm.KindTransition || slices.Contains([]fsm.Trigger{consumer.Connect, consumer.Connected, consumer.Revived, consumer.Stop}, e.Trigger)
}

// A log may lack what is not logged at its level. What it comes to is the same.
func TestSummaryLogLevels(t *testing.T) {
	whole := idleDay(t).log
	want := summarize(whole)
	t.Run("info", func(t *testing.T) {
		got := summarize(slices.DeleteFunc(slices.Clone(whole), routine))
		if got.Events+got.Missing != want.Events || got.Missing < 2*4*7200 {
			t.Errorf("%d events and %d missing of %d", got.Events, got.Missing, want.Events)
		}
		if up := got.InState[consumer.Consuming] + got.InState[consumer.HeartbeatCheck]; up != want.Up {
			t.Errorf("%v in the states that are up, want %v", up, want.Up)
		}
		if got.InState[consumer.HeartbeatCheck] != 2*time.Second { // that before HeartbeatFailed: InStateMS tells
			t.Errorf("%v in HeartbeatCheck", got.InState[consumer.HeartbeatCheck])
		}
		got.Events, got.Missing, got.InState = want.Events, 0, want.InState
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	// Without Revived, and Connected: when that was follows from how long Consuming had lasted. It must not
	// have been idle since.
	t.Run("warn", func(t *testing.T) {
		w := newWriter(t).begin().fire(consumer.Connect).wait(time.Second).fire(consumer.ConnectionError, refused)
		w.revive(8, time.Second, refused).wait(time.Hour).fire(consumer.ConnectionError, reset)
		w.revive(1, time.Second, refused).wait(time.Hour).fire(consumer.ChannelError, deleted)
		log := slices.DeleteFunc(w.log, func(e fsm.Event) bool { return routine(e) || good(e) })
		got := summarize(log)
		if got.Up != 2*time.Hour || got.Down != 11*time.Second || got.Outages != 3 || got.RecoverMax != 2*time.Second {
			t.Errorf("%+v", got)
		}
	})
}

// Outages, and what ends them.
func TestSummaryOutages(t *testing.T) {
	type outage struct {
		duration, unrecorded time.Duration
		cause                string
		ending               fsm.Trigger
		attempts             int
		cut                  bool
	}
	tests := []struct {
		name  string
		play  func(*writer)
		from  int // index of the first event of the log
		count int // of outages
		down  time.Duration
		want  outage // the longest
	}{
		{"a connect", func(w *writer) { w.connect().wait(time.Hour).fire(consumer.Stop) }, 0, 0, 20 * ms, outage{}},
		{"first connect fails", func(w *writer) {
			w.fire(consumer.Connect).wait(time.Second).fire(consumer.ConnectionError, refused).revive(1, time.Second, missing).idle(time.Minute)
		}, 0, 1, 3 * time.Second, outage{3 * time.Second, 0, "network", consumer.Revived, 3, false}},
		{"stopped while connecting", func(w *writer) {
			w.fire(consumer.Connect).wait(time.Second).fire(consumer.Stop)
		}, 0, 0, time.Second, outage{}},
		{"stopped while reviving", func(w *writer) {
			w.connect().fire(consumer.ConnectionError, reset).wait(time.Second).fire(consumer.ReviveFailed, attempt(refused, 1)).wait(time.Second).fire(consumer.Stop)
			w.wait(time.Hour).begin().connect()
		}, 0, 1, 2040 * ms, outage{2 * time.Second, 0, "network", consumer.Stop, 1, false}},
		{"still reviving", func(w *writer) {
			w.connect().fire(consumer.ConnectionError, reset).wait(time.Second).fire(consumer.ReviveFailed, attempt(refused, 1))
		}, 0, 1, 1020 * ms, outage{time.Second, 0, "network", "", 1, false}},
		{"gave up, and was started again", func(w *writer) {
			w.connect().idle(time.Minute).fire(consumer.ConnectionError, reset).wait(time.Second).fire(consumer.FatalError, denied)
			w.wait(time.Minute).begin().wait(time.Second).connect().idle(time.Minute)
		}, 0, 1, 62040 * ms, outage{62020 * ms, 0, "network", consumer.Connected, 1, false}},
		{"gave up connecting, twice", func(w *writer) {
			w.fire(consumer.Connect).wait(time.Second).fire(consumer.FatalError, denied)
			w.wait(time.Minute).begin().fire(consumer.Connect).wait(time.Second).fire(consumer.FatalError, missing)
			w.wait(time.Minute).begin().connect()
		}, 0, 1, 122020 * ms, outage{122020 * ms, 0, "auth", consumer.Connected, 3, false}},
		{"crashed", func(w *writer) {
			w.connect().idle(time.Minute).wait(time.Second).begin().wait(time.Second).connect().idle(time.Minute)
		}, 0, 1, 2040 * ms, outage{2020 * ms, time.Second, "ProcessRestarted", consumer.Connected, 1, false}},
		{"crashed while reviving", func(w *writer) {
			w.connect().idle(time.Minute).fire(consumer.ConnectionError, reset).wait(time.Second).fire(consumer.ReviveFailed, attempt(refused, 1))
			w.wait(time.Minute).begin().connect().idle(time.Minute)
		}, 0, 1, 61040 * ms, outage{61020 * ms, time.Minute, "network", consumer.Connected, 2, false}},
		{"crashed while reviving, and cannot connect", func(w *writer) {
			w.connect().idle(time.Minute).fire(consumer.ConnectionError, reset).wait(time.Second).fire(consumer.ReviveFailed, attempt(refused, 1))
			w.begin().fire(consumer.Connect).wait(time.Second).fire(consumer.ConnectionError, refused).revive(1, time.Second, refused)
		}, 0, 1, 4020 * ms, outage{4 * time.Second, 0, "network", consumer.Revived, 4, false}},
		{"begins while reviving", func(w *writer) {
			w.connect().fire(consumer.ConnectionError, reset).revive(5, time.Second, missing).idle(time.Minute)
		}, 5, 1, 4 * time.Second, outage{4 * time.Second, 0, "not_found", consumer.Revived, 6, true}},
		{"begins with the restart", func(w *writer) {
			w.connect().idle(time.Minute).begin().wait(time.Second).connect()
		}, 43, 1, 1020 * ms, outage{1020 * ms, 0, "ProcessRestarted", consumer.Connected, 1, true}},
		{"begins while consuming", func(w *writer) {
			w.connect().idle(time.Minute).fire(consumer.ConnectionError, reset).revive(0, time.Second, reset)
		}, 10, 1, time.Second, outage{time.Second, 0, "network", consumer.Revived, 1, false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWriter(t).begin()
			tt.play(w)
			r := summarize(w.log[tt.from:])
			l := r.Longest
			got := outage{l.Duration, l.Unrecorded, l.Cause.Name(), l.Ending, l.Attempts, l.Cut}
			if r.Outages != tt.count || r.Down != tt.down || got != tt.want {
				t.Errorf("%d outages, down %v, longest %+v\nwant %d, %v, %+v", r.Outages, r.Down, got, tt.count, tt.down, tt.want)
			}
			if span := r.Last.Sub(r.First); r.Up+r.Down+r.Stopped+r.Unknown != span {
				t.Errorf("up %v + down %v + stopped %v + unknown %v is not %v", r.Up, r.Down, r.Stopped, r.Unknown, span)
			}
			if (l.End.IsZero()) != (l.Ending == "") || !l.End.IsZero() && l.End.Sub(l.Begin) != l.Duration {
				t.Errorf("from %v to %v (%q) in %v", l.Begin, l.End, l.Ending, l.Duration)
			}
		})
	}
}

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
	// Two processes, one name.
	if r = summarize([]fsm.Event{a.log[0], b.log[0], a.log[1], b.log[1]}); r.Overlaps != 2 {
		t.Errorf("%d overlaps", r.Overlaps)
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
			between.Kind, between.Class = fsm.KindNote, "network"
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

// Any part of any log adds up, and so do its parts.
func TestSummaryAddsUp(t *testing.T) {
	for seed := range uint64(40) {
		log := wander(t, seed, 300)
		random := rand.New(rand.NewPCG(seed, 2))
		from := random.IntN(len(log) - 2)
		part := log[from : from+2+random.IntN(len(log)-from-2)]
		r := summarize(part)
		if sum := r.Up + r.Down + r.Stopped + r.Unknown; sum != r.Last.Sub(r.First) {
			t.Fatalf("seed %d: %v is not %v: %+v", seed, sum, r.Last.Sub(r.First), r)
		}
		var states time.Duration
		for _, d := range r.InState {
			states += d
		}
		if sum := states + r.Unknown + r.Unrecorded; sum != r.Last.Sub(r.First) {
			t.Fatalf("seed %d: the states' %v is not %v", seed, sum, r.Last.Sub(r.First))
		}

		begin, end := log[0].Time, log[len(log)-1].Time
		cut := begin.Add(time.Duration(random.Int64N(int64(end.Sub(begin)))))
		bounded := func(since, until time.Time) history.Report {
			s := history.Summary{Since: since, Until: until}
			for _, e := range log {
				s.Apply(e)
			}
			return s.Report()
		}
		whole, first, second := summarize(log), bounded(time.Time{}, cut), bounded(cut, time.Time{})
		if first.Up+second.Up != whole.Up || first.Down+second.Down != whole.Down || first.Stopped+second.Stopped != whole.Stopped {
			t.Fatalf("seed %d, cut at %v: %+v\nand %+v\nare not %+v", seed, cut, first, second, whole)
		}
		if !first.Last.Equal(cut) || !second.First.Equal(cut) || first.Events+second.Events != whole.Events {
			t.Fatalf("seed %d, cut at %v: %+v\nand %+v", seed, cut, first, second)
		}
	}
}

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
	w.wait(30*time.Second).record(fsm.KindNote, fsm.Evidence{})
	middle.Apply(w.log[len(w.log)-1])
	if m := middle.Now(); m.State != consumer.Consuming || !m.Since.Equal(w.clock.Add(-30*time.Second)) || !m.InLog || m.Led.Seq != 0 {
		t.Errorf("%+v", m)
	}
}

func TestSummaryNothing(t *testing.T) {
	var s history.Summary
	if diff := cmp.Diff(history.Report{}, s.Report()); diff != "" {
		t.Error(diff)
	}
	if _, ok := s.Report().Availability(); ok {
		t.Error("an availability of nothing")
	}
}
