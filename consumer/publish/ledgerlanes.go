package publish

import (
	"fmt"
	"slices"
	"time"
)

// connected begins with a new connection.
func (l *ledger) connected() (epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epochs++
	l.epoch, l.accused = l.epochs, nil
	return l.epoch
}

// attach has what is to be sent go out on a lane.
func (l *ledger) attach(main *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.main = main
	l.wakeMain.Broadcast()
}

// block has nothing go out, as long as the broker does not read.
func (l *ledger) block(blocked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !blocked:
		l.blockedSince = time.Time{}
	case !l.isBlocked():
		l.blockedSince = time.Now()
	}
	l.wakeAll()
}

func (l *ledger) wakeAll() {
	l.wakeMain.Broadcast()
	l.wakeSide.Broadcast()
}

func (l *ledger) isBlocked() bool { return !l.blockedSince.IsZero() }

// disconnected takes the lanes away, with their connection. What is on them is sent again on the next one.
func (l *ledger) disconnected(why error) (resent int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sendAgain(why, false)
}

func (l *ledger) sendAgain(why error, inDoubt bool) (resent int) {
	main, sides := l.leaveLanes()
	for _, side := range sides {
		resent += l.takeBack(side, why, inDoubt)
	}
	if main != nil {
		resent += l.takeBack(main, why, inDoubt)
	}
	return resent
}

func (l *ledger) leaveLanes() (main *lane, sides []*lane) {
	main, sides = l.main, l.sides
	l.epoch, l.main, l.sides, l.trial, l.blockedSince = 0, nil, nil, nil, time.Time{}
	l.wakeAll()
	return main, sides
}

// takeBack has what is on a lane go out again over side lanes, and what is outgoing to the same targets wait behind it.
func (l *ledger) takeBack(from *lane, why error, inDoubt bool) (resent int) {
	rest := l.wanted(from, why)
	for _, c := range rest {
		c.inDoubt = c.inDoubt || inDoubt
		if c.way == onMain {
			c.way = onSide
			c.target.plain--
			c.target.doubts++
		}
	}
	list := slices.Concat(rest, l.doubtful.take())
	inOrder(list)
	for _, c := range list {
		if c.target.side == from {
			c.target.side = nil
		}
	}
	l.doubtful.before(list)
	l.reconsider()
	l.wakeAll()
	l.counts.Resent += uint64(len(rest))
	return len(rest)
}

// wanted takes what is on a lane, but for what nobody waits for.
func (l *ledger) wanted(from *lane, why error) []*Confirmation {
	var wanted []*Confirmation
	for _, c := range from.rest() {
		c.out, c.returned = false, false
		if c.left {
			l.settle(c, fmt.Errorf("%w: %w", ErrNotKnown, why))
			continue
		}
		wanted = append(wanted, c)
	}
	return wanted
}

func (l *ledger) lanes() []*lane {
	if l.main == nil {
		return l.sides
	}
	return append([]*lane{l.main}, l.sides...)
}
