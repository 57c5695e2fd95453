package consumer

import (
	"strings"
	"sync"
	"time"
)

// repeats decides what of that which happens again and again is told: the first time, the second, the fourth, and so on.
// After an hour in which it has not happened it is news again.
type repeats struct {
	mu sync.Mutex
	by map[string]*repeat
}

type repeat struct {
	times int
	last  time.Time
}

const (
	repeatsEnd  = time.Hour
	mostRepeats = 100 // to be remembered
)

// count says how often this has happened, and whether to tell of it. Texts that differ by numbers only are the same.
func (r *repeats) count(text string) (times int, tell bool) {
	text = strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return -1
		}
		return c
	}, text)
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.by[text]
	if known == nil || time.Since(known.last) > repeatsEnd {
		if r.by == nil || len(r.by) >= mostRepeats {
			r.by = map[string]*repeat{}
		}
		known = &repeat{}
		r.by[text] = known
	}
	known.times++
	known.last = time.Now()
	return known.times, known.times&(known.times-1) == 0
}
