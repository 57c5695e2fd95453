package main

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"

	"github.com/everhop/everhop/fsm"
)

// source is where past events are read from. A directory is a journal, and so is a file that is a segment of
// one. Any other file is a log, which has Everhop's JSON lines among others, and so are pipes and, with "-",
// standard input.
type source struct {
	path    string
	stdin   io.Reader
	spooled *os.File // what came on a stream, once spool has read it
}

// corruptError says that a journal is damaged, or is none.
type corruptError struct{ err error }

func (e *corruptError) Error() string { return e.err.Error() }
func (e *corruptError) Unwrap() error { return e.err }

// noEventsError says that there is nothing to tell of.
type noEventsError struct{ name, reason string }

func (e *noEventsError) Error() string { return e.name + ": " + e.reason }

// errInterrupted says that a signal came before the end of what was to be read.
var errInterrupted = errors.New("interrupted")

// name is the source for messages.
func (s source) name() string {
	if s.path == "-" {
		return "standard input"
	}
	return s.path
}

// events reads all events there are. It ends with the first error. When ctx ends first, that is errInterrupted,
// but a stream just ends: many have no end of their own.
func (s source) events(ctx context.Context) iter.Seq2[fsm.Event, error] { return s.read(ctx, false) }

// follow reads on as the source grows, until ctx ends.
func (s source) follow(ctx context.Context) iter.Seq2[fsm.Event, error] { return s.read(ctx, true) }

func (s source) read(ctx context.Context, follow bool) iter.Seq2[fsm.Event, error] {
	return func(yield func(fsm.Event, error) bool) {
		journal, err := s.isJournal()
		if err == nil {
			read := s.readLog
			if journal {
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
