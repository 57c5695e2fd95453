package consumer

import (
	"sync/atomic"
	"time"
)

// Breaker pauses a subscription after a run of failures over all its messages: what the handler depends
// on is probably down, and the messages wait in their queue instead of being tried in vain. After Pause
// it consumes again, and counts anew. The messages that fail while it opens go back to the queue,
// whatever their attempts; those that failed too often before that are poison, as ever.
type Breaker struct {
	// Failures in a row that pause it, each call of the handler counting. More than Retry.Attempts
	// times Concurrency: so each time some messages come to the end of their attempts, and a few bad
	// ones in front of the queue cannot stop it for good. Defaults to 0: never.
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
