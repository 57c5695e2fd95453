package publish

import (
	"fmt"
	"time"
)

// connected begins with a new connection.
func (l *ledger) connected() (epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epochs++
	l.epoch, l.accused, l.proven, l.refusedSide = l.epochs, nil, false, time.Time{}
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
		if l.isBlocked() {
			l.unblocked = time.Now()
		}
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
	main, lanes := l.leaveLanes()
	if main != nil {
		lanes = append(lanes, main)
	}
	return l.takeBack(why, inDoubt, lanes...)
}

func (l *ledger) leaveLanes() (main *lane, sides []*lane) {
	main, sides = l.main, l.sides
	l.epoch, l.main, l.sides, l.trial, l.blockedSince = 0, nil, nil, nil, time.Time{}
	l.wakeAll()
	return main, sides
}

// takeBack has what is on lanes go out again over side lanes. What is outgoing to the same targets waits behind it.
func (l *ledger) takeBack(why error, inDoubt bool, lanes ...*lane) (resent int) {
	list, fromMain := l.doubtful.take(), false
	for _, from := range lanes {
		rest := l.wanted(from, why)
		for _, c := range rest {
			c.inDoubt = c.inDoubt || inDoubt
			if c.way == onMain {
				c.way, fromMain = onSide, true
				c.target.plain--
				c.target.doubts++
			}
		}
		resent += len(rest)
		list = append(list, rest...)
	}
	inOrder(list)
	l.doubtful.before(list)
	if fromMain {
		l.reconsider()
	}
	l.wakeAll()
	l.counts.Resent += uint64(resent)
	return resent
}

// wanted takes what is on a lane, but for what nobody waits for.
func (l *ledger) wanted(from *lane, why error) []*Confirmation {
	var wanted []*Confirmation
	for _, c := range from.rest() {
		c.out, c.returned = false, false
		c.target.leave()
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
