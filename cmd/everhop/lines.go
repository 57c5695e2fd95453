package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// ahead reads ahead on a goroutine of its own, since nothing can interrupt a Read: when ctx has
// ended, it is left behind in it.
type ahead struct {
	read chan []byte
	err  error // why there are no more, once read is closed
}

func readAhead(ctx context.Context, read func() ([]byte, error)) *ahead {
	a := &ahead{read: make(chan []byte)}
	go func() {
		defer close(a.read)
		for ctx.Err() == nil {
			body, err := read()
			if err != nil {
				a.err = err
				return
			}
			select {
			case a.read <- body:
			case <-ctx.Done():
			}
		}
		a.err = ctx.Err()
	}()
	return a
}

// next returns what was read, io.EOF after the last of it, or ctx's error.
func (a *ahead) next(ctx context.Context) ([]byte, error) {
	select {
	case body, more := <-a.read:
		if !more {
			return nil, a.err
		}
		return body, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// splitter reads what is between separators, beginning with number from.
type splitter struct {
	unit          string // what it is called: "line"
	separator     byte
	longest, from int
}

// read returns what reads one after the other, without its separator, and io.EOF behind the last one.
func (s splitter) read(input io.Reader) func() ([]byte, error) {
	scanner := bufio.NewScanner(input)
	scanner.Buffer(nil, s.longest+1) // with the separator
	scanner.Split(s.split)
	count := 0
	return func() ([]byte, error) {
		for scanner.Scan() {
			if count++; count >= s.from {
				return bytes.Clone(scanner.Bytes()), nil
			}
		}
		switch err := scanner.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			return nil, fmt.Errorf("%s %d: longer than %d bytes", s.unit, count+1, s.longest)
		case err != nil:
			return nil, fmt.Errorf("standard input: %w", err)
		case count < s.from-1:
			return nil, fmt.Errorf("--from-line %d: the input ends with %s %d", s.from, s.unit, count)
		}
		return nil, io.EOF
	}
}

// split is bufio.ScanLines, but keeps carriage returns: a body is what is between two separators.
func (s splitter) split(data []byte, atEOF bool) (advance int, body []byte, err error) {
	if i := bytes.IndexByte(data, s.separator); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}
