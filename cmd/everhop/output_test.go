package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/consumer"
)

// writes collects what was written, and fails with the write of a number.
type writes struct {
	got   []string
	fails int
}

func (w *writes) Write(p []byte) (int, error) {
	w.got = append(w.got, string(p))
	if len(w.got) == w.fails {
		return 1, syscall.EPIPE
	}
	return len(p), nil
}

func body(text string) *consumer.Delivery { return &consumer.Delivery{Body: []byte(text)} }

// What was handled is written by the commit, at once, in order and only once.
func TestOutputCommit(t *testing.T) {
	var w writes
	out := &output{w: &w, format: formatBody}
	for _, text := range []string{"a", "b", "", "c"} {
		if err := out.handle(t.Context(), body(text)); err != nil || len(w.got) > 1 {
			t.Fatalf("%v after %q", err, w.got)
		}
		if text == "" {
			out.commit(t.Context())
		}
	}
	for range 2 {
		if err := out.commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"a\nb\n\n", "c\n"}, w.got); diff != "" {
		t.Error(diff)
	}
}

// The buffer does not wait for a commit when it is full, and a huge message does not stay in memory.
func TestOutputFull(t *testing.T) {
	var w writes
	out := &output{w: &w, format: formatBody}
	for _, size := range []int{outputBatch - 2, 0, 7, 8 * outputBatch} {
		if err := out.handle(t.Context(), body(strings.Repeat("x", size))); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.got) != 2 || len(w.got[0]) != outputBatch || len(w.got[1]) != 8+8*outputBatch+1 {
		t.Errorf("%d writes", len(w.got))
	}
	if held := out.buffer.Cap(); held > 4*outputBatch {
		t.Errorf("%d bytes are held", held)
	}
}

// Once a write has failed nothing more is written, and nothing is acknowledged.
func TestOutputBreaks(t *testing.T) {
	big := body(strings.Repeat("x", outputBatch))
	for _, full := range []bool{false, true} {
		w, broken := writes{fails: 2}, 0
		out := &output{w: standardOutput{&w}, format: formatBody, broken: func() { broken++ }}
		out.handle(t.Context(), body("a"))
		if err := out.commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		out.handle(t.Context(), body("b"))
		if full {
			if err := out.handle(t.Context(), big); !errors.Is(err, consumer.Requeue) {
				t.Errorf("handled: %v", err)
			}
		}
		for range 2 {
			if err := out.commit(t.Context()); !errors.Is(err, syscall.EPIPE) {
				t.Errorf("committed: %v", err)
			}
			if err := out.handle(t.Context(), big); !errors.Is(err, consumer.Requeue) {
				t.Errorf("handled after the error: %v", err)
			}
		}
		if err := out.finish(t.Context()); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("finished: %v", err)
		}
		if len(w.got) != 2 || broken != 1 {
			t.Errorf("%d writes, broken %d times", len(w.got), broken)
		}
	}
}

// A message that cannot be formatted fails alone.
func TestOutputFormatFails(t *testing.T) {
	var w writes
	bad := errors.New("bad")
	out := &output{w: &w, format: func(line *bytes.Buffer, d *consumer.Delivery) error {
		formatBody(line, d)
		if string(d.Body) == "bad" {
			return bad
		}
		return nil
	}}
	for _, text := range []string{"a", "bad", "b"} {
		if err := out.handle(t.Context(), body(text)); errors.Is(err, bad) != (text == "bad") || errors.Is(err, consumer.Requeue) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := out.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a\nb\n"}, w.got); diff != "" {
		t.Error(diff)
	}
}

// The reader is stuck, but the caller's patience ends.
func TestOutputFinishEnds(t *testing.T) {
	read, write := io.Pipe()
	defer read.Close()
	out := &output{w: write, format: formatBody, broken: func() {}}
	out.handle(t.Context(), body("a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := out.finish(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("finished: %v", err)
	}
}

// SIGPIPE does not end the program; the error of the write does, without noise.
func TestBrokenPipe(t *testing.T) {
	prepareAlone(t, "graph").withoutReader()
}
