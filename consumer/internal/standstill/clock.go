// Package standstill wakes a goroutine that decides, and knows when that came too late: the process stood still meanwhile.
//
//	WakeIn(d) -> wait: for C, or for what else there is -> Look: was it late? -> work -> Excuse, or WakeIn -> wait ...
//
// A process that is stopped (SIGSTOP) or gets no processor is woken later than it was to be. A machine that is suspended
// stops the monotonic clock, and the timer with it; the wall clock goes on. Only the time in which it waits is looked at:
// what it does itself is no standstill, however long that takes. A journal may have a slow disk.
package standstill

import "time"

const (
	// LookEvery is for how long the goroutine waits at most: so that it knows when it was kept from looking around.
	LookEvery = 5 * time.Second
	// tolerance is how late it may be. A busy machine makes it late by less.
	tolerance = time.Second
)

// Reading is what the clocks say: the wall clock, without a monotonic part, and the monotonic one since any moment.
type Reading func() (wall time.Time, mono time.Duration)

// Clock belongs to the goroutine that waits for it.
type Clock struct {
	read  Reading
	timer *time.Timer
	due   time.Duration // when it is to wake at the latest
	wall  time.Time     // at the last look
	mono  time.Duration // likewise
}

// NewClock makes a clock that wakes its goroutine within 5 s. Without a reading it is that of the machine's clocks. Stop
// ends it.
func NewClock(read Reading) *Clock {
	if read == nil {
		began := time.Now()
		read = func() (time.Time, time.Duration) {
			now := time.Now()
			return now.Round(0), now.Sub(began)
		}
	}
	c := &Clock{read: read, timer: time.NewTimer(LookEvery)}
	c.wall, c.mono = read()
	c.due = c.mono + LookEvery
	return c
}

// C is what to wait for: it has something when it is time to wake.
func (c *Clock) C() <-chan time.Time { return c.timer.C }

// Stop has it wake nobody any more.
func (c *Clock) Stop() { c.timer.Stop() }

// WakeIn has it wake its goroutine in d, or in 5 s if that is sooner. What was done until now is excused.
func (c *Clock) WakeIn(d time.Duration) {
	d = min(max(d, 0), LookEvery)
	_, mono := c.read()
	c.due = mono + d
	c.timer.Reset(d)
}

// Look is to be called first when a wait is over, whatever has ended it. It tells each standstill once.
func (c *Clock) Look() Seen { return c.look(c.read()) }

func (c *Clock) look(wall time.Time, mono time.Duration) Seen {
	seen := Seen{Late: mono - c.due, Ahead: wall.Sub(c.wall) - (mono - c.mono)}
	c.wall, c.mono = wall, mono
	c.excuse(mono)
	if seen.Late < tolerance {
		seen.Late = 0
	}
	if seen.Ahead.Abs() < tolerance {
		seen.Ahead = 0
	}
	return seen
}

// Excuse says that its goroutine knows what it did until now.
func (c *Clock) Excuse() {
	_, mono := c.read()
	c.excuse(mono)
}

func (c *Clock) excuse(mono time.Duration) { c.due = max(c.due, mono) }
