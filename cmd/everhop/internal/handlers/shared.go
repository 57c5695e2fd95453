package handlers

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
	buffer []byte     // empty; for who reads while he holds mu
	failed atomic.Pointer[error]

	look   sync.Once
	prompt bool // a write never waits
}

const (
	// copied is how much is read at once.
	copied = 4 << 10
	// longestLine is what is kept of a line until it is whole.
	longestLine = 1 << 20
)

// commandOutput is the pipe of one command.
type commandOutput struct {
	to     *shared
	pipes  *pipes
	ours   *pipeEnd      // of the pipe, to be read
	write  *os.File      // its other end
	read   *os.File      // the end, if a goroutine passes on what comes
	held   []byte        // what was read and is not passed on
	failed error         // the first of passing on
	told   bool          // that all is out
	out    chan struct{} // closed when all is out that the command had written before it ended
	lost   error         // why some of it is not; to be read after out
	last   *tail         // nil: not kept; to be read after out
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

// open takes a pipe. The command is to inherit its write end.
func (s *shared) open(from *pipes) (*commandOutput, error) {
	p, err := from.output()
	if err != nil {
		return nil, err
	}
	o := &commandOutput{to: s, pipes: from, ours: p.ours, write: p.theirs, out: make(chan struct{})}
	if s.ends {
		o.last = new(tail)
	}
	return o, nil
}

// commandOutputs are the standard output and the standard error of one command.
type commandOutputs []*commandOutput

// inherited is called when the command has the write ends.
func (outputs commandOutputs) inherited() {
	for _, o := range outputs {
		o.write.Close()
	}
}

// drop is called when there is no command.
func (outputs commandOutputs) drop() {
	outputs.inherited()
	for _, o := range outputs {
		o.ours.Close()
	}
}

// copy has goroutines pass on what comes, also after the command has ended: it may leave a process behind.
func (outputs commandOutputs) copy() {
	for _, o := range outputs {
		if o.read == nil && !o.told {
			o.read = o.ours.waitable()
			go o.copy() // until no process has the other end any more
		}
	}
}

// finish waits until all is out that the command has written, which has ended. It returns false if ctx ends first.
func (outputs commandOutputs) finish(ctx context.Context) bool {
	for _, o := range outputs {
		var late <-chan time.Time
		if o.read != nil && o.read.SetReadDeadline(time.Now()) != nil { // where a pipe has none, one that is left open has no end
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

func (o *commandOutput) copy() {
	defer o.ours.Close()
	ended := false // the command has
	for {
		read := o.read.Read
		if ended && !o.told {
			read = func(p []byte) (int, error) { return readNow(o.read, p) }
		}
		n, err := read(o.space())
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			ended = true // what it has written may still be there
			_ = o.read.SetReadDeadline(time.Time{})
		case o.take(n, err, o.to.pass):
			return
		}
	}
}

// space is where to read to.
func (o *commandOutput) space() []byte {
	o.held = slices.Grow(o.held, copied)
	return o.held[len(o.held):cap(o.held)]
}

// take is told how reading went. It tells whether it was the last time.
func (o *commandOutput) take(n int, err error, pass func([]byte) error) (over bool) {
	o.held = o.held[:len(o.held)+n]
	if !o.told && o.last != nil {
		o.last.add(o.held[len(o.held)-n:])
	}
	ready := len(o.held)
	if err == nil && o.to.lines && ready < longestLine {
		ready = 0
		if last := bytes.LastIndexByte(o.held[len(o.held)-n:], '\n'); last >= 0 { // there is none before
			ready = len(o.held) - n + last + 1
		}
	}
	if ready > 0 {
		o.failed = cmp.Or(o.failed, pass(o.held[:ready]))
		o.held = append(o.held[:0], o.held[ready:]...)
	}
	if err != nil && !o.told {
		o.told, o.lost = true, o.failed
		close(o.out)
	}
	return err != nil && !errors.Is(err, errEmpty)
}

// errEmpty says that there is nothing to be read now.
var errEmpty = errors.New("empty")

func (s *shared) pass(text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(text)
}

// write is called with mu held.
func (s *shared) write(text []byte) error {
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
