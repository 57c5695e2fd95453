package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

func newVerify() *cobra.Command {
	var utc, repair bool
	cmd := &cobra.Command{
		Use:   "verify FILE|DIR",
		Short: "Prove that a journal obeys the table of states",
		Long: `Checks a journal, a file or a directory with all its segments, event by event:

  - the numbers have no hole, except behind a recorded gap
  - each event begins in the state that the events before lead to
  - the table permits each trigger there, and it leads where the event says
  - in_state_ms is what the times since the run began make it

The table is that of this program: 'everhop graph' shows it. The first event that fails is told, with
its place, what it has, and what was expected. Checksums are checked, too, and that no segment is
missing between two others. What somebody took away from the end cannot be seen, nor the oldest segments.

--repair first sets a last line aside that a crash has torn, as the next 'everhop consume' with this
journal does: into a file beside it, with a note in the journal. It repairs nothing else.

Exit status: 0 all of it is right, 1 an event is not, or nothing can be read there, 2 wrong command line,
3 the journal is damaged, or what is there is none.`,
		Example: `  everhop verify /var/lib/orders/journal
  everhop verify --repair /var/lib/orders/journal
  everhop verify journal && echo the code obeys its table`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return wrongUsage(cmd, fmt.Errorf("unexpected argument %q", args[1]))
			case len(args) == 0, args[0] == "":
				return wrongUsage(cmd, errors.New("a FILE or a DIR is missing"))
			case args[0] == "-":
				return wrongUsage(cmd, errors.New("a journal is a file or a directory; a log cannot be verified"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			zone := time.Local
			if utc {
				zone = time.UTC
			}
			if repair {
				if err := repairJournal(args[0], cmd.ErrOrStderr()); err != nil {
					return err
				}
			}
			v := verification{table: consumer.Lifecycle(), page: newPage(cmd.OutOrStdout(), zone)}
			err := v.checkJournal(args[0])
			return errors.Join(writeOut(cmd.OutOrStdout(), v.report()), err)
		},
	}
	cmd.Flags().BoolVar(&utc, "utc", false, "times in UTC (default in the local zone)")
	cmd.Flags().BoolVar(&repair, "repair", false, "set a torn last line aside first; nobody may be writing the journal")
	return cmd
}

// repairJournal opens a journal as a writer does, which sets a torn line aside.
func repairJournal(dir string, stderr io.Writer) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("--repair: %s is not the directory of a journal", dir)
	}
	if err := expectJournal(dir); err != nil { // opening would make one
		return noJournal(err)
	}
	j, err := journal.Open(dir, journal.Options{RetainBytes: math.MaxInt64, Strict: true})
	var corrupt *journal.CorruptError
	if errors.As(err, &corrupt) {
		return &corruptError{fmt.Errorf("--repair: %w", err)}
	}
	if err != nil {
		return fmt.Errorf("--repair: %w", err)
	}
	said := "nothing is torn"
	if torn := j.Torn(); torn != "" {
		said = "a torn line was set aside into " + torn
	}
	_, err = fmt.Fprintln(stderr, "everhop: "+said)
	return errors.Join(err, j.Close())
}

// noJournal is err, as a corruptError if it says that there is nothing.
func noJournal(err error) error {
	var none *noEventsError
	if errors.As(err, &none) {
		return &corruptError{err}
	}
	return err
}

// verification is what was checked so far.
type verification struct {
	table *fsm.Table
	page  page

	count       int
	gaps        int
	foreign     string // fingerprint of another table than this program's
	machines    []string
	runs        int
	first, last fsm.Event
	place       string // of last
	sound       bool
}

// checkJournal returns an error for the first event that is wrong, and a corruptError for a journal that is
// damaged, or is none.
func (v *verification) checkJournal(path string) error {
	if err := expectJournal(path); err != nil {
		return noJournal(err)
	}
	err := v.check(journal.Records(path))
	var corrupt *journal.CorruptError
	switch {
	case err == nil && v.place == "":
		return &corruptError{fmt.Errorf("%s: empty", path)}
	case !errors.As(err, &corrupt):
		return err
	case corrupt.Line == 1 && !isSegment(corrupt.File):
		err = fmt.Errorf("%s: not a journal, or damaged in its first line: %s", path, corrupt.Reason)
	}
	return &corruptError{err}
}

// check returns an error for the first event that is wrong, or that of the records.
func (v *verification) check(records iter.Seq2[journal.Record, error]) error {
	var damage error
	_, err := fsm.Replay(v.table, func(yield func(fsm.Event) bool) {
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
		return fmt.Errorf("%s (seq %d): %s is %q, expected %s", v.place, wrong.Event.Seq, wrong.Field, wrong.Got, wrong.Want)
	}
	v.sound = damage == nil
	return damage
}

// saw counts an event that was right.
func (v *verification) saw(e fsm.Event) {
	if e.Table != "" && e.Table != v.table.Fingerprint() {
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
	if e.Machine != "" && !slices.Contains(v.machines, e.Machine) {
		v.machines = append(v.machines, e.Machine)
	}
	v.count++
	v.last = e
}

// report says what is right.
func (v *verification) report() string {
	if v.count == 0 {
		return ""
	}
	p := v.page
	var lines []string
	row := func(label, format string, args ...any) {
		lines = append(lines, p.row(label, fmt.Sprintf(format, args...))...)
	}
	verdict := "checked"
	if !v.sound {
		verdict = "checked so far"
	}
	row(verdict, "%s, seq %d to %d, of %s", counted(v.count, "event"), v.first.Seq, v.last.Seq, counted(v.runs, "run"))
	if len(v.machines) > 0 {
		row("machine", "%s", strings.Join(v.machines, ", "))
	}
	row("time", "%s to %s", p.full(v.first.Time), p.full(v.last.Time))
	if v.gaps > 0 {
		row("not checked", "what is missing in %s", counted(v.gaps, "gap"))
	}
	row("numbers", "without a hole")
	row("transitions", "each is in the table, and follows from those before")
	if v.foreign != "" {
		row("table", "some of it was written with another one, %s, and obeys this one, %s, all the same", v.foreign, v.table.Fingerprint())
	}
	row("times in states", "as the times of the events make them")
	row("last state", "%s", v.last.To)
	return strings.Join(lines, "\n") + "\n"
}
