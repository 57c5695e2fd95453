package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/everhop/everhop/cmd/everhop/internal/past"
	"github.com/everhop/everhop/cmd/everhop/internal/secrets"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

func main() {
	// Once somebody listens for SIGPIPE, writing to a closed pipe is an error that can be handled,
	// not the end of the process. Ignoring it would do too, but commands inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(context.Background(), secrets.TakeArgs(os.Args[1:]), os.Stdin, os.Stdout, os.Stderr))
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
	var said statusError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		complain(stderr, fmt.Sprintf("%s; see '%s --help'", inWords(err), usage.command))
		return 2
	case errors.As(err, &said):
		return int(said)
	}
	complain(stderr, inWords(err))
	var damaged *past.DamagedError
	switch {
	case errors.As(err, &damaged):
		return 3
	case errors.Is(err, past.ErrInterrupted), errors.As(err, new(*interrupted)):
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

// complain prints a text as one line.
func complain(stderr io.Writer, text string) {
	_, _ = fmt.Fprintf(stderr, "everhop: %s\n", term.Clean(secrets.Redact(strings.ReplaceAll(text, "\n", "; "))))
}

// inWords is an error's text without the packages' names. They help who programs with them; who types a
// command needs what is behind them.
func inWords(err error) string { return withoutPackages(err.Error(), err) }

// packages are what our packages' errors begin with.
var packages = regexp.MustCompile(`^(?:broker|consumer|fsm|journal|publish): `)

// withoutPackages takes the packages' names off the errors in a text: err, and those that it wraps. Nothing
// else that looks like one is touched, such as a path.
func withoutPackages(text string, err error) string {
	whole, causes := err.Error(), causesOf(err)
	_, named := err.(*past.SourceError) //nolint:errorlint // this one, not what it wraps
	if begin := packages.FindString(whole); begin != "" && !named && !slices.ContainsFunc(causes, func(cause error) bool {
		return strings.HasPrefix(whole, cause.Error()) // and it is the cause's
	}) {
		if at := strings.LastIndex(text, whole); at >= 0 {
			text = text[:at] + text[at+len(begin):]
		}
	}
	for _, cause := range causes {
		text = withoutPackages(text, cause)
	}
	return text
}

// causesOf are the errors that err wraps.
func causesOf(err error) []error {
	switch e := err.(type) { //nolint:errorlint // this one, not what it wraps
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			return []error{cause}
		}
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	}
	return nil
}

// usageError says what is wrong with the command line.
type usageError struct {
	command string // whose help tells more: "everhop consume"
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }
