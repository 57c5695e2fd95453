package main

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/everhop/everhop/consumer"
)

// Once a write has failed nothing more is written, and nothing is acknowledged.
func TestOutputBreaks(t *testing.T) {
	writes, broken := 0, 0
	out := &output{
		w: writerFunc(func(p []byte) (int, error) {
			writes++
			if writes == 2 {
				return 1, syscall.EPIPE
			}
			return len(p), nil
		}),
		format: formatBody,
		broken: func() { broken++ },
	}
	var results []error
	for range 4 {
		results = append(results, out.handle(t.Context(), &consumer.Delivery{Body: []byte("body")}))
	}
	if results[0] != nil || results[1] == nil || results[2] == nil || results[3] == nil || writes != 2 || broken != 3 {
		t.Errorf("%v after %d writes, broken %d times", results, writes, broken)
	}
	if !errors.Is(out.failure(), syscall.EPIPE) {
		t.Errorf("failure: %v", out.failure())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// SIGPIPE does not end the program; the error of the write does, without noise.
func TestBrokenPipe(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	p := prepare(t, "graph")
	p.cmd.Stdout = write
	p.start()
	write.Close()
	p.wait(0)
	if noise := p.stderr.String(); noise != "" {
		t.Errorf("noise: %s", noise)
	}
}
