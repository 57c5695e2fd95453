package revival

import (
	"math/rand/v2"
	"time"
)

// Stable is how long something must have worked for its loss to be a new one, answered at once, and
// not the last one going on.
const Stable = 5 * time.Second

// Schedule says when the next attempt to revive begins. It needs a Backoff, and is due until it is told of a loss or a
// failure. One goroutine may use it at a time.
type Schedule struct {
	Backoff Backoff
	// Attempt is the number of the current or next attempt of this revival. Start sets it; it is for the caller to
	// count on, who knows what is an attempt.
	Attempt int
	// Flaps are the losses in a row of what had not worked for long; they space the revivals.
	Flaps int
	// Rare raises Backoff.Max to this, if that is less: where it is not the network that fails again and again, nobody
	// else has an outage that it would prolong. A loss of what had worked for long sets it to zero.
	Rare time.Duration

	failures int  // in a row; they space the attempts
	away     bool // the broker has gone away as a whole, and whoever else it had comes back now, too
	at       time.Time
}

// Start begins a revival, after the loss of what had worked for so long. Away tells that the broker went away as a
// whole, for all its clients. It returns the delay before the first attempt.
func (s *Schedule) Start(worked time.Duration, away bool) (delay time.Duration) {
	if worked >= Stable {
		s.Flaps, s.Rare = 0, 0
	} else {
		s.Flaps++
	}
	s.Attempt = max(1, s.Flaps)
	s.failures = max(0, s.Flaps-1) // the first time may be chance
	s.away = away
	return s.in(s.delay())
}

// Extend is for one more loss in a revival: what had worked for long is not to wait for the rest.
func (s *Schedule) Extend(worked time.Duration, away bool) {
	switch {
	case away:
		s.away = true
		s.in(s.delay())
	case worked >= Stable && !s.away:
		s.in(0)
	}
}

// Failed spaces the next attempt, and returns the delay before it.
func (s *Schedule) Failed() (delay time.Duration) {
	s.failures++
	return s.in(s.delay())
}

// Hurry has the next attempt begin at once.
func (s *Schedule) Hurry() { s.in(0) }

// Due tells whether the next attempt is to begin.
func (s *Schedule) Due() bool { return s.Remaining() <= 0 }

// At is when that is.
func (s *Schedule) At() time.Time { return s.at }

// Remaining is the time until then; it is not positive when the attempt is due.
func (s *Schedule) Remaining() time.Duration { return time.Until(s.at) }

// ConnectTimeout gives later attempts more time than the first: an attempt that is cut off while a loaded broker is
// still answering would otherwise never succeed.
func (s *Schedule) ConnectTimeout(first time.Duration) time.Duration {
	const most = 30 * time.Second
	return max(first, min(first*time.Duration(min(s.Attempt, 100)), most))
}

func (s *Schedule) delay() time.Duration {
	b := s.Backoff
	b.Max = max(b.Max, s.Rare)
	if s.away {
		return rand.N(b.Max + 1)
	}
	return b.Delay(s.failures)
}

func (s *Schedule) in(delay time.Duration) time.Duration {
	s.at = time.Now().Add(delay)
	return delay
}
