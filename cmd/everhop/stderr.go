package main

import (
	"bytes"
	"io"
	"sync"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// tellingTime is how long a line may take to be written once everhop is to stop.
const tellingTime = time.Second

// standardError is where lines for people go. A write waits for its reader, as any does; but once
// hurry has been called, a line that is not out tellingTime later is left behind, and the process can
// end without it:
//
//	Write ──► goroutine ──► w: out, or stuck until the process ends
//	  └── waits; after hurry, for tellingTime at most
type standardError struct {
	w       io.Writer
	once    sync.Once
	hurried chan struct{} // closed by hurry
}

func newStandardError(w io.Writer) *standardError {
	return &standardError{w: w, hurried: make(chan struct{})}
}

// Write reports a line that is left behind as written: about an error, a logger would complain, to
// standard error.
func (s *standardError) Write(line []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	out, kept := make(chan result, 1), bytes.Clone(line) // a writer's caller may use line again
	go func() {
		n, err := writeAll(s.w, kept)
		out <- result{n, err}
	}()
	select {
	case r := <-out:
		return r.n, r.err
	case <-s.hurried:
	}
	select {
	case r := <-out:
		return r.n, r.err
	case <-time.After(tellingTime):
		return len(line), nil
	}
}

// Unwrap is the writer below.
func (s *standardError) Unwrap() io.Writer { return s.w }

// hurry is called when everhop is to stop: the standard error that w writes to must not keep it.
func hurry(w io.Writer) {
	for w != nil {
		if s, ok := w.(*standardError); ok {
			s.once.Do(func() { close(s.hurried) })
		}
		w = term.Below(w)
	}
}
