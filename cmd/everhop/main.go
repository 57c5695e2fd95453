package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/everhop/everhop/cmd/everhop/internal/past"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

func main() {
	// Once somebody listens for SIGPIPE, writing to a closed pipe is an error that can be handled,
	// not the end of the process. Ignoring it would do too, but commands inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(context.Background(), takeArgs(os.Args[1:]), os.Stdin, os.Stdout, os.Stderr))
}

// run is the program. It returns the exit status; the end of ctx is the first signal.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	words := term.To(newStandardError(stderr))
	root := newRoot(stdin, term.To(standardOutput{stdout}), words)
	root.SetArgs(args)
	return conclude(root.ExecuteContext(ctx), words)
}

// conclude tells how it went, with an exit status and if need be in words.
func conclude(err error, stderr io.Writer) int {
	err = withoutReader(err)
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		complain(stderr, fmt.Sprintf("%v; see '%s --help'", err, usage.command))
		return 2
	}
	complain(stderr, err.Error())
	var damaged *past.DamagedError
	switch {
	case errors.As(err, &damaged):
		return 3
	case errors.Is(err, past.ErrInterrupted):
		return 130 // as a shell says it of a command that SIGINT has ended
	}
	return 1
}

// withoutReader leaves out of joined errors that the reader has had enough, which is none.
func withoutReader(err error) error {
	if !readerGone(err) {
		return err
	}
	var rest []error
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, one := range joined.Unwrap() {
			rest = append(rest, withoutReader(one))
		}
	}
	return errors.Join(rest...)
}

// complain prints an error as one line, joined errors too.
func complain(stderr io.Writer, text string) {
	text = packages.ReplaceAllString(strings.ReplaceAll(text, "\n", "; "), "$1")
	_, _ = fmt.Fprintf(stderr, "everhop: %s\n", term.Clean(redact(text)))
}

// packages are the prefixes of our errors. They help who programs with them; who types a command
// needs what is behind them.
var packages = regexp.MustCompile(`(^|: |; )(?:(?:broker|consumer|fsm|journal): )+`)

// usageError says what is wrong with the command line.
type usageError struct {
	command string // whose help tells more: "everhop consume"
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }
