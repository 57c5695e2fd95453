package health

import (
	"sync"
	"time"

	"github.com/everhop/everhop/consumer"
)

const (
	// recently is for how long what has happened to a message is shown as a trouble.
	recently = 10 * time.Minute
	// sampled is how far apart the counts are that it is found by.
	sampled = 10 * time.Second
)

// recent tells what the counts of a consumer were a while ago. They are those of earlier requests: nothing is measured
// while nobody looks.
type recent struct {
	mu      sync.Mutex
	samples []sample // the oldest first; the first one is as old as recently, if any is
}

type sample struct {
	at    time.Time
	stats []consumer.Stats // by subscription
}

// add takes the counts of a document, and returns those of a while ago: nil if they are not known. A consumer that began
// later than that, at the given time, had none.
func (r *recent) add(d *Document, began time.Time) []consumer.Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.samples); n == 0 || d.Time.Sub(r.samples[n-1].at) >= sampled {
		now := sample{at: d.Time}
		for i := range d.Subscriptions {
			now.stats = append(now.stats, d.Subscriptions[i].Stats)
		}
		r.samples = append(r.samples, now)
	}
	for len(r.samples) > 1 && d.Time.Sub(r.samples[1].at) >= recently {
		r.samples = r.samples[1:]
	}
	if !began.IsZero() && d.Time.Sub(began) < recently {
		return make([]consumer.Stats, len(d.Subscriptions))
	}
	return r.samples[0].stats
}
