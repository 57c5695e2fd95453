package consumer

import (
	"slices"
	"time"
)

var drawRest = drawTime(500, 3000, 20000)

// trips is what a supervisor knows of a breaker, and what a history expects of one.
type trips struct {
	paused  bool // by the caller
	tripped bool // by the breaker
	times   int
	news    chan struct{} // there is something in the inbox

	// Guarded by modelBroker.mu.
	inbox    []int // 0: it has tripped; else that rest is over
	failures int   // calls that failed since the last rest, at least; successes do not matter
	row      int   // calls that failed since the last success or rest
	owed     bool  // it has to trip before the next call
	unsure   bool  // a call ended while the breaker was reset, and nobody knows which was first
	opened   time.Time
	resets   []time.Time // successes, and the ends of rests
}

// trip is called by the dispatcher.
func (h *history) trip() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note("the breaker opens")
	t := &h.trips
	// What was decided before the breaker was reset may be told after that.
	if !h.plan.breaker || t.failures < h.plan.failures && !t.unsure || h.exact() && !t.owed {
		h.fault("the breaker opens after %d failures, %d of them in a row", t.failures, t.row)
	}
	t.owed = false
	if n := len(t.resets); n > 0 && !t.resets[n-1].Before(t.opened) || n == 0 && t.opened.IsZero() {
		t.opened = time.Now()
	}
	h.post(0)
}

// post is called with mu held.
func (h *history) post(news int) {
	h.trips.inbox = append(h.trips.inbox, news)
	select {
	case h.trips.news <- struct{}{}:
	default:
	}
}

// sleep is how the supervisor waits: it answers meanwhile.
func (h *history) sleep(d time.Duration) {
	if !h.plan.breaker {
		time.Sleep(d)
		return
	}
	over := time.After(d)
	for {
		select {
		case <-over:
			return
		case <-h.trips.news:
			h.answer()
		}
	}
}

// answer is what tripped.apply and rested.apply do.
func (h *history) answer() {
	var inbox []int
	h.locked(func() { inbox, h.trips.inbox = h.trips.inbox, nil })
	t := &h.trips
	for _, rested := range inbox {
		switch {
		case rested == 0 && !t.tripped:
			t.tripped = true
			t.times++
			times := t.times
			h.steer(h.plan.writes[0])
			time.AfterFunc(h.plan.rest, func() { h.locked(func() { h.post(times) }) })
		case rested > 0 && t.tripped && t.times == rested:
			h.untrip()
			h.steer(0)
		}
	}
}

func (h *history) untrip() {
	h.locked(func() {
		h.note("the breaker counts anew")
		t := &h.trips
		t.tripped, t.row, t.owed, t.failures = false, 0, false, 0
		t.resets = append(t.resets, time.Now())
		for _, c := range h.channels {
			for _, d := range c.deliveries {
				if d.calls > 0 && d.ended.Equal(time.Now()) {
					t.unsure, d.tripped = true, false
					t.failures++ // if it failed, it may count now
				}
			}
		}
		h.d.heal()
	})
}

// steer pauses or resumes, as the caller and the breaker want it.
func (h *history) steer(takes time.Duration) {
	switch idle := !h.idleSince.IsZero(); {
	case (h.trips.paused || h.trips.tripped) == idle:
	case idle:
		h.resume()
	default:
		h.pause(takes)
	}
}

// exact: handlers end one after another, and so it is known which failures are in a row.
func (h *history) exact() bool { return h.highest == 1 && !h.trips.unsure }

// countRow is called with mu held when a call has ended.
func (h *history) countRow(d *modelDelivery) {
	t := &h.trips
	d.tripped, d.opened = false, time.Time{}
	switch {
	case !h.plan.breaker:
	case d.last == success:
		t.row = 0
		t.resets = append(t.resets, time.Now())
	case d.failed():
		d.opened = t.opened
		t.row++
		t.failures++
		d.tripped = h.exact() && t.row >= h.plan.failures
		t.owed = d.tripped
	}
}

// tripping tells whether the breaker was open for sure when the last call failed. It is called with mu
// held.
func (h *history) tripping(d *modelDelivery) bool {
	if d.tripped || d.opened.IsZero() || !d.opened.Before(d.ended) {
		return d.tripped
	}
	return !slices.ContainsFunc(h.trips.resets, func(at time.Time) bool { // what is at the same time may be first
		return !at.Before(d.opened) && !at.After(d.ended)
	})
}

// checkTrip is called with mu held when a call begins.
func (h *history) checkTrip(d *modelDelivery) {
	if h.trips.owed && h.exact() {
		h.fault("%v begins, and the breaker has not opened after %d failures in a row", d, h.trips.row)
	}
}
