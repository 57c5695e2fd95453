package history_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// told is an entry as the goldens have it.
func told(e history.Entry) string {
	lasted := "?"
	if e.Lasted != history.Unknown {
		lasted = e.Lasted.String()
	}
	f := e.First
	line := fmt.Sprintf("%s %s %d %s (%s) %s %s", f.Time.Format("15:04:05.000"), f.Kind, f.Seq, f.From, lasted, f.Trigger, f.To)
	if e.Fold != history.Single {
		line += fmt.Sprintf(" | %s x%d until %s %d, %v", e.Fold, e.Count, e.Last.Time.Format("15:04:05.000"), e.Last.Seq, e.Span)
		if e.Mixed {
			line += ", mixed"
		}
	}
	if why := consumer.EvidenceOf(e.Last); why.Class != "" {
		line += fmt.Sprintf(" | %s %d %s #%d", why.Class, why.Code, why.Error, why.Attempt)
	}
	return strings.TrimRight(line, " ") + "\n"
}

func TestTimeline(t *testing.T) {
	gap := fsm.Evidence{Note: "12 events not seen"}
	tests := []struct {
		name string
		play func(*writer)
	}{
		{"night", func(w *writer) {
			w.connect().idle(3*time.Hour).fire(consumer.ConnectionError, reset).revive(0, 20*ms, reset)
			w.idle(time.Hour).wait(2*time.Second).fire(consumer.DrainTimeout).wait(2*time.Second).fire(consumer.HeartbeatFailed, frozen)
			w.revive(2, time.Second, refused).idle(time.Minute)
			w.wait(time.Second).fire(consumer.DrainTimeout).wait(time.Second).begin().connect() // killed
			w.idle(time.Minute).fire(consumer.ConnectionError, reset).revive(400, time.Second, refused)
			w.idle(time.Minute).fire(consumer.Stop).wait(time.Hour).begin().wait(time.Second).connect().idle(time.Minute)
		}},
		{"outage_of_several_causes", func(w *writer) {
			w.connect().fire(consumer.ChannelError, deleted)
			for n := range 40 {
				why := missing
				if n >= 20 && n%2 == 0 {
					why = refused
				}
				if n == 30 {
					w.record(fsm.KindNote, consumer.NoteLossWhileReviving, consumer.Evidence{Note: "lost too, while reviving"})
				}
				w.wait(time.Second).fire(consumer.ReviveFailed, attempt(why, n+1))
			}
			w.fire(consumer.Revived, consumer.Evidence{Attempt: 41})
			w.fire(consumer.ConnectionError, reset).revive(3, time.Second, refused)
		}},
		{"between_heartbeats", func(w *writer) {
			w.connect().idle(9*time.Second).wait(time.Second).fire(consumer.DrainTimeout).record(fsm.KindStale, consumer.StaleProbe, consumer.Evidence{Note: "too late"})
			w.wait(time.Second).fire(consumer.HeartbeatOK).idle(9 * time.Second)
			w.m.Fire(consumer.Connected, fsm.Evidence{})
			w.idle(9 * time.Second)
			w.log = append(w.log, w.log[len(w.log)-1], w.log[len(w.log)-1])
			w.log[len(w.log)-1].Kind = fsm.KindSnapshot
			g := &w.log[len(w.log)-2]
			g.Kind, g.Trigger, g.From, g.InStateMS, g.Evidence = fsm.KindGap, "", g.To, 0, gap
			g.Seq++
		}},
		{"flaps", flapping},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWriter(t).begin()
			tt.play(w)
			var got strings.Builder
			timeline := history.NewTimeline(func(e history.Entry) { got.WriteString(told(e)) })
			for _, e := range w.log {
				timeline.Apply(e)
			}
			timeline.Flush()
			golden.Assert(t, got.String(), tt.name+".txt")
		})
	}
}

// Whatever is folded, no event is lost or told twice, and all are in order.
func TestTimelineWhole(t *testing.T) {
	folded := make(map[history.Fold]int)
	for seed := range uint64(40) {
		log := wander(t, seed, 500)
		if seed%2 == 1 { // as a log that misses some
			random := rand.New(rand.NewPCG(seed, 3))
			log = slices.DeleteFunc(log, func(fsm.Event) bool { return random.IntN(4) == 0 })
		}
		var count, at int
		timeline := history.NewTimeline(func(e history.Entry) {
			n := int(e.Events)
			folded[e.Fold] += n
			if e.First != log[at] || e.Last != log[at+n-1] || e.Fold == history.Single && n != 1 {
				t.Fatalf("seed %d: entry %d is %s, at event %d", seed, count, told(e), at)
			}
			at += n
			count++
		})
		for _, e := range log {
			timeline.Apply(e)
		}
		timeline.Flush()
		if at != len(log) {
			t.Errorf("seed %d: %d of %d events", seed, at, len(log))
		}
	}
	if folded[history.Idle] == 0 || folded[history.Flaps] == 0 {
		t.Errorf("not all was tried: %v", folded)
	}
}

// A consumer that is lost again and again, as soon as it is back.
func flapping(w *writer) {
	flap := func(up, down time.Duration, why consumer.Evidence) *writer {
		return w.wait(up).fire(consumer.ConnectionError, why).revive(0, down, why)
	}
	w.connect().idle(time.Minute)
	for range 40 { // a poison message
		flap(300*ms, 20*ms, reset)
	}
	w.idle(time.Minute) // and somebody takes it away
	flap(time.Second, time.Second, reset)
	for range 5 { // the handlers had hands full
		w.wait(time.Second).fire(consumer.ConnectionError, reset).record(fsm.KindStale, consumer.StaleOutcome, consumer.Evidence{})
		w.revive(0, time.Second, reset).record(fsm.KindStale, consumer.StaleOutcome, consumer.Evidence{})
	}
	for range 3 { // a silent peer, each time
		w.wait(2*time.Second).fire(consumer.DrainTimeout).wait(2*time.Second).fire(consumer.HeartbeatFailed, frozen).revive(0, time.Second, frozen)
	}
	for range 3 { // killed from outside, while idle
		w.idle(3*time.Second).fire(consumer.ConnectionError, reset).revive(0, time.Second, reset)
	}
	w.wait(time.Second).fire(consumer.ConnectionError, reset).revive(2, time.Second, refused) // once it takes longer
	flap(time.Second, time.Second, reset)                                                     // which was no flap
	flap(time.Second, time.Second, reset)
	w.record(fsm.KindNote, consumer.NoteBlocked, consumer.Evidence{})
	flap(time.Second, time.Second, reset)
	flap(6*time.Second, time.Second, reset) // not soon
	w.wait(time.Second).begin().connect()
	flap(time.Second, time.Second, reset) // another run's
	flap(time.Second, time.Second, reset)
	w.wait(time.Second).fire(consumer.ConnectionError, reset).wait(time.Hour) // which is not hidden
	w.revive(0, time.Second, reset).fire(consumer.Stop)
}

func TestTimelineShowsFlapsAtOnce(t *testing.T) {
	w := newWriter(t).begin().connect()
	for range 4 {
		w.wait(time.Second).fire(consumer.ConnectionError, reset).revive(0, time.Second, reset)
	}
	shown := 0
	timeline := history.NewTimeline(func(e history.Entry) { shown += int(e.Events) })
	for _, e := range w.log {
		timeline.Apply(e)
	}
	if e, ok := timeline.Pending(); !ok || e.Fold != history.Flaps || e.Count != 3 || shown != len(w.log)-6 {
		t.Errorf("%d shown, and pending: %s", shown, told(e))
	}
	n := len(w.log)
	for _, e := range w.idle(6 * time.Second).log[n:] { // nothing more will come of it
		timeline.Apply(e)
	}
	if e, ok := timeline.Pending(); !ok || e.Fold != history.Idle || shown != n {
		t.Errorf("%d of %d shown, and pending: %s", shown, n, told(e))
	}
}

// What a ring has folded already is one entry with what comes behind it.
func TestTimelineOfARing(t *testing.T) {
	ring := fsm.NewRing(100)
	w := newWriter(t).begin().connect().idle(time.Hour).fire(consumer.ConnectionError, reset).revive(1, time.Second, refused).idle(time.Minute)
	for _, e := range w.log {
		_ = ring.Append(e)
	}
	var got strings.Builder
	timeline := history.NewTimeline(func(e history.Entry) { got.WriteString(told(e)) })
	var ofRing, whole history.Summary
	for _, e := range ring.Events() {
		timeline.Apply(e)
		ofRing.Apply(e)
	}
	timeline.Flush()
	golden.Assert(t, got.String(), "ring.txt")
	for _, e := range w.log {
		whole.Apply(e)
	}
	a, b := ofRing.Report(), whole.Report()
	if a.Events != b.Events || a.Up != b.Up || a.Down != b.Down || a.Outages != b.Outages || ofRing.Now().Idle != whole.Now().Idle || a.Missing != 0 {
		t.Errorf("%+v\nis not %+v", a, b)
	}
	if err := agree(ring.Events()); err != nil {
		t.Error(err)
	}
}

func TestTimelinePending(t *testing.T) {
	w := newWriter(t).begin().connect()
	timeline := history.NewTimeline(func(history.Entry) {})
	add := func() {
		for _, e := range w.log {
			timeline.Apply(e)
		}
		w.log = w.log[len(w.log)-1:]
	}
	add()
	if e, ok := timeline.Pending(); ok {
		t.Error("pending:", told(e))
	}
	w.log = nil
	w.m, _ = fsm.New(consumer.Lifecycle(), fsm.Options{Journal: w, Run: "x", Now: func() time.Time { return w.clock }})
	w.connect().idle(30 * time.Second)
	add()
	if e, ok := timeline.Pending(); !ok || e.Fold != history.Idle || e.Count != 10 {
		t.Error("pending:", ok, told(e))
	}
}

func BenchmarkProjections(b *testing.B) {
	w := newWriter(b).begin().connect()
	for len(w.log) < 1_000_000 {
		w.idle(time.Hour).fire(consumer.ConnectionError, reset).revive(50, time.Second, refused)
	}
	log := w.log[:1_000_000]
	b.Run("timeline and summary of 1M events", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var s history.Summary
			entries := 0
			timeline := history.NewTimeline(func(history.Entry) { entries++ })
			for _, e := range log {
				timeline.Apply(e)
				s.Apply(e)
			}
			timeline.Flush()
			b.ReportMetric(float64(entries), "entries")
		}
	})
}
