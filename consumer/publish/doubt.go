package publish

import (
	"slices"
)

// This file is about what may be refused, and goes out one by one over side lanes. There are several, so that one that ends
// because of a message takes no other along that waits for its confirm: that would be sent again each time.

const (
	// mostSides is how many side lanes there may be.
	mostSides = 8
	// mostSuspects is how many suspects there may be. One that is forgotten costs a channel when it is used again.
	mostSuspects = 1024
)

// castDoubt is for the end of the main lane while its connection is alive.
func (l *ledger) castDoubt(on *lane, why error) (doubtful int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.main = nil
	return l.doubt(on, why)
}

// doubt has what was on the main lane go out one by one.
func (l *ledger) doubt(on *lane, why error) (doubtful int) {
	rest := l.wanted(on, why)
	for _, c := range rest {
		c.way = onSide
		c.target.plain--
		c.target.doubts++
	}
	l.counts.Resent += uint64(len(rest))
	l.doubtful.before(rest)
	for _, c := range l.outgoing.take() { // some are behind those now
		c.target.plain--
		l.route(c)
	}
	l.wakeAll()
	return len(rest)
}

// killed is for a connection that the broker has ended because of what came in on it. RabbitMQ does so for a header that it
// cannot store, for one. All that was on the main lane is in doubt then. What was on trial is to blame when that happens to
// it a second time: the first time it may have been a message on the main lane.
func (l *ledger) killed(why error) (resent int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	suspect := l.trial
	if suspect == nil {
		suspect = l.accused
	}
	main, sides := l.leaveLanes()
	for _, side := range sides {
		resent += l.takeBack(&l.doubtful, side, why)
	}
	if main != nil {
		resent += l.doubt(main, why)
	}
	if suspect == nil || suspect.isSettled() {
		return resent
	}
	const proof = 2
	if suspect.deaths++; suspect.deaths >= proof {
		l.doubtful.remove(suspect)
		l.settle(suspect, why)
	}
	return resent
}

// awaitDoubtful waits until something is doubtful, and returns false when its connection is in use no more.
func (l *ledger) awaitDoubtful(epoch uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.epoch == epoch && (l.isBlocked() || l.doubtful.len() == 0) {
		l.wakeSide.Wait()
	}
	return l.epoch == epoch
}

// addSide has doubtful messages go out on one more lane.
func (l *ledger) addSide(epoch uint64, on *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch == epoch {
		l.sides = append(l.sides, on)
	}
}

// nextDoubtful returns what is to be written next, and on which lane: nil if nothing is. Without a lane another one is
// needed.
func (l *ledger) nextDoubtful(epoch uint64) (c *Confirmation, on *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.epoch == epoch && l.doubtful.len() > 0 {
		c = l.doubtful.first()
		if on = l.sideFor(c.target); on == nil {
			return c, nil
		}
		if l.fits(on, c) {
			l.doubtful.pop()
			l.begin(on, c)
			l.trial = c
			return c, on
		}
	}
	return nil, nil
}

// sideFor is the lane on which the target has messages already, so that their order stays. Else a suspect gets an empty
// one.
func (l *ledger) sideFor(t *target) *lane {
	for _, on := range l.sides {
		if on.has(t) {
			return on
		}
	}
	suspect := l.suspects[t.suspicion()]
	for _, on := range l.sides {
		if !suspect || len(on.open) == 0 {
			return on
		}
	}
	if len(l.sides) < mostSides {
		return nil
	}
	return l.sides[len(l.sides)-1]
}

// accepted says that the broker has nothing against what was written last.
func (l *ledger) accepted(on *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(l.sides, on) {
		l.trial, l.accused = nil, nil
	}
	if why := on.channel.Err(); why != nil {
		l.endSide(on, why)
	}
}

// ended is for the end of a side lane, whatever the reason. If a message is on trial there, refused or sideLost follows.
func (l *ledger) ended(on *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trial == nil || on.open[on.sent] != l.trial {
		l.endSide(on, on.channel.Err())
	}
}

// sideLost is for the end of a side lane by nobody's fault.
func (l *ledger) sideLost(on *lane, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trial != nil && on.open[on.sent] == l.trial {
		l.accused = l.trial
	}
	l.endSide(on, why)
}

// endSide takes a side lane out of use, and what is on it goes out again. It returns false if it was in use no more.
func (l *ledger) endSide(on *lane, why error) bool {
	i := slices.Index(l.sides, on)
	if i < 0 {
		return false
	}
	l.sides = slices.Delete(l.sides, i, i+1)
	if l.trial != nil && on.open[on.sent] == l.trial {
		l.trial = nil
	}
	l.takeBack(&l.doubtful, on, why)
	l.wakeSide.Broadcast()
	return true
}

// refused is for the end of a side lane while its connection is alive: by the message that was on trial there. It returns
// that, if its kind was not known.
func (l *ledger) refused(on *lane, why error) (first *Confirmation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	culprit := l.trial
	unsettled := culprit != nil && on.take(culprit)
	if !l.endSide(on, why) || culprit == nil {
		return nil
	}
	l.trial = nil
	if suspicion := culprit.target.suspicion(); !l.suspects[suspicion] {
		l.suspect(suspicion)
		first = culprit
	}
	if unsettled {
		l.settle(culprit, why)
	}
	return first
}

func (l *ledger) suspect(name targetName) {
	for other := range l.suspects {
		if len(l.suspects) < mostSuspects {
			break
		}
		delete(l.suspects, other)
	}
	l.suspects[name] = true
}
