package past

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	tests := map[time.Duration]string{
		-1: "0 s", 0: "0 s", 1: "<1 ms", 994 * time.Millisecond: "994 ms", 996 * time.Millisecond: "1.0 s", 59949 * time.Millisecond: "59.9 s",
		59951 * time.Millisecond: "1m", 90 * time.Second: "1m 30s", 59*time.Minute + 59600*time.Millisecond: "1h",
		23*time.Hour + 59*time.Minute + 40*time.Second: "1d", 50 * time.Hour: "2d 2h", 2*time.Hour + 90*time.Second: "2h 2m",
	}
	for d, want := range tests {
		if got := Span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
