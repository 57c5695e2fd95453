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
	main, sides := l.leaveLanes()
	if main != nil {
		resent += l.takeBack(&l.outgoing, main, why)
	}
	for _, side := range sides {
		resent += l.takeBack(&l.doubtful, side, why)
	}
	return resent
}

func (l *ledger) leaveLanes() (main *lane, sides []*lane) {
	main, sides = l.main, l.sides
	l.epoch, l.main, l.sides, l.trial, l.blockedSince = 0, nil, nil, nil, time.Time{}
	l.wakeAll()
	return main, sides
}

// takeBack puts what is on a lane in front of the queue from which it came.
func (l *ledger) takeBack(q *queue, from *lane, why error) (resent int) {
	rest := l.wanted(from, why)
	q.before(rest)
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
