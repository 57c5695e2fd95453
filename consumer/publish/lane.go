package publish

import (
	"cmp"
	"maps"
	"slices"

	"github.com/everhop/everhop/broker"
)

// lane is a channel, and what is on its way over it.
type lane struct {
	channel *broker.PublishChannel
	sent    uint64 // how many were; the broker counts along
	lowest  uint64 // everything before it is settled
	open    map[uint64]*Confirmation
}

func newLane() *lane { return &lane{lowest: 1, open: map[uint64]*Confirmation{}} }

// begin notes a message that is written next.
func (l *lane) begin(c *Confirmation) {
	l.sent++
	l.open[l.sent] = c
}

// settled takes out what a confirm is about, in order.
func (l *lane) settled(n uint64, multiple bool, settle func(*Confirmation)) {
	take := func(i uint64) {
		if c := l.open[i]; c != nil {
			delete(l.open, i)
			settle(c)
		}
	}
	n = min(n, l.sent)
	switch {
	case !multiple:
		take(n)
		return
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
	l.lowest = n + 1
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

// take takes out what was begun last, if it is that.
func (l *lane) take(c *Confirmation) bool {
	if l.open[l.sent] != c {
		return false
	}
	delete(l.open, l.sent)
	return true
}

// rest takes out all that is not settled.
func (l *lane) rest() []*Confirmation {
	list := slices.Collect(maps.Values(l.open))
	clear(l.open)
	inOrder(list)
	return list
}

func inOrder(list []*Confirmation) {
	slices.SortFunc(list, func(a, b *Confirmation) int { return cmp.Compare(a.number, b.number) })
}
