package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// interruptible turns SIGINT and SIGTERM into contexts: the first one ends soft, as the end of ctx
// does; the second one ends hard; a third one kills the process. The cause says which signal came.
// release must be called; it ends both.
func interruptible(ctx context.Context) (soft, hard context.Context, release func()) {
	soft, endSoft := context.WithCancelCause(ctx)
	hard, endHard := context.WithCancelCause(context.WithoutCancel(ctx))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	released := make(chan struct{})
	var listener sync.WaitGroup
	listener.Go(func() {
		defer signal.Stop(signals)
		for _, end := range []context.CancelCauseFunc{endSoft, endHard} {
			select {
			case s := <-signals:
				end(errors.New(s.String()))
			case <-released:
				return
			}
		}
	})
	return soft, hard, func() {
		close(released)
		listener.Wait()
		endSoft(nil)
		endHard(nil)
	}
}
