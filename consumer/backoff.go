package consumer

import "time"

// Backoff spaces attempts: the delay before the next one is random between zero and a bound that
// starts at Initial and doubles up to Max ("full jitter"), so that a thousand consumers do not come
// back in step. The first attempt to revive is immediate; but when the broker has shut the connection down, as it does
// to all of them when it stops, all attempts of that revival have the bound Max, from the first on.
//
// When reviving, Max is the most that a consumer adds to an outage when its attempts fail at once, as they do where
// connections are refused or a queue is missing. That is why it is low.
type Backoff struct {
	// Initial defaults to 100 ms, in Retry to 200 ms.
	Initial time.Duration
	// Max defaults to 1 s, in Retry to 5 s, or Initial if that is more.
	Max time.Duration
}

// DefaultBackoffMax is the default of Backoff.Max, when reviving.
const DefaultBackoffMax = time.Second
