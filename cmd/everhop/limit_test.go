package main

import (
	"context"
	"errors"
	"testing"

	"github.com/everhop/everhop/consumer"
)

// The numbers are those of the picture at limit.
func TestLimit(t *testing.T) {
	stopping, stop := context.WithCancel(t.Context())
	defer stop()
	type call struct{ result chan error }
	calls := make(chan call)
	handler := limit(2, func(context.Context, *consumer.Delivery) error {
		c := call{make(chan error)}
		calls <- c
		return <-c.result
	}, stop, stopping.Done())
	results := make(chan error, 4)
	deliver := func() { go func() { results <- handler(t.Context(), &consumer.Delivery{}) }() }

	deliver()
	a := <-calls
	deliver()
	b := <-calls
	deliver() // C
	deliver() // D
	failed := errors.New("failed")
	b.result <- failed
	if err := <-results; !errors.Is(err, failed) {
		t.Errorf("B: %v", err)
	}
	c := <-calls // only now
	a.result <- nil
	if err := <-results; err != nil || stopping.Err() != nil {
		t.Errorf("A: %v, stopping: %v", err, stopping.Err())
	}
	c.result <- nil
	first, second := <-results, <-results
	if (first == nil) == (second == nil) || !errors.Is(errors.Join(first, second), consumer.Requeue) {
		t.Errorf("C and D: %v and %v", first, second)
	}
}

func TestLimitEndsWithContext(t *testing.T) {
	handler := limit(1, func(context.Context, *consumer.Delivery) error { return nil }, func() {}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	if err := handler(ctx, &consumer.Delivery{}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := handler(ctx, &consumer.Delivery{}); err == nil {
		t.Error("a delivery beyond the limit was acknowledged")
	}
}
