package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// maxLine is how long a line may be: the most that any RabbitMQ takes by default as one message.
const maxLine = 128 << 20

// lines reads ahead on a goroutine of its own, since nothing can interrupt a Read: when ctx has
// ended, it is left behind in it.
type lines struct {
	read chan []byte
	err  error // why there are no more, once read is closed
}

func readLines(ctx context.Context, input io.Reader, longest int) *lines {
	l := &lines{read: make(chan []byte)}
	go func() {
		defer close(l.read)
		scanner := bufio.NewScanner(input)
		scanner.Buffer(nil, longest+1) // with the newline
		scanner.Split(splitLine)
		count := 0
		for scanner.Scan() {
			count++
			select {
			case l.read <- bytes.Clone(scanner.Bytes()):
			case <-ctx.Done():
				l.err = ctx.Err()
				return
			}
		}
		switch err := scanner.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			l.err = fmt.Errorf("line %d: longer than %d bytes", count+1, longest)
		case err != nil:
			l.err = fmt.Errorf("standard input: %w", err)
		default:
			l.err = io.EOF
		}
	}()
	return l
}

// next returns a line without its newline, io.EOF after the last one, or ctx's error.
func (l *lines) next(ctx context.Context) ([]byte, error) {
	select {
	case line, more := <-l.read:
		if !more {
			return nil, l.err
		}
		return line, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// splitLine is bufio.ScanLines, but keeps carriage returns: a body is what is between two newlines.
func splitLine(data []byte, atEOF bool) (advance int, line []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}
