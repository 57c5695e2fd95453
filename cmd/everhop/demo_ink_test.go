package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDemoCut(t *testing.T) {
	painted := "ab" + ink(true).paint("cd", red) + "ef"
	tests := []struct {
		text    string
		columns int
		want    string
	}{
		{"abc", 3, "abc"},
		{"abc", 2, "ab"},
		{"abc", 0, ""},
		{"a──►b", 3, "a──"},
		{painted, 6, painted},
		{painted, 5, "ab\x1b[31mcd\x1b[0me\x1b[0m"},
		{painted, 3, "ab\x1b[31mc\x1b[0m"},
		{painted, 1, "a"},
	}
	for _, tt := range tests {
		got := cut(tt.text, tt.columns)
		if got != tt.want {
			t.Errorf("cut(%q, %d) = %q, want %q", tt.text, tt.columns, got, tt.want)
		}
		if width(got) > tt.columns {
			t.Errorf("cut(%q, %d) has %d columns", tt.text, tt.columns, width(got))
		}
	}
}

func TestDemoWrap(t *testing.T) {
	tests := []struct {
		text    string
		columns int
		want    string
	}{
		{"", 5, ""},
		{"one two", 7, "one two"},
		{"one two", 6, "one\ntwo"},
		{"one two three", 3, "one\ntwo\nthree"},
		{"  one two", 6, "  one\n  two"},
		{"  one   two", 6, "  one\n  two"},
		{"  endless", 4, "  endless"},
		{"── ─ ──", 4, "── ─\n──"},
		{"  " + ink(true).paint("one two", bold), 6, "  \x1b[1mone\n  two\x1b[0m"},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, strings.Join(wrap(tt.text, tt.columns), "\n")); diff != "" {
			t.Errorf("wrap(%q, %d): %s", tt.text, tt.columns, diff)
		}
	}
}

func TestDemoInkless(t *testing.T) {
	if got := ink(false).paint("text", bold, red); got != "text" {
		t.Errorf("without ink: %q", got)
	}
}
