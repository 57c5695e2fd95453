package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const longest = 10_000

func readLines(ctx context.Context, input io.Reader) *ahead {
	return readAhead(ctx, splitter{"line", '\n', longest, 1}.read(input))
}

func TestLines(t *testing.T) {
	tests := []struct {
		input     string
		separator byte
		from      int
		want      []string
	}{
		{"", '\n', 1, nil},
		{"\n", '\n', 1, []string{""}},
		{"a\nb", '\n', 1, []string{"a", "b"}},
		{"a\r\n\nb\n", '\n', 1, []string{"a\r", "", "b"}},
		{strings.Repeat("x", longest) + "\ny", '\n', 1, []string{strings.Repeat("x", longest), "y"}},
		{"a\n\x00b\x00\x00c", 0, 1, []string{"a\n", "b", "", "c"}},
		{"a\nb\nc", '\n', 2, []string{"b", "c"}},
		{"a\nb\nc\n", '\n', 4, nil},
	}
	for _, tt := range tests {
		var got []string
		lines := readAhead(t.Context(), splitter{"line", tt.separator, longest, tt.from}.read(strings.NewReader(tt.input)))
		for {
			line, err := lines.next(t.Context())
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				break
			}
			got = append(got, string(line))
		}
		if !cmp.Equal(tt.want, got) {
			t.Errorf("%.20q from %d: %d lines", tt.input, tt.from, len(got))
		}
	}
}

func TestLineTooLong(t *testing.T) {
	lines := readLines(t.Context(), io.MultiReader(strings.NewReader("a\n"), strings.NewReader(strings.Repeat("x", longest+1))))
	if line, err := lines.next(t.Context()); string(line) != "a" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
	if _, err := lines.next(t.Context()); err == nil || err.Error() != "line 2: longer than 10000 bytes" {
		t.Errorf("%v", err)
	}
}

// The end of ctx, which may come while the reader waits to hand over a line, makes no line of its own.
func TestLinesEndWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	lines := readLines(ctx, endless{})
	for line := range lines.read {
		if string(line) != "x" {
			t.Fatalf("line %q", line)
		}
	}
	if line, err := lines.next(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("%q, %v", line, err)
	}
}

// endless is "x", line after line.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, "x\n"), nil }
