package report

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/fsm"
)

// Each event has the level that it is given, and what is disabled is left out.
func TestLogLinesLevels(t *testing.T) {
	var log bytes.Buffer
	see := LogLines(zerolog.New(&log), func(e fsm.Event) zerolog.Level {
		return map[fsm.Trigger]zerolog.Level{"Open": zerolog.WarnLevel, "Close": zerolog.Disabled}[e.Trigger]
	})
	see(fsm.Event{Kind: fsm.KindTransition, From: "Closed", To: "Open", Trigger: "Open"})
	see(fsm.Event{Kind: fsm.KindTransition, From: "Open", To: "Closed", Trigger: "Close"})
	if got := log.String(); !strings.Contains(got, `"level":"warn"`) || !strings.Contains(got, `"Closed -> Open: Open"`) || strings.Count(got, "\n") != 1 {
		t.Errorf("logged\n%s", got)
	}
}

// The zero Logger is silent, and nothing breaks.
func TestZeroLoggerIsSilent(t *testing.T) {
	LogLines(zerolog.Logger{}, func(fsm.Event) zerolog.Level { return zerolog.ErrorLevel })(fsm.Event{Kind: fsm.KindTransition, Trigger: "Open"})
}

// Of failed attempts the 1st, 2nd, 4th, ... are warnings, and one a minute.
func TestAttempts(t *testing.T) {
	var a Attempts
	var warned []int
	for n := 1; n <= 100; n++ {
		if a.Level(n, int64(n)*int64(time.Second)) == zerolog.WarnLevel {
			warned = append(warned, n)
		}
	}
	for n := 101; n <= 127; n++ {
		if a.Level(n, int64(100+10*(n-100))*int64(time.Second)) == zerolog.WarnLevel {
			warned = append(warned, n)
		}
	}
	if want := []int{1, 2, 4, 8, 16, 32, 64, 103, 109, 115, 121, 127}; !slices.Equal(warned, want) {
		t.Errorf("warnings are %v, want %v", warned, want)
	}
}
