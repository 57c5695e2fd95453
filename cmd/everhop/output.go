package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/everhop/everhop/consumer"
)

// output writes messages to standard output, with one Write for each, since several handlers share
// it. Its first error is its last write: part of a message may be out, and whatever followed would be
// read as the rest of it.
type output struct {
	w      io.Writer
	format format
	broken func() // called for each message that could not be written

	mu   sync.Mutex
	line bytes.Buffer
	err  error
}

// format appends a message to a line, with its newline.
type format func(*bytes.Buffer, *consumer.Delivery) error

// outputError is why standard output cannot be written any more.
type outputError struct{ err error }

func (e *outputError) Error() string { return "standard output: " + e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// handle is a consumer.Handler. Nil, and with it the acknowledgement, means that the message is out.
func (o *output) handle(_ context.Context, d *consumer.Delivery) error {
	err := o.write(d)
	var broken *outputError
	if errors.As(err, &broken) {
		o.broken()
		return fmt.Errorf("%w: %w", consumer.Requeue, err) // it was not tried
	}
	return err
}

func (o *output) write(d *consumer.Delivery) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	o.line.Reset()
	if err := o.format(&o.line, d); err != nil {
		return err
	}
	if _, err := o.w.Write(o.line.Bytes()); err != nil {
		o.err = &outputError{err}
	}
	return o.err
}

// failure is the error that broke the output, nil if none did.
func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func formatBody(line *bytes.Buffer, d *consumer.Delivery) error {
	line.Write(d.Body)
	return line.WriteByte('\n')
}

// writeOut prints what a command was asked for.
func writeOut(w io.Writer, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return &outputError{err}
	}
	return nil
}
