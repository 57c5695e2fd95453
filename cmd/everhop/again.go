package main

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// writeAll writes all of p, and waits while w takes nothing: with EAGAIN, which an output says that has been made
// non-blocking, perhaps by another process that has the same pipe or terminal.
func writeAll(w io.Writer, p []byte) (n int, err error) {
	for {
		written, err := w.Write(p[n:])
		n += written
		if !errors.Is(err, syscall.EAGAIN) {
			return n, err
		}
		awaitRoom(w)
	}
}

// patient is a writer that waits.
type patient struct{ w io.Writer }

// Unwrap is the writer below.
func (p patient) Unwrap() io.Writer { return p.w }

func (p patient) Write(text []byte) (int, error) { return writeAll(p.w, text) }

// retryPause is how long to wait where nobody tells when there is room.
const retryPause = 10 * time.Millisecond

// awaitRoom returns when w may take more, and now and then.
func awaitRoom(w io.Writer) {
	if file, ok := w.(*os.File); !ok || !pollRoom(file) {
		time.Sleep(retryPause)
	}
}
