package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// source is where past events are read from: a file, a directory of journal segments, or with "-" standard
// input. It may be a journal, or a log that has Everhop's JSON lines among others: what the first line is,
// decides. Every line of a journal must be an event, and its checksums right if it has any; of a log, what is
// no event is skipped.
type source struct {
	path  string
	stdin io.Reader
	label string // in messages; defaults to path
	whole bool   // a torn last line is damage: otherwise it may be on its way
}

// located is an event and where it was read.
type located struct {
	event fsm.Event
	file  string
	line  int
}

// place is for messages.
func (l located) place() string { return fmt.Sprintf("%s:%d", l.file, l.line) }

// corruptError says that a journal is damaged, or is none.
type corruptError struct{ err error }

func (e *corruptError) Error() string { return e.err.Error() }
func (e *corruptError) Unwrap() error { return e.err }

// noEventsError says that there is nothing to tell of.
type noEventsError struct {
	name  string
	lines int
}

func (e *noEventsError) Error() string {
	if e.lines == 0 {
		return e.name + ": empty"
	}
	return fmt.Sprintf("%s: neither a journal nor a log of Everhop: no event in %d lines; is the log's format json?", e.name, e.lines)
}

// longestEvent is how long a line with an event may be. Longer ones of a log are skipped.
const longestEvent = 1 << 20

// name is the source for messages.
func (s source) name() string {
	switch {
	case s.label != "":
		return s.label
	case s.path == "-":
		return "standard input"
	}
	return s.path
}

// events reads all events there are. It ends with the first error. Standard input is left when ctx ends.
func (s source) events(ctx context.Context) iter.Seq2[fsm.Event, error] {
	return bare(s.records(ctx, false))
}

// follow reads on as the source grows, until ctx ends. More than one segment may be there, and come.
func (s source) follow(ctx context.Context) iter.Seq2[fsm.Event, error] {
	return bare(s.records(ctx, true))
}

func bare(records iter.Seq2[located, error]) iter.Seq2[fsm.Event, error] {
	return func(yield func(fsm.Event, error) bool) {
		for r, err := range records {
			if !yield(r.event, err) {
				return
			}
		}
	}
}

func (s source) records(ctx context.Context, follow bool) iter.Seq2[located, error] {
	return func(yield func(located, error) bool) {
		r := reading{yield: yield, none: noEventsError{name: s.name()}}
		err := r.source(ctx, s, follow)
		if err == nil && !r.found && !follow {
			err = &r.none
		}
		if err != nil && !errors.Is(err, errEnough) {
			yield(located{}, err)
		}
	}
}

// errEnough is the end that the caller wants.
var errEnough = errors.New("enough")

// reading is one pass over a source.
type reading struct {
	yield   func(located, error) bool
	none    noEventsError
	begun   bool
	journal bool
	found   bool
}

func (r *reading) source(ctx context.Context, s source, follow bool) error {
	if s.path == "-" {
		return r.lines(&interruptibleReader{ctx: ctx, input: s.stdin}, s.name())
	}
	segments, err := s.segments()
	if err != nil {
		return err
	}
	if isSealed(segments[0], s.whole) {
		return r.sealed(ctx, s, follow)
	}
	for i := 0; i < len(segments); i++ {
		file, err := os.Open(segments[i])
		if err != nil {
			return err
		}
		var input io.Reader = file
		if follow && i == len(segments)-1 {
			input = &tail{ctx: ctx, file: file, superseded: func() bool {
				newer, err := s.segments()
				more := err == nil && len(newer) > len(segments)
				if more {
					segments = newer
				}
				return more
			}}
		}
		err = r.lines(input, cmp.Or(s.label, segments[i]))
		file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// isSealed tells whether a file is a journal with checksums: by its first line, or if it is to be thorough, by
// any, since the first may be what is damaged.
func isSealed(path string, thorough bool) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	input := bufio.NewReaderSize(file, 64<<10)
	for {
		line, err := readLine(input)
		if bytes.HasPrefix(line, []byte(`{"v":`)) && bytes.Contains(line, []byte(`,"crc":"`)) {
			return true
		}
		if err != nil || !thorough {
			return false
		}
	}
}

// sealed reads a journal with checksums.
func (r *reading) sealed(ctx context.Context, s source, follow bool) error {
	records := fsm.Records(s.path)
	if follow {
		records = fsm.Follow(ctx, s.path)
	}
	for record, err := range records {
		var corrupt *fsm.CorruptError
		switch {
		case errors.As(err, &corrupt) && corrupt.Torn && !s.whole:
			return nil
		case corrupt != nil:
			return &corruptError{err}
		case err != nil:
			return err
		}
		r.found = true
		if !r.yield(located{record.Event, record.File, record.Line}, nil) {
			return errEnough
		}
	}
	return nil
}

// segments are the files to read, in order.
func (s source) segments() ([]string, error) {
	info, err := os.Stat(s.path)
	if err != nil || !info.IsDir() {
		return []string{s.path}, err
	}
	segments, err := filepath.Glob(filepath.Join(s.path, "*.jsonl"))
	slices.Sort(segments)
	if err == nil && len(segments) == 0 {
		err = fmt.Errorf("%s: no journal in this directory", s.path)
	}
	return segments, err
}

func (r *reading) lines(input io.Reader, name string) error {
	buffered := bufio.NewReaderSize(input, 64<<10)
	for number := 1; ; number++ {
		line, err := readLine(buffered)
		if len(line) > 0 {
			if err := r.line(line, name, number); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

func (r *reading) line(line []byte, name string, number int) error {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return nil
	}
	r.none.lines++
	e, ok := history.ParseLog(line)
	if !r.begun {
		r.begun, r.journal = true, ok && bytes.HasPrefix(line, []byte(`{"v":`))
	}
	switch {
	case ok:
		r.found = true
		if !r.yield(located{e, name, number}, nil) {
			return errEnough
		}
	case r.journal:
		return &corruptError{fmt.Errorf("%s:%d: the journal is damaged: not an event", name, number)}
	}
	return nil
}

// readLine returns a line, or nothing in place of one that is too long.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	long := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = r.ReadSlice('\n')
		if len(long) <= longestEvent {
			long = append(long, line...)
		}
	}
	if len(long) > longestEvent {
		return nil, err
	}
	return long, err
}

// tail reads a file that grows. It ends with ctx, or when there is a newer file.
type tail struct {
	ctx        context.Context
	file       *os.File
	superseded func() bool
	last       bool
}

func (t *tail) Read(p []byte) (int, error) {
	const pause = 100 * time.Millisecond
	for {
		n, err := t.file.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) || t.last {
			return n, err
		}
		if t.last = t.superseded(); t.last {
			continue // for what was written in the meantime
		}
		select {
		case <-time.After(pause):
		case <-t.ctx.Done():
			return 0, io.EOF
		}
	}
}

// interruptibleReader ends with ctx, as nothing can interrupt a Read: when ctx has ended, it is left behind
// in one.
type interruptibleReader struct {
	ctx    context.Context
	input  io.Reader
	chunks chan chunk
	rest   []byte
}

type chunk struct {
	data []byte
	err  error
}

func (r *interruptibleReader) Read(p []byte) (int, error) {
	if r.chunks == nil {
		r.chunks = make(chan chunk)
		go r.read()
	}
	if len(r.rest) == 0 {
		select {
		case c := <-r.chunks:
			if r.rest = c.data; len(c.data) == 0 {
				return 0, c.err
			}
		case <-r.ctx.Done():
			return 0, io.EOF
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *interruptibleReader) read() {
	for {
		buffer := make([]byte, 64<<10)
		n, err := r.input.Read(buffer)
		chunks := []chunk{{data: buffer[:n]}}
		if err != nil {
			chunks = append(chunks, chunk{err: err})
		}
		for _, c := range chunks {
			if len(c.data) == 0 && c.err == nil {
				continue
			}
			select {
			case r.chunks <- c:
			case <-r.ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// spool copies standard input into a file that nobody else sees, so that it can be read twice. done removes
// it.
func (s source) spool(ctx context.Context) (spooled source, done func(), err error) {
	file, err := os.CreateTemp("", "everhop-replay-")
	if err != nil {
		return s, nil, err
	}
	done = func() {
		file.Close()
		_ = os.Remove(file.Name())
	}
	if _, err = io.Copy(file, &interruptibleReader{ctx: ctx, input: s.stdin}); err != nil {
		done()
		return s, nil, err
	}
	return source{path: file.Name(), label: s.name()}, done, nil
}
