package consumer

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestAttempts(t *testing.T) {
	tests := []struct {
		header any
		want   int
	}{
		{nil, 0}, {int64(3), 3}, {int32(3), 3}, {int16(3), 3}, {int8(3), 3}, {int(3), 3},
		{uint32(3), 3}, {uint16(3), 3}, {uint8(3), 3}, {uint64(3), 3},
		{int64(-3), 0}, {int64(math.MaxInt64), math.MaxInt32}, {uint64(math.MaxUint64), math.MaxInt32},
		{"3", 0}, {3.0, 0}, {true, 0}, {time.Unix(3, 0), 0}, {[]any{int64(3)}, 0},
	}
	for _, test := range tests {
		d := &Delivery{Headers: map[string]any{HeaderAttempts: test.header}}
		if got := Attempts(d); got != test.want {
			t.Errorf("%T %v: %d, want %d", test.header, test.header, got, test.want)
		}
	}
	if got := Attempts(&Delivery{}); got != 0 {
		t.Errorf("no headers: %d", got)
	}
}

func TestErrorText(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"short", "no", "no"},
		{"as long as may be", strings.Repeat("a", maxErrorText), strings.Repeat("a", maxErrorText)},
		{"longer", strings.Repeat("a", maxErrorText+1), strings.Repeat("a", maxErrorText)},
		{"amid a rune", strings.Repeat("a", maxErrorText-1) + "€", strings.Repeat("a", maxErrorText-1)},
		{"invalid", "a\xffb", "a\uFFFDb"},
		{"invalid at the end", strings.Repeat("a", maxErrorText-1) + "\xff", strings.Repeat("a", maxErrorText-1)},
	}
	for _, test := range tests {
		if got := errorText(test.text); got != test.want || !utf8.ValidString(got) {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}
