package fsm_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/fsm"
)

// doorLog is a log of two runs with every kind but a gap:
//
//	0 boot   1 Open   2 rejected   3 Close   4 Knock   5 stale   6 Kick
//	run r1.................................|run r2..................
func doorLog(t *testing.T) []fsm.Event {
	t.Helper()
	clock, log := newClock(), &book{}
	o := fsm.Options{Run: "r1", Journal: log, Now: func() time.Time { clock.move(1700 * time.Microsecond); return clock.now }}
	m := newMachine(t, doorTable(t), o)
	_, _ = m.Record(fsm.KindBoot, "", fsm.Evidence{})
	fire(t, m, "Open")
	_, _ = m.Fire("Knock", fsm.Evidence{})
	fire(t, m, "Close")
	o.Run = "r2"
	m = newMachine(t, doorTable(t), o)
	fire(t, m, "Knock")
	_, _ = m.Record(fsm.KindStale, "late", fsm.Evidence{})
	fire(t, m, "Kick")
	return log.events
}

func TestReplayNamesTheFirstDivergence(t *testing.T) {
	tests := map[string]struct {
		mutate func([]fsm.Event) []fsm.Event
		index  int
		field  string
	}{
		"kind missing": {func(l []fsm.Event) []fsm.Event { l[2].Kind = ""; return l }, 2, fsm.FieldKind},
		"unknown kind with the seq of another": {func(l []fsm.Event) []fsm.Event {
			l[2].Kind, l[2].Seq = "odd", 2
			return l
		}, 2, fsm.FieldSeq},
		"seq repeated":          {func(l []fsm.Event) []fsm.Event { l[3].Seq = 3; return l }, 3, fsm.FieldSeq},
		"event missing":         {func(l []fsm.Event) []fsm.Event { return slices.Delete(l, 5, 6) }, 5, fsm.FieldSeq},
		"from is not the fold":  {func(l []fsm.Event) []fsm.Event { l[3].From = "Closed"; return l }, 3, fsm.FieldFrom},
		"from is not initial":   {func(l []fsm.Event) []fsm.Event { l[0].From, l[0].To = "Open", "Open"; return l }, 0, fsm.FieldFrom},
		"from is unknown":       {func(l []fsm.Event) []fsm.Event { l[5].From = "Ajar"; return l[5:] }, 0, fsm.FieldFrom},
		"to is not next":        {func(l []fsm.Event) []fsm.Event { l[1].To = "Broken"; return l }, 1, fsm.FieldTo},
		"note changes state":    {func(l []fsm.Event) []fsm.Event { l[5].To = "Open"; return l }, 5, fsm.FieldTo},
		"rejection moves":       {func(l []fsm.Event) []fsm.Event { l[2].To = "Closed"; return l }, 2, fsm.FieldTo},
		"trigger not permitted": {func(l []fsm.Event) []fsm.Event { l[6].Trigger = "Close"; return l }, 6, fsm.FieldTrigger},
		"trigger missing":       {func(l []fsm.Event) []fsm.Event { l[6].Trigger = ""; return l }, 6, fsm.FieldTrigger},
		"time from the begin":   {func(l []fsm.Event) []fsm.Event { l[0].InStateMS++; return l }, 0, fsm.FieldInStateMS},
		"time of a transition":  {func(l []fsm.Event) []fsm.Event { l[3].InStateMS--; return l }, 3, fsm.FieldInStateMS},
		"time of a rejection":   {func(l []fsm.Event) []fsm.Event { l[2].MonoNS += 1e7; return l }, 2, fsm.FieldInStateMS},
		"time in a new run":     {func(l []fsm.Event) []fsm.Event { l[4].InStateMS = 99; return l }, 4, fsm.FieldInStateMS},
		"time in a later run":   {func(l []fsm.Event) []fsm.Event { l[4].InStateMS = 99; return l[2:] }, 2, fsm.FieldInStateMS},
		"time after a transition": {func(l []fsm.Event) []fsm.Event {
			l[5].InStateMS = 99
			return l[4:]
		}, 1, fsm.FieldInStateMS},
		"gap to nowhere": {func(l []fsm.Event) []fsm.Event {
			l[3] = fsm.Event{Kind: fsm.KindGap, Seq: 4, To: "Ajar"}
			return l
		}, 3, fsm.FieldTo},
		"behind a gap": {func(l []fsm.Event) []fsm.Event {
			l[3] = fsm.Event{Kind: fsm.KindGap, Seq: 4, To: "Open"}
			return l
		}, 4, fsm.FieldFrom},
		"gap before its place": {gapWith(3), 3, fsm.FieldSeq},
		"gap behind its place": {gapWith(5), 3, fsm.FieldSeq},
		"gap without a seq":    {gapWith(0), 3, fsm.FieldSeq},
		"gap, and its event all the same": {func(l []fsm.Event) []fsm.Event {
			return slices.Insert(l, 4, missing(l[:4:4], 3, 4)[3])
		}, 4, fsm.FieldSeq},
		"gap, then the event it stands for": {func(l []fsm.Event) []fsm.Event {
			return slices.Insert(l, 3, missing(l[:4:4], 3, 4)[3])
		}, 4, fsm.FieldSeq},
		"gap, then one before it": {func(l []fsm.Event) []fsm.Event {
			l = missing(l, 3, 4)
			l[4].Seq = 2
			return l
		}, 4, fsm.FieldSeq},
		"gap, then a hole behind the next event": {func(l []fsm.Event) []fsm.Event {
			return slices.Delete(missing(l, 1, 2), 3, 4)
		}, 3, fsm.FieldSeq},
		"two gaps in one place": {func(l []fsm.Event) []fsm.Event {
			l = missing(l, 3, 4)
			return slices.Insert(l, 4, l[3])
		}, 4, fsm.FieldSeq},
		"gap, then a snapshot before it": {func(l []fsm.Event) []fsm.Event {
			return slices.Insert(missing(l, 3, 4), 4, snapshotOf(l[3], func(s *fsm.Event) { s.Seq = 3 }))
		}, 4, fsm.FieldSeq},
		"snapshot with another seq": {func(l []fsm.Event) []fsm.Event {
			return slices.Insert(l, 4, snapshotOf(l[3], func(s *fsm.Event) { s.Seq = 3 }))
		}, 4, fsm.FieldSeq},
		"snapshot with another state": {func(l []fsm.Event) []fsm.Event {
			return slices.Insert(l, 4, snapshotOf(l[3], func(s *fsm.Event) { s.From, s.To = "Open", "Open" }))
		}, 4, fsm.FieldFrom},
		"snapshot that moves": {func(l []fsm.Event) []fsm.Event {
			return slices.Insert(l, 4, snapshotOf(l[3], func(s *fsm.Event) { s.To = "Open" }))
		}, 4, fsm.FieldTo},
		"snapshot of another run": {func(l []fsm.Event) []fsm.Event {
			return slices.Insert(l, 4, snapshotOf(l[3], func(s *fsm.Event) { s.Run = "r2" }))
		}, 4, fsm.FieldRun},
		"snapshot with another time": {func(l []fsm.Event) []fsm.Event {
			return slices.Insert(l, 4, snapshotOf(l[3], func(s *fsm.Event) { s.InStateMS = 9 }))
		}, 4, fsm.FieldInStateMS},
		"snapshot in an unknown state": {func(l []fsm.Event) []fsm.Event {
			return slices.Insert(l[4:], 0, snapshotOf(l[3], func(s *fsm.Event) { s.From, s.To = "Ajar", "Ajar" }))
		}, 0, fsm.FieldFrom},
		"first snapshot not initial": {func(l []fsm.Event) []fsm.Event {
			return slices.Insert(l, 0, snapshotOf(l[0], func(s *fsm.Event) { s.Seq, s.MonoNS, s.From, s.To = 0, 0, "Open", "Open" }))
		}, 0, fsm.FieldFrom},
		"snapshot, then a hole": {func(l []fsm.Event) []fsm.Event {
			return slices.Insert(l[4:], 0, snapshotOf(l[2], func(*fsm.Event) {}))
		}, 1, fsm.FieldSeq},
		"time after the first snapshot": {func(l []fsm.Event) []fsm.Event {
			l[0].InStateMS++
			return slices.Insert(l, 0, snapshotOf(l[0], func(s *fsm.Event) { s.Seq, s.MonoNS, s.InStateMS = 0, 0, 0 }))
		}, 1, fsm.FieldInStateMS},
		"time in a run after a snapshot": {func(l []fsm.Event) []fsm.Event {
			l[4].InStateMS = 99
			return slices.Insert(l[4:], 0, snapshotOf(l[3], func(*fsm.Event) {}))
		}, 1, fsm.FieldInStateMS},
		"cycle of none":               {cycleWith(func(c *fsm.Event) { c.Count = 0 }), 4, fsm.FieldCount},
		"cycle with half a trip":      {cycleWith(func(c *fsm.Event) { c.Count = 3 }), 4, fsm.FieldCount},
		"cycle without an end":        {cycleWith(func(c *fsm.Event) { c.Count = 1<<64 - 2 }), 4, fsm.FieldCount},
		"cycle from elsewhere":        {cycleWith(func(c *fsm.Event) { c.From, c.To, c.Via = "Open", "Open", "Closed" }), 4, fsm.FieldFrom},
		"cycle by another trigger":    {cycleWith(func(c *fsm.Event) { c.Trigger = "Close" }), 4, fsm.FieldTrigger},
		"cycle via another state":     {cycleWith(func(c *fsm.Event) { c.Via = "Broken" }), 4, fsm.FieldVia},
		"cycle back by another":       {cycleWith(func(c *fsm.Event) { c.Back = "Open" }), 4, fsm.FieldBack},
		"cycle that moves":            {cycleWith(func(c *fsm.Event) { c.To = "Broken" }), 4, fsm.FieldTo},
		"cycle that is no way back":   {cycleWith(func(c *fsm.Event) { c.Back, c.To = "Kick", "Broken" }), 4, fsm.FieldTo},
		"cycle longer than it lasted": {cycleWith(func(c *fsm.Event) { c.InStateMS = 7 }), 4, fsm.FieldInStateMS},
		"time behind a cycle": {func(l []fsm.Event) []fsm.Event {
			l = cycleWith(func(*fsm.Event) {})(l)
			l[5].InStateMS++
			return l
		}, 5, fsm.FieldInStateMS},
		"seq behind a cycle": {func(l []fsm.Event) []fsm.Event {
			l = cycleWith(func(*fsm.Event) {})(l)
			l[5].Seq--
			return l
		}, 5, fsm.FieldSeq},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			log := tt.mutate(doorLog(t))
			_, err := fsm.Replay(doorTable(t), slices.Values(log))
			var d *fsm.DivergenceError
			if !errors.As(err, &d) {
				t.Fatalf("Replay: %v", err)
			}
			if d.Index != tt.index || d.Field != tt.field || d.Event != log[tt.index] || d.Want == d.Got {
				t.Errorf("want %s at %d, got %v", tt.field, tt.index, d)
			}
			if !strings.Contains(d.Error(), tt.field) {
				t.Errorf("message %q does not name the field", d)
			}
		})
	}
}

func TestReplayTellsWhichSeqIsWanted(t *testing.T) {
	for want, log := range map[string][]fsm.Event{
		"4":         gapWith(5)(doorLog(t)),
		"5 or more": gapWith(4)(slices.Insert(doorLog(t), 4, doorLog(t)[3])),
	} {
		_, err := fsm.Replay(doorTable(t), slices.Values(log))
		var d *fsm.DivergenceError
		if !errors.As(err, &d) || d.Field != fsm.FieldSeq || d.Want != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestReplayAccepts(t *testing.T) {
	tests := map[string]struct {
		mutate func([]fsm.Event) []fsm.Event
		want   fsm.State
	}{
		"whole log":      {func(l []fsm.Event) []fsm.Event { return l }, "Broken"},
		"empty log":      {func([]fsm.Event) []fsm.Event { return nil }, "Closed"},
		"begin cut off":  {func(l []fsm.Event) []fsm.Event { return l[2:] }, "Broken"},
		"end cut off":    {func(l []fsm.Event) []fsm.Event { return l[:2] }, "Open"},
		"time not known": {func(l []fsm.Event) []fsm.Event { l[2].InStateMS = 99; return l[2:] }, "Broken"},
		"gap":            {func(l []fsm.Event) []fsm.Event { return missing(l, 1, 3) }, "Broken"},
		"gap at first":   {func(l []fsm.Event) []fsm.Event { return missing(l, 0, 3) }, "Broken"},
		"gap at last":    {func(l []fsm.Event) []fsm.Event { return missing(l, 1, len(l)) }, "Broken"},
		// The begin of the second run is not in the log, nor is the time it was entered.
		"gap over a begin": {func(l []fsm.Event) []fsm.Event { return missing(l, 2, 5) }, "Broken"},
		"snapshot within": {func(l []fsm.Event) []fsm.Event {
			return slices.Insert(l, 3, snapshotOf(l[2], func(*fsm.Event) {}))
		}, "Broken"},
		"snapshot at first": {func(l []fsm.Event) []fsm.Event {
			l[3].InStateMS = 99 // not known
			return slices.Insert(l[3:], 0, snapshotOf(l[2], func(*fsm.Event) {}))
		}, "Broken"},
		"snapshot alone": {func(l []fsm.Event) []fsm.Event {
			return []fsm.Event{snapshotOf(l[2], func(*fsm.Event) {})}
		}, "Open"},
		"snapshot behind a gap": {func(l []fsm.Event) []fsm.Event {
			s := snapshotOf(l[2], func(*fsm.Event) {})
			return slices.Insert(missing(l, 1, 3), 2, s)
		}, "Broken"},
		"gap behind a snapshot": {func(l []fsm.Event) []fsm.Event {
			s := snapshotOf(l[0], func(*fsm.Event) {})
			return slices.Insert(missing(l, 1, 3), 1, s)
		}, "Broken"},
		"gap behind a gap": {func(l []fsm.Event) []fsm.Event {
			return missing(missing(l, 3, 4), 4, 6)
		}, "Broken"},
		// A journal that was closed during an outage ends with a gap, and the next
		// process numbers on from its Seq.
		"gap, then a snapshot in its place": {func(l []fsm.Event) []fsm.Event {
			l = missing(l, 1, 3)
			l[1].InStateMS = 7
			for i := range l[2:] {
				l[2+i].Seq = uint64(3 + i)
			}
			return slices.Insert(l, 2, snapshotOf(l[1], func(*fsm.Event) {}))
		}, "Broken"},
		"unknown kind": {func(l []fsm.Event) []fsm.Event {
			l[2] = fsm.Event{Kind: "odd", Seq: 3, Run: "r1", MonoNS: 7}
			return l
		}, "Broken"},
		"cycle": {cycleWith(func(*fsm.Event) {}), "Closed"},
		"cycle at first": {func(l []fsm.Event) []fsm.Event {
			return cycleWith(func(c *fsm.Event) { c.InStateMS = 99 })(l)[4:] // since when is not known
		}, "Closed"},
		"evidence changed": {func(l []fsm.Event) []fsm.Event { l[1].Error, l[1].Time = "x", time.Time{}; return l }, "Broken"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			state, err := fsm.Replay(doorTable(t), slices.Values(tt.mutate(doorLog(t))))
			if err != nil || state != tt.want {
				t.Errorf("Replay = %q, %v; want %q", state, err, tt.want)
			}
		})
	}
}

// cycleWith has the first run of the log end with a door that opens and closes twice,
// for 2 ms each time, and 6 ms after that with a note.
func cycleWith(change func(*fsm.Event)) func([]fsm.Event) []fsm.Event {
	return func(l []fsm.Event) []fsm.Event {
		cycle := l[3]
		cycle.Kind, cycle.Seq, cycle.From, cycle.Trigger, cycle.Via, cycle.Back, cycle.Count = fsm.KindCycle, 5, "Closed", "Open", "Open", "Close", 4
		cycle.MonoNS, cycle.InStateMS = cycle.MonoNS+6e6, 4
		note := cycle
		note.Kind, note.Name, note.Seq, note.Trigger, note.Via, note.Back, note.Count = fsm.KindNote, "seen", 9, "", "", "", 0
		note.MonoNS, note.InStateMS = cycle.MonoNS+6e6, 6
		change(&cycle)
		return append(l[:4:4], cycle, note)
	}
}

// missing puts a gap in place of log[i:j].
func missing(log []fsm.Event, i, j int) []fsm.Event {
	to := log[j-1].To
	gap := fsm.Event{Kind: fsm.KindGap, Seq: log[i].Seq, Run: log[j-1].Run, From: to, To: to}
	return slices.Replace(log, i, j, gap)
}

// gapWith puts a gap with the given Seq in place of the event 4.
func gapWith(seq uint64) func([]fsm.Event) []fsm.Event {
	return func(l []fsm.Event) []fsm.Event {
		l = missing(l, 3, 4)
		l[3].Seq = seq
		return l
	}
}

// snapshotOf is what a journal writes behind e, changed.
func snapshotOf(e fsm.Event, change func(*fsm.Event)) fsm.Event {
	if e.Kind == fsm.KindTransition {
		e.InStateMS = 0
	}
	e.Kind, e.From, e.Trigger = fsm.KindSnapshot, e.To, ""
	change(&e)
	return e
}
