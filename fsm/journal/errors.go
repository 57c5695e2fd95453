package journal

import (
	"errors"
	"fmt"
)

var (
	// ErrLocked is returned by Open when another process, or this one, has the
	// directory open already. The text names the holder. The lock goes with its
	// holder, however that ends: the file that is left over need not be removed.
	ErrLocked = errors.New("journal: locked")

	// ErrClosed is returned by a [Journal] after Close.
	ErrClosed = errors.New("journal: closed")

	// ErrRemoved is yielded by [Records] and [Follow] when retention has removed
	// segments that were to be read next: the reader is slower than the writer. What
	// was yielded is right, what is left can be read from its start.
	ErrRemoved = errors.New("journal: segments were removed by retention before they were read")

	// ErrNotNext is returned by [Journal.Append] for an event whose Seq does not
	// follow: two machines share the journal, or one did not begin with Last.
	ErrNotNext = errors.New("journal: event does not follow the journal's last")
)

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
	// writing it. Open mends that.
	Torn bool
}

func (e *CorruptError) Error() string {
	advice := "keep a copy, then move this file and the newer ones beside it out of the directory: what is before the damage can still be read"
	if e.Torn {
		advice = "the next writer to open the journal sets this line aside"
	}
	return fmt.Sprintf("journal: %s:%d is damaged at byte %d, after seq %d: %s; %s", e.File, e.Line, e.Offset, e.Seq, e.Reason, advice)
}
