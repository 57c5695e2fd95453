package term

import (
	"slices"
	"testing"
)

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		text  string
		width int
		want  []string
	}{
		{"any  text", 0, []string{"any  text"}},
		{"", 5, []string{""}},
		{"one two", 7, []string{"one two"}},
		{"one two", 6, []string{"one", "two"}},
		{"one two three", 8, []string{"one two", "three"}},
		{"ab endless ab", 4, []string{"ab", "endl", "ess", "ab"}},
		{"äöü ß", 3, []string{"äöü", "ß"}},
	} {
		if got := Wrap(tt.text, tt.width); !slices.Equal(got, tt.want) {
			t.Errorf("%q, %d: %q, want %q", tt.text, tt.width, got, tt.want)
		}
	}
}

func TestCut(t *testing.T) {
	for width, want := range map[int]string{-1: "", 0: "", 2: "äö", 3: "äöü", 9: "äöü"} {
		if got := Cut("äöü", width); got != want {
			t.Errorf("%d: %q, want %q", width, got, want)
		}
	}
}
