package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/everhop/everhop/consumer"
)

// outputBatch is how many bytes are gathered for one write, up to the end of a message: as many as a
// pipe holds.
const outputBatch = 64 << 10

// output writes messages to standard output, many with one Write:
//
//	handle ──► buffer ── full, or commit ──► Write ──► acknowledgements
//
// Its first error is its last write: part of a message may be out, and whatever followed would be
// read as the rest of it. Nothing of that write is acknowledged, and all of it comes again.
type output struct {
	w      io.Writer
	format format
	broken func() // called once, when a write has failed

	mu     sync.Mutex
	buffer bytes.Buffer
	err    error
}

// format appends a message to the buffer, with its newline.
type format func(*bytes.Buffer, *consumer.Delivery) error

// standardOutput marks its errors.
type standardOutput struct{ w io.Writer }

func (o standardOutput) Write(p []byte) (int, error) {
	n, err := writeAll(o.w, p)
	if err != nil {
		err = &outputError{err}
	}
	return n, err
}

// Unwrap is the writer below.
func (o standardOutput) Unwrap() io.Writer { return o.w }

// outputError is why standard output cannot be written any more.
type outputError struct{ err error }

func (e *outputError) Error() string { return "standard output: " + e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// readerGone tells whether an error means that the reader has had enough, as in `everhop consume | head -1`.
func readerGone(err error) bool {
	var output *outputError
	return errors.As(err, &output) && errors.Is(output, syscall.EPIPE)
}

// errNowhere is why nothing is consumed: each message would be acknowledged, and gone.
var errNowhere = &outputError{errors.New("it is closed (or is /dev/null, opened for reading too), and messages would be lost; --output none consumes without writing them")}

// errReadOnly is why nothing is consumed: no message could be written.
var errReadOnly = &outputError{errors.New("it is open for reading only; --output none consumes messages without writing them")}

// as tells the consumer that an error of the output is not its messages' fault, nor news: the program ends
// for that reason, and says it then, or not at all if its reader has had enough.
func as(outcome, err error) error {
	var broken *outputError
	if errors.As(err, &broken) {
		return fmt.Errorf("%w: %w", outcome, err)
	}
	return err
}

// handle is a consumer.Handler. Nil means that the message is in the buffer.
func (o *output) handle(_ context.Context, d *consumer.Delivery) error {
	return as(consumer.Requeue, o.add(d))
}

func (o *output) add(d *consumer.Delivery) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	complete := o.buffer.Len()
	if err := o.format(&o.buffer, d); err != nil {
		o.buffer.Truncate(complete)
		return err
	}
	if o.buffer.Len() < outputBatch {
		return nil
	}
	return o.write()
}

// commit is Subscription.Commit. Nil, and with it the acknowledgement, means that all messages handled
// so far are out.
func (o *output) commit(context.Context) error { return as(consumer.CommitLater, o.flush()) }

func (o *output) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.write()
}

// write is called with mu held.
func (o *output) write() error {
	if o.err != nil || o.buffer.Len() == 0 {
		return o.err
	}
	if _, o.err = o.w.Write(o.buffer.Bytes()); o.err != nil {
		o.broken()
	}
	o.buffer.Reset()
	if o.buffer.Cap() > 4*outputBatch { // one message was huge, and need not stay in memory
		o.buffer = bytes.Buffer{}
	}
	return o.err
}

// lastWrite is how long a write may take once there is no time any more.
const lastWrite = 400 * time.Millisecond

// finish writes what handlers have left when the consumer has stopped: messages whose acknowledgement
// could not be sent any more. It returns the error that broke the output, nil if none did. When ctx
// ends, a write that hangs is left behind.
func (o *output) finish(ctx context.Context) error {
	written := make(chan error, 1)
	go func() { written <- o.flush() }()
	select {
	case err := <-written:
		return err
	case <-ctx.Done(): // perhaps long ago
	}
	select {
	case err := <-written:
		return err
	case <-time.After(lastWrite):
		return &outputError{fmt.Errorf("its reader does not read: %w; what was not written was not acknowledged", context.Cause(ctx))}
	}
}

func formatBody(line *bytes.Buffer, d *consumer.Delivery) error {
	line.Write(d.Body)
	return line.WriteByte('\n')
}
