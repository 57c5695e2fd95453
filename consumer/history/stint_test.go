package history_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// stalled records that the process stood still for so long, until now.
func (w *writer) stalled(d time.Duration) *writer {
	return w.record(fsm.KindNote, consumer.NoteStalled, consumer.Evidence{StalledMS: d.Milliseconds(), Note: "it stood still"})
}

// suspend has the wall clock go on, and not the run's: the machine is suspended.
func (w *writer) suspend(d time.Duration) *writer {
	w.suspended += d
	return w.stalled(d)
}

func silence(why consumer.Evidence, d time.Duration) consumer.Evidence {
	why.SilenceMS = d.Milliseconds()
	return why
}

// What a state does not tell: the process stood still, or the peer was dead already.
func TestSummaryTakesBack(t *testing.T) {
	const s, m = time.Second, time.Minute
	fail := func(w *writer, after, silent time.Duration) *writer {
		return w.wait(2*s).fire(consumer.DrainTimeout).wait(after-2*s).fire(consumer.HeartbeatFailed, silence(frozen, silent))
	}
	type outage struct {
		begin, duration time.Duration // begin is since the first event
		cause           string
		ending          fsm.Trigger
	}
	for name, tt := range map[string]struct {
		play      func(*writer)
		up, down  time.Duration // down without the 20 ms of connecting
		outages   int
		longest   outage
		revivals  string
		stopped   time.Duration
		suspended time.Duration
	}{
		"a process that was stopped": {func(w *writer) { w.wait(m + 50*s).stalled(50 * s).wait(m) },
			2 * m, 50 * s, 1, outage{m + 20*ms, 50 * s, "stalled", ""}, "map[stalled:1]", 0, 0},
		"while it is idle": {func(w *writer) { w.idle(m).wait(50 * s).stalled(50 * s).idle(m) },
			2 * m, 50 * s, 1, outage{m + 20*ms, 50 * s, "stalled", ""}, "map[stalled:1]", 0, 0},
		"and an event came first": {func(w *writer) { w.wait(m + 50*s).fire(consumer.DrainTimeout).stalled(50 * s).wait(m) },
			2 * m, 50 * s, 1, outage{m + 20*ms, 50 * s, "stalled", ""}, "map[stalled:1]", 0, 0},
		"twice": {func(w *writer) { w.wait(m + 50*s).stalled(50 * s).wait(m + 10*s).stalled(10 * s).wait(m) },
			3 * m, m, 2, outage{m + 20*ms, 50 * s, "stalled", ""}, "map[stalled:2]", 0, 0},
		"a machine that was suspended": {func(w *writer) { w.wait(m).suspend(time.Hour).wait(m) },
			2 * m, time.Hour, 1, outage{m + 20*ms, time.Hour, "stalled", ""}, "map[stalled:1]", 0, time.Hour},
		"and the processor was not to be had": {func(w *writer) { w.wait(m + 10*s).suspended += time.Hour; w.stalled(time.Hour + 10*s).wait(m) },
			2 * m, time.Hour + 10*s, 1, outage{m + 20*ms, time.Hour + 10*s, "stalled", ""}, "map[stalled:1]", 0, time.Hour},
		"no longer than it was up": {func(w *writer) { w.wait(10 * s).stalled(50 * s).wait(m) },
			m, 10 * s, 1, outage{20 * ms, 10 * s, "stalled", ""}, "map[stalled:1]", 0, 0},
		"not at all": {func(w *writer) { w.wait(m).stalled(0).wait(m) },
			2 * m, 0, 0, outage{}, "map[]", 0, 0},

		"and the connection is lost": {func(w *writer) {
			w.wait(m+50*s).stalled(50*s).wait(s).fire(consumer.ConnectionError, reset).revive(1, 2*s, refused).wait(m)
		},
			2 * m, 55 * s, 1, outage{m + 20*ms, 55 * s, "stalled", consumer.Revived}, "map[stalled:1]", 0, 0},
		"as the probe finds out": {func(w *writer) { fail(w.wait(m+50*s).stalled(50*s), 4*s, 54*s).revive(0, s, reset).wait(m) },
			2 * m, 55 * s, 1, outage{m + 20*ms, 55 * s, "stalled", consumer.Revived}, "map[stalled:1]", 0, 0},
		"some time later": {func(w *writer) {
			w.wait(m+50*s).stalled(50*s).wait(6*s).fire(consumer.ConnectionError, reset).revive(1, 2*s, refused).wait(m)
		},
			2*m + 6*s, 54 * s, 2, outage{m + 20*ms, 50 * s, "stalled", ""}, "map[network:1 stalled:1]", 0, 0},
		"or it is stopped": {func(w *writer) { w.wait(m + 50*s).stalled(50 * s).wait(s).fire(consumer.Stop).wait(m).begin() },
			m + s, 50 * s, 1, outage{m + 20*ms, 50 * s, "stalled", ""}, "map[stalled:1]", m, 0},
		"or killed": {func(w *writer) { w.wait(m + 50*s).stalled(50 * s).wait(m).begin().connect().wait(m) },
			2 * m, 110*s + 20*ms, 1, outage{m + 20*ms, 110*s + 20*ms, "stalled", consumer.Connected}, "map[stalled:1]", 0, 0},
		"while it revives": {func(w *writer) {
			w.wait(m).fire(consumer.ConnectionError, reset).wait(50*s).stalled(50*s).revive(0, s, reset).wait(m)
		},
			2 * m, 51 * s, 1, outage{m + 20*ms, 51 * s, "network", consumer.Revived}, "map[network:1]", 0, 0},
		"suspended while it revives": {func(w *writer) {
			w.wait(m).fire(consumer.ConnectionError, reset).suspend(50*s).revive(0, s, reset).wait(m)
		},
			2 * m, 51 * s, 1, outage{m + 20*ms, 51 * s, "network", consumer.Revived}, "map[network:1]", 0, 50 * s},
		"suspended when it is stopped": {func(w *writer) { w.wait(m).fire(consumer.Stop).suspend(m).begin() },
			m, 0, 0, outage{}, "map[]", m, m},

		"a silent peer": {func(w *writer) { fail(w.idle(m), 4*s, 4*s).revive(0, s, frozen).wait(m) },
			2 * m, 5 * s, 1, outage{m + 20*ms, 5 * s, "heartbeat", consumer.Revived}, "map[heartbeat:1]", 0, 0},
		"in an older log": {func(w *writer) { fail(w.idle(m), 4*s, 0).revive(0, s, frozen).wait(m) },
			2*m + 4*s, s, 1, outage{m + 4*s + 20*ms, s, "heartbeat", consumer.Revived}, "map[heartbeat:1]", 0, 0},
		"since before it was revived": {func(w *writer) {
			fail(w.wait(m).fire(consumer.ConnectionError, reset).revive(0, s, reset), 4*s, m).revive(0, s, frozen).wait(m)
		},
			2 * m, 6 * s, 2, outage{m + s + 20*ms, 5 * s, "heartbeat", consumer.Revived}, "map[heartbeat:1 network:1]", 0, 0},
		"and one that is lost": {func(w *writer) { fail(w.idle(m), 4*s, 4*s).wait(s) },
			m, 5 * s, 1, outage{m + 20*ms, 5 * s, "heartbeat", ""}, "map[]", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWriter(t).begin().connect()
			tt.play(w)
			r := summarize(w.record(fsm.KindNote, consumer.NoteBlocked, consumer.Evidence{}).log)
			if r.Up != tt.up || r.Down != tt.down+20*ms || r.Stopped != tt.stopped || r.Suspended != tt.suspended || r.Outages != tt.outages {
				t.Errorf("up %v, down %v, stopped %v, suspended %v, %d outages", r.Up, r.Down, r.Stopped, r.Suspended, r.Outages)
			}
			l := r.Longest
			got := outage{0, l.Duration, l.Cause.Name(), l.Ending}
			if !l.Begin.IsZero() {
				got.begin = l.Begin.Sub(morning)
			}
			if got != tt.longest || !l.End.IsZero() && l.End.Sub(l.Begin) != l.Duration {
				t.Errorf("the longest %+v, want %+v", l, tt.longest)
			}
			if revivals := fmt.Sprint(r.Revivals); revivals != tt.revivals {
				t.Errorf("%s", revivals)
			}
			if err := agree(w.log); err != nil {
				t.Error(err)
			}
			if span := r.Last.Sub(r.First); r.Up+r.Down+r.Stopped+r.Unknown != span {
				t.Errorf("it does not add up to %v", span)
			}
		})
	}
}

// A clock that was set ahead, too, does not make a stall longer than it was.
func TestSummaryOfAStallAndAClock(t *testing.T) {
	w := newWriter(t).begin().connect().wait(time.Minute + 10*time.Second)
	w.suspended = time.Hour
	r := summarize(w.stalled(5 * time.Second).wait(time.Minute).fire(consumer.Stop).log)
	if r.Up != 2*time.Minute+10*time.Second || r.Suspended != 5*time.Second || r.Down != 5*time.Second+20*ms || r.Longest.Duration != 5*time.Second {
		t.Errorf("%+v", r)
	}
}

// Since may fall into a time that is taken back. What is before it is not counted.
func TestSummaryTakesBackSince(t *testing.T) {
	w := newWriter(t).begin().connect().wait(time.Minute + 50*time.Second).stalled(50 * time.Second).wait(time.Minute).fire(consumer.Stop)
	for at, want := range map[time.Duration]struct {
		up, down time.Duration
		outages  int
	}{
		30 * time.Second:  {90*time.Second + 20*ms, 50 * time.Second, 1},
		100 * time.Second: {time.Minute, 10*time.Second + 20*ms, 1},
		2 * time.Minute:   {50*time.Second + 20*ms, 0, 0},
	} {
		s := history.Summary{Since: morning.Add(at)}
		for _, e := range w.log {
			s.Apply(e)
		}
		if r := s.Report(); r.Up != want.up || r.Down != want.down || r.Outages != want.outages || want.outages > 0 && r.Longest.Duration != 50*time.Second {
			t.Errorf("since %v: up %v, down %v, %d outages, the longest %+v", at, r.Up, r.Down, r.Outages, r.Longest)
		}
	}
}

// A clone shares nothing, and a report is none of the summary's own.
func TestSummaryClone(t *testing.T) {
	w := newWriter(t).begin().connect()
	for range 3 { // there is room for a fourth where three recoveries are kept
		w.wait(time.Minute).fire(consumer.ConnectionError, reset).revive(0, time.Second, reset)
	}
	w.wait(10 * time.Second)
	var s history.Summary
	for _, e := range w.log {
		s.Apply(e)
	}
	before, clone := fmt.Sprintf("%+v", s.Report()), s.Clone()
	n := len(w.log)
	w.wait(time.Minute).fire(consumer.ChannelError, deleted).revive(0, ms, deleted)
	for _, e := range w.log[n:] {
		clone.Apply(e)
	}
	r := s.Report()
	if after := fmt.Sprintf("%+v", r); after != before {
		t.Errorf("was\n%s, is\n%s", before, after)
	}
	r.InState[consumer.Consuming], r.Revivals["network"] = 0, 99
	if after := fmt.Sprintf("%+v", s.Report()); after != before {
		t.Errorf("was\n%s, is\n%s", before, after)
	}
	if r := clone.Report(); r.Outages != 4 || r.Recoveries != 4 {
		t.Errorf("%+v", r)
	}
	before = fmt.Sprintf("%+v", clone.Report()) // and now the other one goes on
	w.log = w.log[:n]
	w.wait(time.Minute).fire(consumer.ChannelError, deleted).revive(0, time.Hour, deleted).wait(time.Minute).fire(consumer.Stop)
	for _, e := range w.log[n:] {
		s.Apply(e)
	}
	if after := fmt.Sprintf("%+v", clone.Report()); after != before {
		t.Errorf("was\n%s, is\n%s", before, after)
	}
}
