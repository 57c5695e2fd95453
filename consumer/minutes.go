package consumer

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/everhop/everhop/fsm"
)

// What becomes of messages is told by the minute and subscription, and not by the message: a million of them are a few
// kilobytes of a journal. What is rare is told by itself, up to a number.

// mostRarities is how many rare things of one subscription are told in a minute. The others are counted.
const mostRarities = 20

// rarities are the rare things that no event tells of yet. Whoever adds one never waits for the journal.
type rarities struct {
	mu      sync.Mutex
	waiting []rarity
	wake    chan struct{} // a token: something waits
}

type rarity struct {
	sub      *subscription
	kind     fsm.Kind
	name     string
	evidence Evidence
}

// allowance is how much of a subscription is told of. It is guarded by the rarities' lock.
type allowance struct {
	told    int    // in this minute
	leftOut uint64 // since that was told last
}

func newRarities() *rarities { return &rarities{wake: make(chan struct{}, 1)} }

func (r *rarities) add(n rarity) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n.sub.allowance.told >= mostRarities {
		n.sub.allowance.leftOut++
		return
	}
	n.sub.allowance.told++
	r.waiting = append(r.waiting, n)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *rarities) take() []rarity {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.waiting
	r.waiting = nil
	return all
}

// leftOut is how many of a subscription were, since it was asked for last. With another minute comes another allowance.
func (r *rarities) leftOut(sub *subscription, isOver bool) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := sub.allowance.leftOut
	sub.allowance.leftOut = 0
	if isOver {
		sub.allowance.told = 0
	}
	return n
}

// tellRarities commits an event for each rare thing that nobody was told of.
func (s *supervisor) tellRarities() {
	for _, n := range s.rarities.take() {
		e := n.evidence
		if n.kind == fsm.KindNote {
			s.noteOf(n.sub, n.name, e)
		} else {
			s.record(n.kind, n.name, e)
		}
	}
}

// told is what the events have told of a subscription so far.
type told struct {
	at       time.Time
	stats    Stats
	handling handling
}

// untilMinute is how long the minute of the wall clock still lasts.
func untilMinute(now time.Time) time.Duration {
	return now.Truncate(time.Minute).Add(time.Minute).Sub(now.Round(0))
}

// lookAtMinute tells of the minute, if it is over.
func (s *supervisor) lookAtMinute() {
	now := time.Now()
	if now.Before(s.minuteEnds) {
		return
	}
	if len(s.untold) == 0 {
		s.untold = s.subscriptions
	}
	n := min(len(s.untold), mostAtOnce)
	s.tellOutcomes(s.untold[:n], true)
	if s.untold = s.untold[n:]; len(s.untold) == 0 {
		s.minuteEnds = now.Add(untilMinute(now))
	}
}

// mostAtOnce is of how many subscriptions is told in one go: a journal takes its time, and observers have a bounded queue.
const mostAtOnce = 100

// soonTold is how long what has happened must have taken to be told of before a loss, in the middle of a minute: what is
// lost again and again would fill the journal otherwise.
const soonTold = time.Second

// tellBefore tells what had happened until the loss of a connection, or of one of its subscriptions. So it can be known
// what happened before it and what after it; of very many subscriptions, only of some.
func (s *supervisor) tellBefore(c *connection, sub *subscription) {
	subscriptions := c.subscriptions
	if sub != nil {
		subscriptions = []*subscription{sub}
	}
	due := slices.DeleteFunc(slices.Clone(subscriptions), func(sub *subscription) bool {
		return time.Since(sub.told.at) < soonTold
	})
	s.tellOutcomes(due[:min(len(due), mostAtOnce)], false)
}

// tellOutcomes commits an event for each subscription of which something has become since the last one. The sums of all
// of them are Stats.
func (s *supervisor) tellOutcomes(subscriptions []*subscription, minuteIsOver bool) {
	s.tellRarities()
	for _, sub := range subscriptions {
		before, now := sub.told, told{at: time.Now(), stats: s.counts[sub.index].stats(), handling: sub.dispatch.crew.handling()}
		sub.told = now
		e := outcomesBetween(before, now)
		e.LeftOut = s.rarities.leftOut(sub, minuteIsOver)
		if e.Outcomes() == (Stats{}) && e.Calls == 0 && e.LeftOut == 0 {
			continue
		}
		e.Note = e.sayOutcomes()
		if !s.noteOf(sub, NoteOutcomes, e) { // the journal refuses: the next one has them
			sub.told = before
		}
	}
}

func outcomesBetween(before, now told) (e Evidence) {
	e.setOutcomes(now.stats.minus(before.stats))
	// The monotonic clock stands still while a machine is suspended, and the other one may be set back.
	span := max(now.at.Sub(before.at), now.at.Round(0).Sub(before.at.Round(0)))
	e.PeriodMS = span.Milliseconds()
	h := now.handling
	e.Calls = h.calls - before.handling.calls
	e.HandlingUS, e.LongestUS = microseconds(h.total-before.handling.total), microseconds(h.longest)
	e.OldestMS = h.oldest.Milliseconds()
	return e
}

// Outcomes are the deliveries that a [NoteOutcomes] counts.
func (e Evidence) Outcomes() Stats {
	return Stats{
		Acknowledged: e.Acknowledged, Failed: e.Failed, Kept: e.Kept, Requeued: e.Requeued, Saved: e.Saved,
		Rejected: e.Rejected, Delayed: e.Delayed, Parked: e.Parked, Deduplicated: e.Deduplicated,
		ReturnedUnstarted: e.ReturnedUnstarted, Stale: e.Stale,
	}
}

func (e *Evidence) setOutcomes(s Stats) {
	e.Acknowledged, e.Failed, e.Kept, e.Requeued, e.Saved = s.Acknowledged, s.Failed, s.Kept, s.Requeued, s.Saved
	e.Rejected, e.Delayed, e.Parked, e.Deduplicated = s.Rejected, s.Delayed, s.Parked, s.Deduplicated
	e.ReturnedUnstarted, e.Stale = s.ReturnedUnstarted, s.Stale
}

// sayOutcomes is for people.
func (e Evidence) sayOutcomes() string {
	var parts []string
	for _, part := range []struct {
		n    uint64
		what string
	}{
		{e.Acknowledged, "acknowledged"}, {e.Failed, "failed"}, {e.Parked, "parked"}, {e.Rejected, "rejected"}, {e.Delayed, "delayed"},
		{e.Kept, "kept"}, {e.Requeued, "put back"}, {e.Saved, "saved"}, {e.Deduplicated, "deduplicated"},
		{e.ReturnedUnstarted, "returned unstarted"}, {e.Stale, "stale"},
	} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	if e.Calls > 0 {
		parts = append(parts, fmt.Sprintf("%d calls of %v, the longest %v", e.Calls, e.meanCall(), inUS(e.LongestUS)))
	}
	if e.OldestMS > 0 {
		parts = append(parts, fmt.Sprintf("one under way for %v", time.Duration(e.OldestMS)*time.Millisecond))
	}
	if e.LeftOut > 0 {
		parts = append(parts, fmt.Sprintf("%d more that were parked, or the like, are not told of one by one", e.LeftOut))
	}
	return strings.Join(parts, ", ")
}

func (e Evidence) meanCall() time.Duration {
	return inUS(e.HandlingUS / int64(e.Calls))
}

// microseconds are rounded: a call lasts a nanosecond at least.
func microseconds(d time.Duration) int64 { return d.Round(time.Microsecond).Microseconds() }

func inUS(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
