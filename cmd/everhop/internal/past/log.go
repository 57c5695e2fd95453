package past

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// longestEvent is how long a line with an event may be, in bytes. Longer ones are skipped.
const longestEvent = 1 << 20

// readLog passes over the lines that are no events.
func (s Source) readLog(ctx context.Context, follow bool, yield func(fsm.Event) bool) error {
	input, done, err := s.open(ctx, follow)
	if err != nil {
		return err
	}
	defer done()
	buffered := bufio.NewReaderSize(input, 64<<10)
	lines, found := 0, false
	for {
		line, err := readLine(buffered)
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines++
			if e, ok := history.ParseLog(line); ok {
				found = true
				if !yield(e) {
					return nil
				}
			}
		}
		switch {
		case errors.Is(err, ErrInterrupted):
			return err
		case err != nil && !errors.Is(err, io.EOF):
			return &SourceError{s.name(), err}
		case err == nil:
			continue
		case found || follow:
			return nil
		case lines == 0:
			return &SourceError{s.name(), noEventsError("empty")}
		}
		return &SourceError{s.name(), noEventsError(fmt.Sprintf(
			"neither a journal nor a log of Everhop: no event in %d lines; is the log's format json?", lines))}
	}
}

// open returns what a log is read from, and what closes it.
func (s Source) open(ctx context.Context, follow bool) (input io.Reader, done func(), err error) {
	if s.spooled != nil {
		_, err := s.spooled.Seek(0, io.SeekStart)
		return &fileReader{ctx, s.spooled}, func() {}, err
	}
	if s.Path == "-" {
		return &streamReader{ctx: ctx, input: s.Stdin}, func() {}, nil
	}
	file, err := os.Open(s.Path)
	if err != nil {
		return nil, nil, err
	}
	done = func() { file.Close() }
	switch {
	case s.isStream():
		return &streamReader{ctx: ctx, input: file}, done, nil
	case follow:
		growing := &tail{ctx: ctx, file: file}
		return growing, func() { _ = growing.Close() }, nil
	}
	return &fileReader{ctx, file}, done, nil
}

// fileReader reads a file until ctx ends, which is ErrInterrupted.
type fileReader struct {
	ctx  context.Context
	file *os.File
}

func (r *fileReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, ErrInterrupted
	}
	return r.file.Read(p)
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
