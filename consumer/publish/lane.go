package publish

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/everhop/everhop/broker"
)

// lane is a channel, and what is on its way over it.
type lane struct {
	channel *broker.PublishChannel
	credit  uint64 // see defaultCredit
	sent    uint64 // how many were; the broker counts along
	lowest  uint64 // the oldest one that is not settled; sent+1 if there is none
	open    map[uint64]*Confirmation
	moved   time.Time // when lowest became that, or was written

	sample  uint64    // a message of which it is measured how long its confirm takes; 0: of none
	sampled time.Time // when it was written

	mixed   bool          // the broker was not asked whether it has accepted what is on it
	heldUp  bool          // its writer waits for confirms
	leaving bool          // it is about to be set aside
	tried   time.Time     // when that was tried in vain
	aside   bool          // nothing more is written to it
	done    chan struct{} // closed when it is aside and has all its confirms
}

func newLane(credit uint64) *lane {
	return &lane{credit: credit, lowest: 1, open: map[uint64]*Confirmation{}, done: make(chan struct{})}
}

// begin notes a message that is written next.
func (l *lane) begin(c *Confirmation) {
	empty := l.span() == 0
	l.sent++
	l.open[l.sent] = c
	if empty || l.sample == 0 {
		now := time.Now()
		if empty {
			l.moved = now
		}
		if l.sample == 0 {
			l.sample, l.sampled = l.sent, now
		}
	}
}

// settled takes out what a confirm is about, in order.
func (l *lane) settled(n uint64, multiple bool, settle func(*Confirmation)) {
	take := func(i uint64) {
		if c := l.open[i]; c != nil {
			delete(l.open, i)
			settle(c)
		}
	}
	defer l.move()
	if !multiple {
		take(n)
		return
	}
	n = min(n, l.sent)
	switch {
	case n < l.lowest:
		return
	case n-l.lowest < uint64(4*len(l.open)):
		for i := l.lowest; i <= n; i++ {
			take(i)
		}
	default: // one that was not confirmed for long has kept lowest far behind
		for _, i := range slices.Sorted(maps.Keys(l.open)) {
			if i <= n {
				take(i)
			}
		}
	}
	l.lowest, l.moved = n+1, time.Now()
}

// move has lowest be what it says.
func (l *lane) move() {
	was := l.lowest
	for l.lowest <= l.sent && l.open[l.lowest] == nil {
		l.lowest++
	}
	if l.lowest != was {
		l.moved = time.Now()
	}
}

// returned marks what came back. Where several of one id are on their way to one place, nobody knows which of them it
// is, and none is taken for routed.
func (l *lane) returned(r broker.Returned) {
	for _, c := range l.open {
		if m := &c.message; c.id == r.ID && m.Exchange == r.Exchange && m.RoutingKey == r.RoutingKey {
			c.returned = true
		}
	}
}

// isMixed tells whether something else than what was written last may end it.
func (l *lane) isMixed() bool { return l.mixed && len(l.open) > 0 }

// take takes out what was begun last, if it is that.
func (l *lane) take(c *Confirmation) bool {
	if l.open[l.sent] != c {
		return false
	}
	delete(l.open, l.sent)
	l.move()
	return true
}

// rest takes out all that is not settled.
func (l *lane) rest() []*Confirmation {
	list := slices.Collect(maps.Values(l.open))
	clear(l.open)
	l.move()
	inOrder(list)
	return list
}

func inOrder(list []*Confirmation) {
	slices.SortFunc(list, func(a, b *Confirmation) int { return cmp.Compare(a.number, b.number) })
}
