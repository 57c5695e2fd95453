package past

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// Verify checks a journal event by event, and tells out what is right with it. It returns an error for the first
// event that is wrong, and a [DamagedError] for a journal that is damaged, or is none.
func Verify(path string, out *term.Output, zone *time.Location) error {
	v := verification{of: cmp.Or(LifecycleIn(path), history.Consumer()), page: newPage(out, zone)}
	err := v.checkJournal(path)
	return errors.Join(out.Print(v.report()), err)
}

// LifecycleIn is what a journal says it is of, nil if it does not say.
func LifecycleIn(path string) *history.Lifecycle {
	for e, err := range journal.Read(path) {
		if err != nil {
			break // it is said when the journal is checked
		}
		if of := history.LifecycleOf(e); of != nil {
			return of
		}
	}
	return nil
}

// Repair opens a journal as a writer does, which sets a torn line aside, and says what it has done.
func Repair(dir string) (said string, err error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("--repair: %s is not the directory of a journal", dir)
	}
	if err := expectJournal(dir); err != nil { // opening would make one
		return "", noJournal(err)
	}
	opened, err := journal.Open(dir, journal.Options{RetainBytes: math.MaxInt64, Strict: true})
	var corrupt *journal.CorruptError
	if errors.As(err, &corrupt) {
		return "", &DamagedError{fmt.Errorf("--repair: %w", err)}
	}
	if err != nil {
		return "", fmt.Errorf("--repair: %w", err)
	}
	said = "nothing is torn"
	if torn := opened.Torn(); torn != "" {
		said = "a torn line was set aside into " + torn
	}
	return said, opened.Close()
}

// noJournal is err, but a DamagedError if it says that there is nothing.
func noJournal(err error) error {
	var none noEventsError
	if errors.As(err, &none) {
		return &DamagedError{err}
	}
	return err
}

// verification is what was checked so far.
type verification struct {
	of   *history.Lifecycle
	page page

	count       int
	gaps        int
	foreign     string // fingerprint of another table than this program's
	machines    machines
	runs        int
	first, last fsm.Event
	place       string // of last
	sound       bool
}

// checkJournal returns an error for the first event that is wrong, and a DamagedError for a journal that is
// damaged, or is none.
func (v *verification) checkJournal(path string) error {
	if err := expectJournal(path); err != nil {
		return noJournal(err)
	}
	err := v.check(journal.Records(path))
	var corrupt *journal.CorruptError
	switch {
	case err == nil && v.place == "":
		return &DamagedError{about(path, "empty")}
	case !errors.As(err, &corrupt):
		return err
	case corrupt.Line == 1 && !journal.IsSegment(corrupt.File):
		err = about(path, "not a journal, or damaged in its first line: %s", corrupt.Reason)
	}
	return &DamagedError{err}
}

// check returns an error for the first event that is wrong, or that of the records.
func (v *verification) check(records iter.Seq2[journal.Record, error]) error {
	var damage error
	_, err := fsm.Replay(v.of.Table, func(yield func(fsm.Event) bool) {
		for r, err := range records {
			if err != nil {
				damage = err
				return
			}
			v.place = fmt.Sprintf("%s:%d", r.File, r.Line)
			if !yield(r.Event) {
				return
			}
			v.saw(r.Event)
		}
	})
	var wrong *fsm.DivergenceError
	if errors.As(err, &wrong) {
		return about(fmt.Sprintf("%s (seq %d)", v.place, wrong.Event.Seq), "%s is %q, expected %s", wrong.Field, wrong.Got, wrong.Want)
	}
	v.sound = damage == nil
	return damage
}

// saw counts an event that was right.
func (v *verification) saw(e fsm.Event) {
	if e.Table != "" && e.Table != v.of.Table.Fingerprint() {
		v.foreign = e.Table
	}
	if e.Kind == fsm.KindSnapshot { // which repeats what was
		return
	}
	if v.count == 0 {
		v.first = e
	}
	if v.count == 0 || e.Run != v.last.Run {
		v.runs++
	}
	if e.Kind == fsm.KindGap {
		v.gaps++
	}
	if e.Machine != "" {
		v.machines.saw(e.Machine)
	}
	v.count++
	v.last = e
}

// report says what is right.
func (v *verification) report() term.Text {
	if v.count == 0 {
		return ""
	}
	p := v.page
	var text term.Text
	row := func(label, format string, args ...any) { text += p.row(label, fmt.Sprintf(format, args...)) }
	verdict := "checked"
	if !v.sound {
		verdict = "checked so far"
	}
	row(verdict, "%s, seq %d to %d, of %s", counted(v.count, "event"), v.first.Seq, v.last.Seq, counted(v.runs, "run"))
	if len(v.machines) > 0 {
		row("machine", "%v", v.machines)
	}
	row("time", "%s to %s", p.full(v.first.Time), p.full(v.last.Time))
	if v.gaps > 0 {
		row("not checked", "what is missing in %s", counted(v.gaps, "gap"))
	}
	row("numbers", "without a hole")
	row("transitions", "each is in the table of a %s, and follows from those before", v.of.Noun)
	if v.foreign != "" {
		row("table", "some of it was written with another one, %s, and obeys this one, %s, all the same", v.foreign, v.of.Table.Fingerprint())
	}
	row("times in states", "as the times of the events make them")
	row("last state", "%s", v.last.To)
	return text
}
