package consumer

import (
	"fmt"
	"math/rand/v2"
	"time"
)

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

func (b Backoff) problems() (problems []string) {
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

// delay before the next attempt, after so many failures in a row.
func (b Backoff) delay(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	return rand.N(b.bound(failures) + 1)
}

// bound of the delay after so many failures in a row.
func (b Backoff) bound(failures int) time.Duration {
	if shift := failures - 1; shift < 32 && b.Initial <= b.Max>>shift {
		return b.Initial << shift
	}
	return b.Max
}

// stable is how long something must have worked for its loss to be a new one, answered at once, and
// not the last one going on.
const stable = 5 * time.Second

// schedule says when the next attempt to revive begins.
type schedule struct {
	backoff  Backoff
	attempt  int  // number of the current or next attempt of this revival
	failures int  // in a row; they space the attempts
	flaps    int  // losses in a row of what had not worked for long; they space the revivals
	rare     bool // it is the fault of what is consumed
	away     bool // the broker has gone away as a whole, and whoever else it had comes back now, too
	at       time.Time
}

// start begins a revival, after the loss of what had worked for so long. Away tells that the broker went away as a
// whole, for all its clients.
func (s *schedule) start(worked time.Duration, away bool) (delay time.Duration) {
	if worked >= stable {
		s.flaps, s.rare = 0, false
	} else {
		s.flaps++
	}
	s.attempt = max(1, s.flaps)
	s.failures = max(0, s.flaps-1) // the first time may be chance
	s.away = away
	return s.in(s.delay())
}

// extend is for one more loss in a revival: what had worked for long is not to wait for the rest.
func (s *schedule) extend(worked time.Duration, away bool) {
	switch {
	case away:
		s.away = true
		s.in(s.delay())
	case worked >= stable && !s.away:
		s.in(0)
	}
}

// failed spaces the next attempt.
func (s *schedule) failed() (delay time.Duration) {
	s.failures++
	return s.in(s.delay())
}

func (s *schedule) delay() time.Duration {
	b := s.spacing()
	if s.away {
		return rand.N(b.Max + 1)
	}
	return b.delay(s.failures)
}

// spacing is the back-off. Where it is not the network that fails again and again, nobody else has an outage that it
// would prolong.
func (s *schedule) spacing() Backoff {
	b := s.backoff
	if s.rare {
		b.Max = max(b.Max, apartBackoff)
	}
	return b
}

func (s *schedule) in(delay time.Duration) time.Duration {
	s.at = time.Now().Add(delay)
	return delay
}

func (s *schedule) due() bool { return !time.Now().Before(s.at) }

// connectTimeout gives later attempts more time: an attempt that is cut off while a loaded broker is
// still answering would otherwise never succeed.
func (s *schedule) connectTimeout(first time.Duration) time.Duration {
	const most = 30 * time.Second
	return max(first, min(first*time.Duration(min(s.attempt, 100)), most))
}
