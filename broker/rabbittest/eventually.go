package rabbittest

import (
	"testing"
	"time"
)

const pollInterval = 20 * time.Millisecond

// Eventually calls condition until it is true and fails the test when it was not
// within timeout. what says what is waited for: "the queue has a consumer".
func Eventually(tb testing.TB, timeout time.Duration, what string, condition func() bool) {
	tb.Helper()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			tb.Fatalf("not within %v: %s", timeout, what)
		case <-poll.C:
		}
	}
}
