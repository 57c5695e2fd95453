package parked

import "context"

// Look calls see for each message that is meant, in the order of the queue, and takes none out of it. An error of see ends
// it. A message belongs to see, and may be kept.
func Look(ctx context.Context, config Config, see func(*Entry) error) (Tally, error) {
	return browse(ctx, config, func(_ *browser, e *Entry, _ func() error) error { return see(e) }, nil)
}
