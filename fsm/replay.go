package fsm

import (
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
// run's last transition, or of the run's start, make it, if the log has them. A
// run's start is known for the log's first event when its Seq is 1, and for any run
// that begins within the log.
//
// A KindSnapshot has to repeat what was folded: its Seq is that of the event
// before it and its To the state. A log that begins with one starts there; what
// its run did before is not known, unless its Seq is 0.
//
// A KindCycle is checked as the transitions are that it stands for, but for how long
// each state lasted: Via cannot have lasted longer than the cycle.
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
	f := fold{table: t, state: t.initial}
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
	table  *Table
	walker Walker
	state  State
}

func (f *fold) add(e *Event) *DivergenceError {
	step := f.walker.Walk(e)
	if e.Kind == "" {
		return diverges(FieldKind, "a kind", e.Kind)
	}
	if step.First && e.Kind != KindGap {
		f.start(e)
	}
	if e.Kind == KindGap && !f.table.declares(e.To) {
		return diverges(FieldTo, "a declared state", e.To)
	}
	if d := checkSeq(e, &step); d != nil {
		return d
	}
	switch {
	case e.Kind == KindGap:
		f.state = e.To
	case e.Kind == KindSnapshot || e.Kind.known():
		return f.step(e, &step)
	}
	return nil
}

// start takes from the first event where the log begins, unless that is the start.
func (f *fold) start(e *Event) {
	switch {
	case e.Kind == KindSnapshot && e.Seq > 0:
		f.state = e.To
	case e.Kind != KindSnapshot && e.Seq != 1:
		f.state = e.From
	}
}

// step folds an event of a known kind, or compares a snapshot with the fold.
func (f *fold) step(e *Event, step *Step) *DivergenceError {
	if d := f.checkStep(e); d != nil {
		return d
	}
	if isOther := step.Repeated || step.Run != SameRun; e.Kind == KindSnapshot && isOther && !step.First && !step.BehindGap {
		return diverges(FieldRun, "that of the event before", e.Run)
	}
	if d := checkTime(e, step); d != nil {
		return d
	}
	f.state = e.To
	return nil
}

func checkTime(e *Event, step *Step) *DivergenceError {
	lasted := step.Lasted.Milliseconds()
	want := strconv.FormatInt(lasted, 10)
	isRight := e.InStateMS == lasted
	if e.Kind == KindCycle { // it says how long Via lasted
		want = "0 to " + want
		isRight = e.InStateMS >= 0 && e.InStateMS <= lasted
	}
	if isRight || !step.Timed {
		return nil
	}
	return diverges(FieldInStateMS, want, strconv.FormatInt(e.InStateMS, 10))
}

// checkSeq checks the number of an event. A snapshot has that of the event before it.
func checkSeq(e *Event, step *Step) *DivergenceError {
	want := step.Next
	if e.Kind == KindSnapshot {
		want--
	}
	if step.First || e.Seq == want || step.BehindGap && e.Seq > want {
		return nil
	}
	text := strconv.FormatUint(want, 10)
	if step.BehindGap {
		text += " or more"
	}
	return diverges(FieldSeq, text, strconv.FormatUint(e.Seq, 10))
}

// checkStep checks from, trigger and to.
func (f *fold) checkStep(e *Event) *DivergenceError {
	if e.From != f.state {
		return diverges(FieldFrom, strconv.Quote(string(f.state)), e.From)
	}
	if !f.table.declares(e.From) {
		return diverges(FieldFrom, "a declared state", e.From)
	}
	switch e.Kind {
	case KindTransition:
		return f.checkNext(f.state, FieldTrigger, e.Trigger, FieldTo, e.To)
	case KindCycle:
		if e.Count == 0 || e.Count%2 != 0 || e.LastSeq() < e.Seq {
			return diverges(FieldCount, "even, 2 or more", strconv.FormatUint(e.Count, 10))
		}
		if d := f.checkNext(f.state, FieldTrigger, e.Trigger, FieldVia, e.Via); d != nil {
			return d
		}
		if d := f.checkNext(e.Via, FieldBack, e.Back, FieldTo, e.To); d != nil {
			return d
		}
	}
	if e.To != f.state {
		return diverges(FieldTo, strconv.Quote(string(f.state)), e.To)
	}
	return nil
}

// checkNext checks that trigger leads from one state to another. The fields are those
// in which an event has trigger and to.
func (f *fold) checkNext(from State, inTrigger string, trigger Trigger, inTo string, to State) *DivergenceError {
	next, err := f.table.Next(from, trigger)
	if err != nil {
		return diverges(inTrigger, "one of: "+orNone(join(f.table.Permitted(from))), trigger)
	}
	if to != next {
		return diverges(inTo, strconv.Quote(string(next)), to)
	}
	return nil
}

func diverges[T ~string](field, want string, got T) *DivergenceError {
	return &DivergenceError{Field: field, Want: want, Got: string(got)}
}
