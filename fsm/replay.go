package fsm

import (
	"fmt"
	"iter"
	"strconv"
)

// Replay folds a log with the table and returns the state it leads to; the
// table's initial state when the log is empty.
//
// A log need not be whole. One whose first event has another Seq than 1 starts in
// that event's From. A KindGap has the Seq of the first event it stands for; behind
// it the fold goes on from its To, with whatever greater Seq comes next. Everything
// else is checked: Seq has no hole, From is the folded state, the table permits
// Trigger and leads to To, and InStateMS is what the MonoNS of this event and of the
// run's last transition, or of the run's begin, make it, if the log has them. A
// run's begin is known for the log's first event when its Seq is 1, and for any run
// that begins within the log.
//
// A KindSnapshot has to repeat what was folded: its Seq is that of the event
// before it and its To the state. A log that begins with one starts there; what
// its run did before is not known, unless its Seq is 0.
//
// A kind that is not known, as a later version may write, takes a Seq and changes
// nothing.
//
// The error is a [*DivergenceError] for the first event that fails, and the
// state is then the one before it.
//
// A rejected trigger is not checked: a table may gain a row and still replay the
// logs of its past.
func Replay(t *Table, events iter.Seq[Event]) (State, error) {
	f := fold{table: t, state: t.initial, fresh: true}
	index := 0
	for e := range events {
		if d := f.add(&e); d != nil {
			d.Index, d.Event = index, e
			return f.state, d
		}
		index++
	}
	return f.state, nil
}

// fold is what the events so far have led to.
type fold struct {
	table *Table
	state State
	fresh bool   // nothing was added yet, and any seq will do
	seq   uint64 // of the next event
	open  bool   // behind a gap: or more
	run   string

	// entered is the MonoNS of the run's last transition or begin, if timed.
	entered int64
	timed   bool
}

func (f *fold) add(e *Event) *DivergenceError {
	switch e.Kind {
	case "":
		return diverges(FieldKind, "a kind", e.Kind)
	case KindGap:
		return f.skip(e)
	case KindSnapshot:
		return f.resume(e)
	}
	f.anchor(e)
	if d := f.number(e.Seq, f.seq); d != nil {
		return d
	}
	switch e.Kind {
	case KindTransition, KindRejected, KindStale, KindBoot, KindNote:
		return f.step(e)
	}
	return nil
}

// step folds an event of a known kind.
func (f *fold) step(e *Event) *DivergenceError {
	if d := f.checkStep(e); d != nil {
		return d
	}
	if d := f.checkTime(e); d != nil {
		return d
	}
	f.state = e.To
	if e.Kind == KindTransition {
		f.entered, f.timed = e.MonoNS, true
	}
	return nil
}

// skip passes over missing events. What the run did in them is not known.
func (f *fold) skip(gap *Event) *DivergenceError {
	if !f.table.declares(gap.To) {
		return diverges(FieldTo, "a declared state", gap.To)
	}
	if d := f.number(gap.Seq, f.seq); d != nil {
		return d
	}
	f.state, f.open = gap.To, true
	return nil
}

// resume compares a snapshot with the fold, or starts a fold with it.
func (f *fold) resume(s *Event) *DivergenceError {
	switch {
	case f.fresh:
		if s.Seq > 0 {
			f.state = s.To
		}
		f.run, f.timed = s.Run, s.Seq == 0
	case f.open:
		f.run, f.timed = s.Run, false
	}
	if d := f.number(s.Seq, f.seq-1); d != nil {
		return d
	}
	if d := f.checkStep(s); d != nil {
		return d
	}
	if s.Run != f.run {
		return diverges(FieldRun, strconv.Quote(f.run), s.Run)
	}
	return f.checkTime(s)
}

// anchor takes from e what the log has not said yet: where it starts, and which
// run is writing.
func (f *fold) anchor(e *Event) {
	switch {
	case f.fresh:
		whole := e.Seq == 1
		if !whole {
			f.state = e.From
		}
		f.run, f.timed = e.Run, whole
	case f.open:
		f.run, f.timed = e.Run, false
	case e.Run != f.run:
		f.run, f.entered, f.timed = e.Run, 0, true
	}
}

// number checks a Seq, and expects the one after it.
func (f *fold) number(got, want uint64) *DivergenceError {
	if got != want && !f.fresh && !(f.open && got > want) {
		text := strconv.FormatUint(want, 10)
		if f.open {
			text += " or more"
		}
		return diverges(FieldSeq, text, strconv.FormatUint(got, 10))
	}
	f.seq, f.fresh, f.open = got+1, false, false
	return nil
}

func (f *fold) checkTime(e *Event) *DivergenceError {
	if want := wholeMS(f.entered, e.MonoNS); f.timed && e.InStateMS != want {
		return diverges(FieldInStateMS, strconv.FormatInt(want, 10), strconv.FormatInt(e.InStateMS, 10))
	}
	return nil
}

// checkStep checks from, trigger and to.
func (f *fold) checkStep(e *Event) *DivergenceError {
	if e.From != f.state {
		return diverges(FieldFrom, strconv.Quote(string(f.state)), e.From)
	}
	if !f.table.declares(e.From) {
		return diverges(FieldFrom, "a declared state", e.From)
	}
	to := f.state
	if e.Kind == KindTransition {
		var err error
		if to, err = f.table.Next(f.state, e.Trigger); err != nil {
			return diverges(FieldTrigger, fmt.Sprintf("one of: %s", orNone(join(f.table.Permitted(f.state)))), e.Trigger)
		}
	}
	if e.To != to {
		return diverges(FieldTo, strconv.Quote(string(to)), e.To)
	}
	return nil
}

func diverges[T ~string](field, want string, got T) *DivergenceError {
	return &DivergenceError{Field: field, Want: want, Got: string(got)}
}
