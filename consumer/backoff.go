package consumer

import (
	"math/rand/v2"
	"time"
)

// Backoff spaces the attempts to revive: the first is immediate; the delay before the next ones is
// random between zero and a bound that starts at Initial and doubles up to Max ("full jitter"), so
// that a thousand consumers do not come back in step.
//
// Max bounds how long after the end of an outage a consumer notices, which is why it is low.
type Backoff struct {
	// Initial defaults to 100 ms.
	Initial time.Duration
	// Max defaults to 1 s.
	Max time.Duration
}

// Defaults of Backoff.
const (
	DefaultBackoffInitial = 100 * time.Millisecond
	DefaultBackoffMax     = time.Second
)

// stable is how long a consumer must have been Consuming for its next loss to count as a new one,
// revived at once, and not as the last one going on.
const stable = 5 * time.Second

// delay before the next attempt, after so many failures in a row.
func (b Backoff) delay(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	bound := b.Max
	if shift := failures - 1; shift < 32 && b.Initial<<shift < b.Max {
		bound = b.Initial << shift
	}
	return rand.N(bound + 1)
}

// connectTimeout gives later attempts more time: an attempt that is cut off while a loaded broker is
// still answering would otherwise never succeed.
func connectTimeout(first time.Duration, attempt int) time.Duration {
	const most = 30 * time.Second
	return max(first, min(first*time.Duration(min(attempt, 100)), most))
}
