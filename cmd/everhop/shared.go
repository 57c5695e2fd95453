package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// shared is standard output or standard error, for commands. Each writes into a pipe of its own:
//
//	command ──► pipe ──► copy ── whole lines ──► w
//
// So lines of commands that run at once do not mix, a command never meets a reader that has gone, and none has to know
// that the output may say EAGAIN. Once w has failed nothing more is written.
type shared struct {
	w      io.Writer
	lines  bool   // pass on whole lines: several commands run at once
	ends   bool   // keep the end of what each command writes
	broken func() // called once, when a write has failed

	mu     sync.Mutex // held while writing, which may take for ever
	failed atomic.Pointer[error]
}

const (
	// copied is how much is read at once.
	copied = 4 << 10
	// longestLine is what is kept of a line until it is whole.
	longestLine = 1 << 20
)

// commandOutput is the pipe of one command.
type commandOutput struct {
	read, write *os.File
	out         chan struct{} // closed when all is out that the command had written before it ended
	lost        error         // why some of it is not; to be read after out
	last        *tail         // nil: not kept; to be read after out
}

// loss is why something is lost of what the command has written.
func (o *commandOutput) loss() error {
	select {
	case <-o.out:
		return o.lost
	default:
		return nil
	}
}

// end is how what the command has written ends.
func (o *commandOutput) end() string {
	select {
	case <-o.out:
		return o.last.text()
	default:
		return ""
	}
}

// open makes a pipe. The command is to inherit its write end.
func (s *shared) open() (*commandOutput, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o := &commandOutput{read: read, write: write, out: make(chan struct{})}
	if s.ends {
		o.last = new(tail)
	}
	go s.copy(o) // until no process has the other end any more, which a command may leave behind
	return o, nil
}

// commandOutputs are the standard output and the standard error of one command.
type commandOutputs []*commandOutput

// inherited is called when the command has the write ends, or could not be started.
func (outputs commandOutputs) inherited() {
	for _, o := range outputs {
		o.write.Close()
	}
}

// finish waits until all is out that the command has written, which has ended. It returns false if ctx ends first.
func (outputs commandOutputs) finish(ctx context.Context) bool {
	for _, o := range outputs {
		var late <-chan time.Time
		if o.read.SetReadDeadline(time.Now()) != nil { // where a pipe has none, one that is left open has no end
			late = time.After(unread)
		}
		select {
		case <-o.out:
		case <-late:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// copy passes on what comes through the pipe, also after the command has ended: it may leave a process behind.
func (s *shared) copy(o *commandOutput) {
	defer o.read.Close()
	var held []byte
	var lost error
	pass := func(n int) {
		lost = cmp.Or(lost, s.pass(held[:n]))
		held = append(held[:0], held[n:]...)
	}
	told, ended := false, false // that all is out; and the command has
	tell := func() {
		if pass(len(held)); !told {
			told, o.lost = true, lost
			close(o.out)
		}
	}
	for {
		held = slices.Grow(held, copied)
		read := o.read.Read
		if ended && !told {
			read = func(p []byte) (int, error) { return readNow(o.read, p) }
		}
		n, err := read(held[len(held):cap(held)])
		held = held[:len(held)+n]
		if !told && o.last != nil {
			o.last.add(held[len(held)-n:])
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			ended = true // what it has written may still be there
			_ = o.read.SetReadDeadline(time.Time{})
		case errors.Is(err, errEmpty):
			tell()
		case err != nil:
			tell()
			return
		case !s.lines || len(held) >= longestLine:
			pass(len(held))
		default:
			pass(bytes.LastIndexByte(held, '\n') + 1)
		}
	}
}

func (s *shared) pass(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failure(); err != nil {
		return err
	}
	_, err := s.w.Write(text)
	if err != nil {
		s.failed.Store(&err)
		if s.broken != nil {
			s.broken()
		}
	}
	return err
}

// failure is why nothing is written any more, nil if that is not so. It waits for nobody.
func (s *shared) failure() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}
