package fsm_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/fsm"
)

// told is a step in words.
func told(s fsm.Step) string {
	var words []string
	say := func(when bool, format string, args ...any) {
		if when {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	say(s.First, "first")
	say(s.Repeated, "repeated")
	say(!s.First, "want %d", s.Next)
	say(s.BehindGap, "behind a gap")
	say(s.Missing > 0, "%d missing", s.Missing)
	say(s.Run != fsm.SameRun, "%s", map[fsm.RunChange]string{fsm.NewRun: "new run", fsm.OldRun: "old run"}[s.Run])
	say(s.Between > 0, "%s between", s.Between)
	say(s.Before > 0, "%s in %s", s.Before, s.Was)
	say(s.Unsure, "or not")
	say(s.After > 0, "%s in %s", s.After, s.Then)
	say(s.Timed, "lasted %s", s.Lasted)
	return strings.Join(words, ", ")
}

// What lies between the events of a log, also of one that misses some.
func TestWalker(t *testing.T) {
	all := twoRuns(t)
	at := func(i int, change func(*fsm.Event)) []fsm.Event {
		log := slices.Clone(all)
		change(&log[i])
		return log
	}
	for name, tt := range map[string]struct {
		log  []fsm.Event
		from int
		want []string // from there on
	}{
		"whole": {all, 0, []string{
			"first, new run, lasted 0s",
			"want 2, 1s in Closed, lasted 1s",
			"want 3, 2s in Open, lasted 2s",
			"want 4, 2s in Open, lasted 4s",
			"want 5, 1s in Closed, lasted 1s",
			"want 6, 1s in Closed, lasted 1s",
			"want 7, 3s in Open, lasted 3s",
			"want 8, new run, 1h0m0s between, 1s in Open, lasted 1s",
			"want 9, 1s in Open, lasted 2s",
			"want 10, 1s in Closed, lasted 1s",
		}},
		"its begin is missing": {all[2:], 0, []string{
			"first, new run", "want 4, 2s in Open", "want 5, 1s in Closed, lasted 1s",
		}},
		"events that led back are missing": {slices.Delete(slices.Clone(all), 3, 6), 3, []string{
			"want 4, 3 missing, 7s in Open",
		}},
		"events that led elsewhere are missing": {slices.Delete(slices.Clone(all), 1, 3), 1, []string{
			"want 2, 2 missing, 1s in Closed, or not, 4s in Open", "want 5, 1s in Closed, lasted 1s",
		}},
		"the begin of a run is missing": {slices.Delete(slices.Clone(all), 7, 9), 7, []string{
			"want 8, 2 missing, new run, 1h0m0s between, 2s in Open, or not, 1s in Closed, lasted 3s",
		}},
		"a gap": {slices.Replace(slices.Clone(all), 2, 4, gapOf(all[2:4])), 2, []string{
			"want 3, 1 missing, 4s in Open, or not", "want 4, behind a gap, 1 missing, 1s in Closed",
		}},
		"a snapshot repeats": {slices.Insert(slices.Clone(all), 4, snapshotOf(all[3], func(s *fsm.Event) { s.MonoNS += 1e8 })), 4, []string{
			"want 5, 100ms in Closed, lasted 100ms", "want 5, 900ms in Closed, lasted 1s",
		}},
		"a snapshot tells of what is missing": {slices.Replace(slices.Clone(all), 2, 4, snapshotOf(all[3], func(*fsm.Event) {})), 2, []string{
			"want 3, 2 missing, 4s in Open, or not", "want 5, 1s in Closed",
		}},
		"of another run": {slices.Insert(slices.Clone(all[:7]), 7, snapshotOf(all[8], func(*fsm.Event) {}), all[9]), 7, []string{
			"want 8, 2 missing, new run, 1h0m2s between", "want 10, 1s in Closed",
		}},
		"a cycle": {cycleWith(func(*fsm.Event) {})(doorLog(t)), 4, []string{
			"want 5, 2ms in Closed, 4ms in Open, lasted 6ms", "want 9, 6ms in Closed, lasted 6ms",
		}},
		"a cycle of which the begin is missing": {cycleWith(func(c *fsm.Event) { c.Seq, c.Count = 7, 2 })(doorLog(t)), 4, []string{
			"want 5, 2 missing, 2ms in Closed, 4ms in Open", "want 9, 6ms in Closed, lasted 6ms",
		}},
		"a cycle that comes from elsewhere": {slices.Delete(cycleWith(func(*fsm.Event) {})(doorLog(t)), 3, 4), 3, []string{
			"want 4, 1 missing, 3.7ms in Open, or not, 4ms in Open", "want 9, 6ms in Closed, lasted 6ms",
		}},
		"a cycle with which a run begins": {cycleWith(func(c *fsm.Event) { c.Run = "r2" })(doorLog(t))[:5], 4, []string{
			"want 5, new run, 8.8ms in Closed, 4ms in Open, lasted 12.8ms",
		}},
		"told before": {slices.Insert(slices.Clone(all), 3, all[2], all[1]), 3, []string{
			"repeated, want 4", "repeated, want 4", "want 4, 2s in Open, lasted 4s",
		}},
		"the clock was set back between runs": {at(7, func(e *fsm.Event) { e.Time = all[0].Time }), 7, []string{
			"want 8, new run, 1s in Open, lasted 1s", "want 9, 1s in Open, lasted 2s",
		}},
		"a run goes on": {slices.Concat(all[:6], all[7:8], all[6:7]), 6, []string{
			"want 7, 1 missing, new run, 1h0m3s between, or not, 1s in Open, lasted 1s", "want 9, old run, lasted 10s",
		}},
		"a kind from the future": {at(2, func(e *fsm.Event) { e.Kind, e.From, e.To = "odd", "", "" }), 2, []string{
			"want 3, 2s in Open, lasted 2s", "want 4, 2s in Open, lasted 4s",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var w fsm.Walker
			var got []string
			for i, e := range tt.log {
				if step := w.Walk(&e); i >= tt.from && i < tt.from+len(tt.want) {
					got = append(got, told(step))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// gapOf stands for events.
func gapOf(events []fsm.Event) fsm.Event {
	var gap fsm.Gap
	for _, e := range events {
		gap.Add(e)
	}
	return gap.Event("")
}

// All of the time of a log is some step's, whatever the log lacks.
func TestWalkerLosesNoTime(t *testing.T) {
	for name, log := range map[string][]fsm.Event{"door": doorLog(t), "two runs": twoRuns(t)} {
		for i := range log {
			for j := i + 1; j <= len(log); j++ {
				for gap := range 2 {
					part := slices.Delete(slices.Clone(log), i, j)
					if gap == 1 {
						part = slices.Insert(part, i, gapOf(log[i:j]))
					}
					if len(part) == 0 {
						continue
					}
					var w fsm.Walker
					var sum time.Duration
					for k, e := range part {
						if s := w.Walk(&e); k > 0 {
							sum += s.Between + s.Before + s.After
						}
					}
					if span := part[len(part)-1].Time.Sub(part[0].Time); sum != span {
						t.Errorf("%s without %d to %d, gap %d: %s of %s", name, i, j, gap, sum, span)
					}
				}
			}
		}
	}
}
