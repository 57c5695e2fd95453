package fsm

import (
	"fmt"
	"iter"
	"strconv"
)

// Replay folds a log with the table and returns the state it leads to; the
// table's initial state when the log is empty.
//
// A log need not be whole. One whose first event has another Seq than 1 starts
// in that event's From, and behind a KindGap the fold goes on from the gap's To
// with whatever Seq comes next. Everything else is checked: the kind is known,
// Seq has no hole, From is the folded state, the table permits Trigger and leads
// to To, and InStateMS is what the MonoNS of this event and of the run's last
// transition, or of the run's begin, make it, if the log has them. A run's begin
// is known for the log's first event when its Seq is 1, and for any run that
// begins within the log.
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
	fresh bool   // nothing was added yet
	seq   uint64 // of the next event; 0 when any will do: at first, and behind a gap
	run   string

	// entered is the MonoNS of the run's last transition or begin, if timed.
	entered int64
	timed   bool
}

func (f *fold) add(e *Event) *DivergenceError {
	if !e.Kind.known() {
		return diverges(FieldKind, "a known kind", e.Kind)
	}
	if e.Kind == KindGap {
		return f.skip(e)
	}
	f.anchor(e)
	if e.Seq != f.seq {
		return diverges(FieldSeq, strconv.FormatUint(f.seq, 10), strconv.FormatUint(e.Seq, 10))
	}
	if d := f.checkStep(e); d != nil {
		return d
	}
	if want := wholeMS(f.entered, e.MonoNS); f.timed && e.InStateMS != want {
		return diverges(FieldInStateMS, strconv.FormatInt(want, 10), strconv.FormatInt(e.InStateMS, 10))
	}
	f.state, f.seq = e.To, e.Seq+1
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
	f.state, f.seq, f.fresh = gap.To, 0, false
	return nil
}

// anchor takes from e what the log has not said yet: where it starts, and which
// run is writing.
func (f *fold) anchor(e *Event) {
	switch {
	case f.seq == 0:
		whole := f.fresh && e.Seq == 1
		if f.fresh && !whole {
			f.state = e.From
		}
		f.seq, f.run, f.timed = e.Seq, e.Run, whole
	case e.Run != f.run:
		f.run, f.entered, f.timed = e.Run, 0, true
	}
	f.fresh = false
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
