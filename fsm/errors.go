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

	// ErrNotRecordable is returned by Record for a kind that it does not take, and for
	// a note or a stale event without a name.
	ErrNotRecordable = errors.New("fsm: not recordable")

	// ErrClosed is returned by Fire and Record after Close.
	ErrClosed = errors.New("fsm: machine is closed")
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

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
