package main

import (
	"context"
	"errors"
	"io"
	"testing"
)

var errStopping = errors.New("stopping")

// What announces the end of soft has been called when it ends, and knows why.
func TestInterruptibleTellsFirst(t *testing.T) {
	for range 100 { // it was a race
		ctx, cancel := context.WithCancelCause(t.Context())
		var told error
		soft, hard, release := interruptible(ctx, io.Discard, func(cause error) { told = cause })
		if soft.Err() != nil {
			t.Fatal("soft ended by itself")
		}
		cancel(errStopping)
		<-soft.Done()
		if !errors.Is(told, errStopping) || !errors.Is(context.Cause(soft), errStopping) {
			t.Fatalf("told %v, soft ended with %v", told, context.Cause(soft))
		}
		if hard.Err() != nil {
			t.Fatal("hard ended too")
		}
		release()
		if hard.Err() == nil {
			t.Fatal("hard goes on after release")
		}
	}
}

func TestInterruptibleQuietWithoutSignal(t *testing.T) {
	soft, _, release := interruptible(t.Context(), io.Discard, func(cause error) { t.Errorf("told %v", cause) })
	release()
	if soft.Err() == nil {
		t.Error("soft goes on after release")
	}
}
