package past

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/everhop/everhop/fsm"
)

// Source is where past events are read from. A directory is a journal, and so is a file that is a segment of
// one. Any other file is a log, which has Everhop's JSON lines among others, and so are pipes and, with "-",
// standard input.
type Source struct {
	Path    string
	Stdin   io.Reader
	spooled *os.File // what came on a stream, once spool has read it
}

// DamagedError says that a journal is damaged, or is none.
type DamagedError struct{ Err error }

func (e *DamagedError) Error() string { return e.Err.Error() }
func (e *DamagedError) Unwrap() error { return e.Err }

// SourceError is an error about a source. Its text begins with the source's name, which may be any text.
type SourceError struct {
	Name string
	Err  error
}

func (e *SourceError) Error() string { return e.Name + ": " + e.Err.Error() }
func (e *SourceError) Unwrap() error { return e.Err }

// about is an error about the source of that name.
func about(name, format string, args ...any) error {
	return &SourceError{name, fmt.Errorf(format, args...)}
}

// noEventsError says why there is nothing to tell of.
type noEventsError string

func (e noEventsError) Error() string { return string(e) }

// ErrInterrupted says that the context has ended before the end of what was to be read.
var ErrInterrupted = errors.New("interrupted")

// name is the source for messages.
func (s Source) name() string {
	if s.Path == "-" {
		return "standard input"
	}
	return s.Path
}

// events reads all events there are. It ends with the first error. When ctx ends first, that is ErrInterrupted,
// but a stream just ends: many have no end of their own.
func (s Source) events(ctx context.Context) iter.Seq2[fsm.Event, error] { return s.read(ctx, false) }

// follow reads on as the source grows, until ctx ends.
func (s Source) follow(ctx context.Context) iter.Seq2[fsm.Event, error] { return s.read(ctx, true) }

func (s Source) read(ctx context.Context, follow bool) iter.Seq2[fsm.Event, error] {
	return func(yield func(fsm.Event, error) bool) {
		isJournal, err := s.isJournal()
		if err == nil {
			read := s.readLog
			if isJournal {
				read = s.readJournal
			}
			enough := false
			err = read(ctx, follow, func(e fsm.Event) bool {
				enough = !yield(e, nil)
				return !enough
			})
			if enough {
				return
			}
		}
		if err != nil {
			yield(fsm.Event{}, err)
		}
	}
}
