package main

import (
	"testing"
	"time"
)

func TestTimePoints(t *testing.T) {
	zone := time.FixedZone("CET", 3600)
	end := time.Date(2026, 11, 22, 3, 14, 30, 0, zone)
	day := func(d, h, m, s int) time.Time { return time.Date(2026, 11, d, h, m, s, 0, zone) }
	tests := []struct {
		text string
		want time.Time
	}{
		{"2026-11-22T03:14:00Z", time.Date(2026, 11, 22, 3, 14, 0, 0, time.UTC)},
		{"2026-11-22T03:14:00.25+02:00", time.Date(2026, 11, 22, 1, 14, 0, 250e6, time.UTC)},
		{"2026-11-21 23:59", day(21, 23, 59, 0)},
		{"2026-11-21 23:59:58", day(21, 23, 59, 58)},
		{"2026-11-21T23:59:58", day(21, 23, 59, 58)},
		{"03:14", day(22, 3, 14, 0)},
		{"03:14:30", day(22, 3, 14, 30)},
		{"03:14:31", day(21, 3, 14, 31)},
		{"22:00", day(21, 22, 0, 0)},
		{"2h", day(22, 1, 14, 30)},
		{"0s", end},
	}
	for _, tt := range tests {
		p, ok := parseTime(tt.text)
		if got := p.in(end, zone); !ok || !got.Equal(tt.want) {
			t.Errorf("%s: %v, %v, want %v", tt.text, ok, got, tt.want)
		}
	}
	for _, text := range []string{"", "noon", "-2h", "24:00", "2026-11-22", "3", "2026-13-01 00:00"} {
		if p, ok := parseTime(text); ok {
			t.Errorf("%q: %v", text, p)
		}
	}
}
