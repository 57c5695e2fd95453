package publish

import (
	"slices"
	"time"

	"github.com/everhop/everhop/broker"
)

// This file is about what goes out over side lanes: what was under way when its lane was lost, and what may be refused.
//
// There are several side lanes, and each target has one of its own as far as they suffice. A target that the broker does not
// confirm holds up those that share its lane: RabbitMQ lets a channel wait for a quorum queue without a leader when it sends
// it the first message. And a lane that ends because of a message takes no other along that waits for its confirm: that
// would be sent again each time.
//
// What may be refused goes out one by one.

const (
	// mostSides is how many side lanes there may be.
	mostSides = 8
	// retrySide is after how long another one is asked for again that could not be opened.
	retrySide = 30 * time.Second
	// mostSuspects is how many suspects there may be. One that is forgotten costs a channel when it is used again.
	mostSuspects = 1024
)

// castDoubt is for the end of the main lane while its connection is alive.
func (l *ledger) castDoubt(on *lane, why error) (doubtful int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.main = nil
	return l.takeBack(why, true, on)
}

// killed is for a connection that the broker has ended because of what came in on it. RabbitMQ does so for a header that it
// cannot store, for one. All that was on its way is in doubt then. What was on trial is to blame when that happens to it a
// second time: the first time it may have been another one.
func (l *ledger) killed(why error) (resent int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	suspect := l.trial
	if suspect == nil {
		suspect = l.accused
	}
	resent = l.sendAgain(why, true)
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

// addSide has doubtful messages go out on one more lane.
func (l *ledger) addSide(epoch uint64, on *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch == epoch {
		l.sides = append(l.sides, on)
	}
}

// nextDoubtful waits for what is to be written next, and says on which lane, and whether the broker is to be asked then if it
// has accepted it. Without a lane another one is needed. It is nil when the connection is in use no more.
func (l *ledger) nextDoubtful(epoch uint64) (c *Confirmation, on *lane, trial bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.epoch == epoch {
		if c, on = l.firstDoubtful(); c == nil || l.isBlocked() {
			l.awaitSide()
			continue
		}
		if on == nil {
			return c, nil, false
		}
		if l.fits(on, c) {
			l.doubtful.remove(c)
			c.target.join(on)
			if trial = l.needsTrial(c) && !on.isMixed(); trial {
				l.trial = c
			}
			on.mixed = !trial
			l.begin(on, c)
			return c, on, trial
		}
	}
	return nil, nil, false
}

// awaitSide waits until more may go out over side lanes: also because one of them has stood still for so long that it does
// not count.
func (l *ledger) awaitSide() {
	var d time.Duration
	if l.doubtful.len() > 0 {
		d = l.patience()
	}
	l.waitAtMost(&l.wakeSide, d)
}

// firstDoubtful is the first one that may go out, and over which lane: nil if another one is needed.
func (l *ledger) firstDoubtful() (*Confirmation, *lane) {
	var waits map[*target]bool
	for _, c := range l.doubtful.all() {
		if waits[c.target] {
			continue
		}
		on, another := l.sideFor(c)
		if another || on != nil && on.span() < on.credit {
			return c, on
		}
		if waits == nil {
			waits = map[*target]bool{}
		}
		waits[c.target] = true
	}
	return nil, nil
}

// needsTrial tells whether the broker is to be asked if it has accepted a message.
func (l *ledger) needsTrial(c *Confirmation) bool {
	return c.inDoubt || l.suspects[c.target.suspicion()]
}

// sideFor is the lane of the target, so that its order stays. Else it is an empty one, or another one is needed, or one that
// others use: at last one that stands still.
func (l *ledger) sideFor(c *Confirmation) (on *lane, another bool) {
	if c.target.side != nil {
		return c.target.side, false
	}
	var still *lane
	sides, stuck := 0, 0
	less := func(a, b *lane) bool { return b == nil || a.span() < b.span() }
	for _, side := range l.sides {
		switch {
		case side.aside:
		case len(side.open) == 0:
			return side, false
		case l.restOfPatience(side) <= 0:
			stuck++
			if less(side, still) && !(side.isMixed() && l.needsTrial(c)) {
				still = side
			}
		default:
			sides++
			if less(side, on) && !(side.isMixed() && l.needsTrial(c)) {
				on = side
			}
		}
	}
	switch {
	case sides+stuck == 0, sides < mostSides && stuck < mostAside && time.Since(l.refusedSide) >= retrySide:
		return nil, true
	case on == nil:
		return still, false
	}
	return on, false
}

// sideRefused is for a side lane that could not be opened: those that there are have to do for a while.
func (l *ledger) sideRefused(epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch == epoch {
		l.refusedSide = time.Now()
	}
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
func (l *ledger) sideLost(on *lane, why *broker.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trial != nil && on.open[on.sent] == l.trial {
		l.accused = l.trial
	}
	l.endSide(on, why)
}

// endSide takes a side lane out of use, and what is on it goes out again. It returns false if it was in use no more.
func (l *ledger) endSide(on *lane, why *broker.Error) bool {
	i := slices.Index(l.sides, on)
	if i < 0 {
		return false
	}
	l.sides = slices.Delete(l.sides, i, i+1)
	if l.trial != nil && on.open[on.sent] == l.trial {
		l.trial = nil
	}
	l.takeBack(why, why.Scope != broker.ScopeConnection || why.EndedByBroker(), on)
	return true
}

// refused is for the end of a side lane while its connection is alive: by the message that was on trial there. It returns
// that, if its kind was not known.
func (l *ledger) refused(on *lane, why *broker.Error) (first *Confirmation) {
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
