package consumer

import (
	"sync/atomic"
	"time"
)

// Breaker pauses a subscription whose handler keeps failing, because what it depends on is down: the
// messages wait in their queue instead of being tried in vain. After the pause it is tried again, and
// the first failure in a row pauses it again. While that lasts, no message counts as poison: those
// that are out of attempts are put back.
type Breaker struct {
	// Failures in a row, over all messages of the subscription, that pause it. Defaults to 0: never.
	Failures int
	// Pause defaults to 30 s.
	Pause time.Duration
}

// DefaultBreakerPause is the default of Breaker.Pause.
const DefaultBreakerPause = 30 * time.Second

// breaker counts failures in a row.
type breaker struct {
	limit int64 // 0: never open
	row   atomic.Int64
}

// failed tells whether it is open now.
func (b *breaker) failed() bool {
	return b.limit > 0 && b.row.Add(1) >= b.limit
}

func (b *breaker) succeeded() {
	if b.limit > 0 && b.row.Load() != 0 {
		b.row.Store(0)
	}
}
