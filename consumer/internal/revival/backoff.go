// Package revival says when the next attempt to revive something begins: how far attempts are apart, and how that
// depends on what was lost, and on how long it had worked.
//
//	lost after it had worked -> Start: at once -> Failed: after a random time, the bound of which doubles -> ...
//	lost soon, once more     -> Start: as if an attempt had failed
//	the broker has gone away -> Start: after a random time up to the longest, since all its clients come back now
//
// Nothing here waits: a [Schedule] only knows the time, and belongs to the goroutine that decides.
package revival

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Backoff spaces attempts: the delay before the next one is random between zero and a bound that
// starts at Initial and doubles up to Max ("full jitter"), so that a thousand clients do not come
// back in step. It has no defaults. Public types of the same fields convert to it.
type Backoff struct {
	Initial time.Duration
	Max     time.Duration
}

// Problems are what is wrong with it; each begins with the field's name.
func (b Backoff) Problems() (problems []string) {
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if b.Initial < 0 {
		report("Initial: %v is negative", b.Initial)
	}
	if b.Max < 0 {
		report("Max: %v is negative", b.Max)
	}
	if b.Max > 24*time.Hour {
		report("Max: %v is more than a day", b.Max)
	}
	if b.Max < b.Initial {
		report("Max: %v is less than Initial, %v", b.Max, b.Initial)
	}
	return problems
}

// Delay is a random one before the next attempt, after so many failures in a row; without any it is zero.
func (b Backoff) Delay(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	return rand.N(b.Bound(failures) + 1)
}

// Bound is the longest delay after so many failures in a row, of which there is one at least.
func (b Backoff) Bound(failures int) time.Duration {
	if shift := failures - 1; shift < 32 && b.Initial <= b.Max>>shift {
		return b.Initial << shift
	}
	return b.Max
}
