package history_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// minute records what became of messages in the last minute.
func (w *writer) minute(queue string, handled, parked uint64) *writer {
	w.t.Helper()
	w.wait(time.Minute)
	for range parked {
		w.record(fsm.KindNote, consumer.NoteParked, consumer.Evidence{Queue: queue, Attempt: 1, Cause: consumer.NotePermanent, Error: "poison of " + queue})
	}
	return w.record(fsm.KindNote, consumer.NoteOutcomes, consumer.Evidence{
		Queue: queue, PeriodMS: 60_000, Acknowledged: handled, Parked: parked, Calls: handled + parked, HandlingUS: 1000, LongestUS: int64(handled),
	})
}

func tellsOutcomes(e fsm.Event) bool { return e.Name == consumer.NoteOutcomes || history.IsMessage(e) }

// entriesOf is what a timeline makes of a log.
func entriesOf(log []fsm.Event, prompt bool) (entries []history.Entry) {
	timeline := history.NewTimeline(func(e history.Entry) { entries = append(entries, e) })
	timeline.Prompt = prompt
	for _, e := range log {
		timeline.Apply(e)
	}
	timeline.Flush()
	return entries
}

// merged is an entry of minutes in short.
func merged(e history.Entry) string {
	if e.Fold != history.Minutes {
		return string(e.Fold) + " " + string(e.First.Trigger)
	}
	o := e.Outcomes
	text := fmt.Sprintf("%s to %s %s: %d handled", o.Begin.Format("15:04"), e.Last.Time.Format("15:04"), o.Queue, o.Stats.Acknowledged)
	if o.Stats.Parked > 0 {
		text += fmt.Sprintf(", %d parked, %d permanent (%s)", o.Stats.Parked, o.Permanent, o.Error)
	}
	return text
}

// Minutes of a queue are told as one, until something rare begins or ends, or something else happens.
func TestTimelineMergesMinutes(t *testing.T) {
	w := newWriter(t).begin().connect()
	for range 3 {
		w.minute("a", 10, 0).minute("b", 1, 0).idle(3 * time.Second)
	}
	w.minute("a", 10, 2).minute("b", 1, 0).minute("a", 10, 3).minute("a", 10, 0)
	w.fire(consumer.ConnectionError, reset).wait(time.Second).fire(consumer.Revived)
	w.minute("a", 7, 0)
	w.record(fsm.KindNote, consumer.NoteParked, consumer.Evidence{Queue: "b"}).fire(consumer.Stop)
	want := []string{
		"event ", "event Connect", "event Connected",
		"06:00 to 06:05 a: 30 handled", "06:01 to 06:08 b: 4 handled", "idle DrainTimeout",
		"06:06 to 06:09 a: 20 handled, 5 parked, 5 permanent (poison of a)", "06:09 to 06:10 a: 10 handled",
		"event ConnectionError", "event Revived", "06:10 to 06:11 a: 7 handled", "event ", "event Stop",
	}
	var got []string
	for _, e := range entriesOf(w.log, false) {
		got = append(got, merged(e))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	at := slices.IndexFunc(w.log, func(e fsm.Event) bool { return consumer.EvidenceOf(e).Parked == 2 })
	var seen []string
	timeline := history.NewTimeline(func(e history.Entry) { seen = append(seen, merged(e)) })
	timeline.Prompt = true
	for _, e := range w.log[:at+1] {
		timeline.Apply(e)
	}
	if want := "06:00 to 06:05 a: 30 handled"; !slices.Contains(seen, want) {
		t.Errorf("promptly: %q is not in %q", want, seen)
	}
	if e, ok := timeline.Pending(); !ok || !strings.Contains(merged(e), "2 parked") {
		t.Errorf("pending is %v", merged(e))
	}
}

// What becomes of messages changes nothing of what is told of anything else: idle checks, attempts and flaps fold as
// they would, and no sum depends on it. All of it is told, once, promptly or not.
func TestOutcomesDisturbNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWriter(t).begin().connect()
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			queue := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "queue")
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0, 1:
				w.minute(queue, rapid.Uint64Range(0, 5).Draw(t, "handled"), uint64(max(0, rapid.IntRange(-3, 2).Draw(t, "parked"))))
			case 2:
				w.record(fsm.KindNote, consumer.NoteParked, consumer.Evidence{Queue: queue, Attempt: 1})
			case 3:
				if w.m.State() == consumer.Consuming {
					w.idle(3 * time.Second)
				}
			case 4:
				if w.m.State() == consumer.Consuming {
					w.wait(time.Second).fire(consumer.ConnectionError, reset)
				}
			case 5:
				if w.m.State() == consumer.Reviving {
					w.wait(time.Second).fire(consumer.ReviveFailed, refused)
				}
			case 6:
				if w.m.State() == consumer.Reviving {
					w.wait(time.Second).fire(consumer.Revived)
				}
			}
		}
		bare := slices.DeleteFunc(slices.Clone(w.log), tellsOutcomes)
		without := entriesOf(bare, false)
		var sums history.Summary
		want := map[string]consumer.Stats{}
		for _, e := range w.log {
			sums.Apply(e)
			if tellsOutcomes(e) {
				why := consumer.EvidenceOf(e)
				s := want[why.Queue]
				s.Add(why.Outcomes())
				want[why.Queue] = s
			}
		}
		for _, q := range sums.Report().Queues {
			if q.Stats != want[q.Queue] {
				t.Fatalf("%q: %+v in all, want %+v", q.Queue, q.Stats, want[q.Queue])
			}
		}
		for _, prompt := range []bool{false, true} {
			var others []history.Entry
			var events uint64
			told := map[string]consumer.Stats{}
			for _, e := range entriesOf(w.log, prompt) {
				events += e.Events
				switch {
				case e.Fold == history.Minutes:
					s := told[e.Outcomes.Queue]
					s.Add(e.Outcomes.Stats)
					told[e.Outcomes.Queue] = s
				case !tellsOutcomes(e.First):
					others = append(others, e)
				}
			}
			if !prompt { // it folds less then
				if diff := cmp.Diff(without, others, cmp.Comparer(func(a, b fsm.Event) bool { return a == b })); diff != "" {
					t.Fatalf("without outcomes (-), with (+):\n%s\n%s", diff, listed(w.log))
				}
			}
			if events != uint64(len(w.log)) {
				t.Fatalf("entries of %d events, and there are %d\n%s", events, len(w.log), listed(w.log))
			}
			for queue := range want {
				if told[queue] != want[queue] {
					t.Fatalf("%q: %+v in the timeline, want %+v", queue, told[queue], want[queue])
				}
			}
		}
		var plain history.Summary
		for _, e := range bare {
			plain.Apply(e)
		}
		a, b := sums.Report(), plain.Report()
		if len(bare) > 0 && bare[len(bare)-1].Time.Equal(w.log[len(w.log)-1].Time) && (a.Up != b.Up || a.Outages != b.Outages || a.Down != b.Down) {
			t.Fatalf("up %v and %v, down %v and %v", a.Up, b.Up, a.Down, b.Down)
		}
	})
}

// Each outage that counts is told of once, with one that is not over.
func TestEachOutage(t *testing.T) {
	w := newWriter(t).begin().connect().idle(time.Minute)
	for range 3 {
		w.wait(time.Second).fire(consumer.ConnectionError, reset).wait(time.Second).fire(consumer.Revived).idle(time.Minute)
	}
	w.wait(10*time.Second).record(fsm.KindNote, consumer.NoteStalled, consumer.Evidence{StalledMS: 10_000}).wait(time.Second)
	last := w.clock.Add(-30 * time.Second)
	stalled := slices.Clone(w.log)
	lost := w.fire(consumer.ConnectionError, reset).wait(2 * time.Second).log
	for name, test := range map[string]struct {
		log   []fsm.Event
		since time.Time
		want  []time.Duration
	}{
		"a stall that may not be over": {stalled, time.Time{}, []time.Duration{time.Second, time.Second, time.Second, 10 * time.Second}},
		"the last one":                 {stalled, last, []time.Duration{10 * time.Second}},
		"a loss at once":               {lost, last, []time.Duration{11 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []time.Duration
			s := history.Summary{Since: test.since, Each: func(o history.Outage) { got = append(got, o.Duration.Round(time.Second)) }}
			for _, e := range test.log {
				s.Apply(e)
				s.Report() // tells nobody
			}
			s.Flush()
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if n := s.Report().Outages; n != len(got) {
				t.Errorf("%d count", n)
			}
		})
	}
}

// A copy of a summary, and what it has reported, stay as they are.
func TestSummaryOfQueuesIsCopied(t *testing.T) {
	w := newWriter(t).begin().connect().minute("a", 10, 1)
	var s history.Summary
	for _, e := range w.log {
		s.Apply(e)
	}
	copied, report, n := s.Clone(), s.Report(), len(w.log)
	for _, e := range w.minute("a", 5, 1).minute("b", 1, 0).log[n:] {
		s.Apply(e)
	}
	for name, queues := range map[string][]history.Outcomes{"the copy": copied.Report().Queues, "the report": report.Queues} {
		if len(queues) != 1 || queues[0].Stats.Acknowledged != 10 || queues[0].Permanent != 1 {
			t.Errorf("%s: %+v", name, queues)
		}
	}
	if queues := s.Report().Queues; len(queues) != 2 || queues[0].Stats.Acknowledged != 15 || queues[1].Queue != "b" {
		t.Errorf("all of it: %+v", queues)
	}
}
