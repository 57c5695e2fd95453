package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// stopSignals are those that ask to stop. SIGHUP, which comes when a terminal is closed, is none if it was ignored
// when everhop was started, as nohup has it.
func stopSignals() []os.Signal {
	asked := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		asked = append(asked, syscall.SIGHUP)
	}
	return asked
}

// interruptible turns stopSignals into contexts: the first one ends soft, as the end of ctx does; the
// second one ends hard; a third one kills the process, if it is still there. The cause says which signal came. release must be
// called; it ends both.
//
// softly, unless it is nil, is called with the cause before soft ends: what it logs comes before anything that the
// end of soft brings about. From then on stderr holds nobody up (see hurry), so that it returns.
func interruptible(ctx context.Context, stderr io.Writer, softly func(cause error)) (soft, hard context.Context, release func()) {
	soft, endSoft := context.WithCancelCause(context.WithoutCancel(ctx))
	hard, endHard := context.WithCancelCause(context.WithoutCancel(ctx))
	signals := make(chan os.Signal, 16) // so that no hangups, which come while softly takes its time, keep another signal out
	signal.Notify(signals, stopSignals()...)
	released := make(chan struct{})
	var listener sync.WaitGroup
	listener.Go(func() {
		defer signal.Stop(signals)
		var first error
		select {
		case s := <-signals:
			first = errors.New(s.String())
		case <-ctx.Done():
			first = context.Cause(ctx)
		case <-released:
			return
		}
		hurry(stderr)
		if softly != nil {
			softly(first)
		}
		endSoft(first)
		if s := second(signals, released); s != nil {
			endHard(errors.New(s.String()))
		}
	})
	return soft, hard, func() {
		close(released)
		listener.Wait()
		endSoft(nil)
		endHard(nil)
	}
}

// untilSignal does a command's work, whose context the first signal ends. The second one leaves the work where it is,
// whatever holds it up: a broker that does not answer, a reader who does not read. The process ends with the command.
func untilSignal(cmd *cobra.Command, softly func(cause error), work func(ctx context.Context) error) error {
	soft, hard, release := interruptible(cmd.Context(), cmd.ErrOrStderr(), softly)
	defer release()
	done := make(chan error, 1)
	go func() { done <- work(soft) }()
	select {
	case err := <-done:
		return err
	case <-hard.Done():
	}
	patience := time.NewTimer(uncutFor)
	defer patience.Stop()
	select {
	case err := <-done:
		return err
	case uncut <- struct{}{}: // nothing is begun any more
	case <-patience.C:
	}
	return &interrupted{fmt.Errorf("%w: ended at once", context.Cause(hard))}
}

// uncut is held while something is written that a second signal must not cut in the middle, unless it takes uncutFor.
var uncut = make(chan struct{}, 1)

const uncutFor = time.Second

// interrupted says that a signal has ended the work, with its cause.
type interrupted struct{ error }

// second is nil if none comes. SIGHUP is none: a terminal that is closed may send several.
func second(signals <-chan os.Signal, released <-chan struct{}) os.Signal {
	for {
		select {
		case s := <-signals:
			if s != syscall.SIGHUP {
				return s
			}
		case <-released:
			return nil
		}
	}
}
