package main

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// What is spooled can be read as often as one likes.
func TestSpool(t *testing.T) {
	p := outage(t)
	s := source{path: "-", stdin: strings.NewReader(p.lines())}
	if !s.isStream() {
		t.Error("it is no stream")
	}
	s, done, err := s.spool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if s.isStream() {
		t.Error("it still is a stream")
	}
	for range 2 {
		n := 0
		for _, err := range s.events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != len(p.log) {
			t.Errorf("%d events, want %d", n, len(p.log))
		}
	}
}

// A stream that cannot be read is told of, by its name.
func TestStreamFails(t *testing.T) {
	broken := io.MultiReader(strings.NewReader("hello\n"), brokenReader{})
	for e, err := range (source{path: "-", stdin: broken}).events(t.Context()) {
		if err == nil || err.Error() != "standard input: broken" {
			t.Errorf("%v, %v", e, err)
		}
	}
	if _, _, err := (source{path: "-", stdin: brokenReader{}}).spool(t.Context()); err == nil || err.Error() != "standard input: broken" {
		t.Errorf("spooling: %v", err)
	}
}

var errBroken = errors.New("broken")

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }
