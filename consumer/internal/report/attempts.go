package report

import (
	"time"

	"github.com/rs/zerolog"
)

// Attempts give the failed attempts of an outage their levels: the 1st, 2nd, 4th, 8th, ... are warnings, and at least
// one a minute, so that a long night neither drowns the log nor leaves it silent. The others are debug.
//
// The zero value is ready for use, by one goroutine at a time.
type Attempts struct {
	warned int64 // MonoNS of the last one that was a warning
}

// Level is that of the attempt of this number, counted from 1, at this time on the events' clock (MonoNS).
func (a *Attempts) Level(attempt int, monoNS int64) zerolog.Level {
	if attempt&(attempt-1) != 0 && monoNS-a.warned < int64(time.Minute) {
		return zerolog.DebugLevel
	}
	a.warned = monoNS
	return zerolog.WarnLevel
}
