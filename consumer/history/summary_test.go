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

// A quantile is the shortest that at least such a share does not exceed, as that of fsm.Durations.
func TestSummaryQuantiles(t *testing.T) {
	for n, want := range map[int][2]time.Duration{1: {1, 1}, 2: {1, 2}, 3: {2, 3}, 4: {2, 4}, 20: {10, 19}, 21: {11, 20}} {
		w := newWriter(t).begin().connect()
		var d fsm.Durations
		for i := range n {
			w.wait(time.Second).fire(consumer.ConnectionError, reset).revive(0, time.Duration(i+1)*ms, reset)
			d.Add(time.Duration(i+1) * ms)
		}
		r := summarize(w.log)
		if r.RecoverP50 != want[0]*ms || r.RecoverP95 != want[1]*ms || d.Quantile(0.5) != r.RecoverP50 || d.Quantile(0.95) != r.RecoverP95 {
			t.Errorf("of 1 to %d ms: %s and %s, want %d and %d ms", n, r.RecoverP50, r.RecoverP95, want[0], want[1])
		}
	}
}

// routine is what is logged at debug level.
func routine(e fsm.Event) bool {
	return e.Trigger == consumer.DrainTimeout || e.Trigger == consumer.HeartbeatOK ||
		e.Trigger == consumer.ReviveFailed && attemptOf(e)&(attemptOf(e)-1) != 0
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
		// What was before HeartbeatFailed is up, but in which of the two states nobody knows.
		if up := got.InState[consumer.Consuming] + got.InState[consumer.HeartbeatCheck]; up+got.Unseen != want.Up || got.Unseen != 6*time.Hour+2*time.Second {
			t.Errorf("%v in the states that are up, %v in none, want %v", up, got.Unseen, want.Up)
		}
		if got.InState[consumer.HeartbeatCheck] != 2*time.Second { // that before HeartbeatFailed: InStateMS tells
			t.Errorf("%v in HeartbeatCheck", got.InState[consumer.HeartbeatCheck])
		}
		got.Events, got.Missing, got.InState, got.Unseen = want.Events, 0, want.InState, 0
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
		if sum := states + r.Between + r.Unseen; sum != r.Last.Sub(r.First) {
			t.Fatalf("seed %d: the states' %v, %v between and %v unseen are not %v", seed, states, r.Between, r.Unseen, r.Last.Sub(r.First))
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

// A run ends once at most, whatever a log has: parts of runs, and runs that take turns.
func TestSummaryAborted(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 4))
		a, b := wander(t, seed, 100), wander(t, seed+100, 100)
		for i := range b {
			b[i].Run = "another " + b[i].Run
		}
		var turns []fsm.Event
		for x, y := a, b; len(x) > 0 && len(y) > 0; {
			n, m := random.IntN(min(10, len(x)+1)), random.IntN(min(10, len(y)+1))
			turns, x, y = slices.Concat(turns, x[:n], y[:m]), x[n:], y[m:]
		}
		for name, log := range map[string][]fsm.Event{"runs that take turns": turns, "runs in order": a} {
			for len(log) > 0 {
				if r := summarize(log); r.Aborted > r.Runs {
					t.Fatalf("seed %d, %s: %d of %d runs ended without Stop", seed, name, r.Aborted, r.Runs)
				}
				log = log[min(len(log), 1+random.IntN(20)):]
			}
		}
	}
	w := newWriter(t).begin().connect().wait(time.Minute).begin().connect().wait(time.Minute).begin().connect()
	x := newWriter(t).begin().connect().idle(time.Minute)
	y := newWriter(t)
	y.runs = 1
	y.begin().connect().idle(time.Minute)
	var turns []fsm.Event
	for i, e := range x.log {
		turns = append(turns, e, y.log[i])
	}
	for _, tt := range []struct {
		name          string
		log           []fsm.Event
		until         time.Time
		runs, aborted int
	}{
		{"three runs", w.log, time.Time{}, 3, 2},
		{"begins with a restart: the run before is none of the log's", w.log[3:], time.Time{}, 2, 1},
		{"and ends before the next run", w.log[3:], morning.Add(90 * time.Second), 1, 1},
		{"begins in the middle of a run", w.log[2:], time.Time{}, 3, 2},
		{"two runs that take turns", turns, time.Time{}, 2, 0},
	} {
		s := history.Summary{Until: tt.until}
		for _, e := range tt.log {
			s.Apply(e)
		}
		if r := s.Report(); r.Runs != tt.runs || r.Aborted != tt.aborted {
			t.Errorf("%s: %d runs, of which %d ended without Stop; want %d and %d", tt.name, r.Runs, r.Aborted, tt.runs, tt.aborted)
		}
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

func attemptOf(e fsm.Event) int { return consumer.EvidenceOf(e).Attempt }
