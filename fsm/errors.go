package fsm

import (
	"errors"
	"fmt"
)

var (
	// ErrNotPermitted is what every [*NotPermittedError] is.
	ErrNotPermitted = errors.New("fsm: trigger not permitted")

	// ErrVetoed is what every [*CommitError] is: the journal refused the event.
	ErrVetoed = errors.New("fsm: vetoed by the journal")

	// ErrReentrant is returned by Fire and Record when they are called within, or
	// concurrently with, another call of either: a machine has one owner.
	ErrReentrant = errors.New("fsm: Fire or Record called within or beside another")

	// ErrNotRecordable is returned by Record for a kind it does not take.
	ErrNotRecordable = errors.New("fsm: kind is not recordable")

	// ErrClosed is returned by Fire and Record after Close.
	ErrClosed = errors.New("fsm: machine is closed")

	// ErrLocked is returned by OpenJournal when another process, or this one, has
	// the directory open already. The text names the holder. The lock goes with its
	// holder, however that ends: the file that is left over need not be removed.
	ErrLocked = errors.New("fsm: journal is locked")

	// ErrJournalClosed is returned by a [FileJournal] after Close.
	ErrJournalClosed = errors.New("fsm: journal is closed")

	// ErrRemoved is yielded by [Records] and [Follow] when retention has removed
	// segments that were to be read next: the reader is slower than the writer. What
	// was yielded is right, what is left can be read from its begin.
	ErrRemoved = errors.New("fsm: segments were removed by retention before they were read")

	// ErrNotNext is returned by [FileJournal.Append] for an event whose Seq does
	// not follow: two machines share the journal, or one did not begin with Last.
	ErrNotNext = errors.New("fsm: event does not follow the journal's last")
)

// NotPermittedError says that no row of the table permits Trigger in State. It
// is an [ErrNotPermitted].
type NotPermittedError struct {
	State   State
	Trigger Trigger
	// Permitted is what State permits, in table order.
	Permitted []Trigger
}

func (e *NotPermittedError) Error() string {
	return fmt.Sprintf("fsm: %q does not permit %q, only: %s", e.State, e.Trigger, orNone(join(e.Permitted)))
}

// Unwrap returns [ErrNotPermitted].
func (e *NotPermittedError) Unwrap() error { return ErrNotPermitted }

// CommitError says that the journal refused Event: the machine is as it was
// before. It is an [ErrVetoed] and what the journal returned.
type CommitError struct {
	Event Event
	Err   error
}

func (e *CommitError) Error() string {
	return fmt.Sprintf("fsm: journal refused %s event %d in %q: %v", e.Event.Kind, e.Event.Seq, e.Event.From, e.Err)
}

// Unwrap returns [ErrVetoed] and the error of the journal.
func (e *CommitError) Unwrap() []error { return []error{ErrVetoed, e.Err} }

// DivergenceError names the first event of a log that cannot have come from the
// table or cannot follow the events before it.
type DivergenceError struct {
	// Index is the event's place in the log, counted from 0.
	Index int
	// Event is the event as the log has it.
	Event Event
	// Field is the JSON name of the field that is wrong: one of the Field constants.
	Field string
	// Want is what the field had to be, Got what it is.
	Want, Got string
}

func (e *DivergenceError) Error() string {
	return fmt.Sprintf("fsm: replay diverges at index %d (seq %d): %s is %q, want %s",
		e.Index, e.Event.Seq, e.Field, e.Got, e.Want)
}

// CorruptError says where a journal was damaged. Everything before that place is
// as it was written, and was yielded by the reader that returns the error.
type CorruptError struct {
	File string
	// Line is counted from 1, Offset in bytes from 0: where the bad line begins.
	Line   int
	Offset int64
	// Seq is that of the newest event before the damage; 0 when there is none.
	Seq    uint64
	Reason string
	// Torn is true for a last line without an end: a writer died within it, or is
	// writing it. OpenJournal mends that.
	Torn bool
}

func (e *CorruptError) Error() string {
	advice := "keep a copy, then move this file and the newer ones beside it out of the directory: what is before the damage can still be read"
	if e.Torn {
		advice = "the next writer to open the journal sets this line aside"
	}
	return fmt.Sprintf("fsm: %s:%d is damaged at byte %d, after seq %d: %s; %s", e.File, e.Line, e.Offset, e.Seq, e.Reason, advice)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
