package publish

import (
	"container/list"
	"fmt"

	"github.com/everhop/everhop/consumer/internal/standstill"
)

// Check holds the ledger's counts against what is in it.
func (p *Publisher) Check() error {
	l := p.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	type counts struct {
		used, plain, doubts, held, waiting int
		bytes                              int64
	}
	var used int
	var bytes int64
	targets := map[*target]*counts{}
	for _, t := range l.targets {
		targets[t] = &counts{}
	}
	for _, c := range l.all() {
		n := targets[c.target]
		switch {
		case n == nil:
			return fmt.Errorf("message %d is of a target that is not there", c.number)
		case c.isSettled():
			return fmt.Errorf("message %d is settled, and still there", c.number)
		}
		if c.way == awaitsRoom {
			n.waiting++
			continue
		}
		used++
		n.used++
		bytes += c.size
		n.bytes += c.size
		switch c.way {
		case onMain:
			n.plain++
		case onSide:
			n.doubts++
		case behind:
			n.held++
		}
	}
	if used != l.used || bytes != l.usedBytes || used > 2*l.window {
		return fmt.Errorf("%d messages, %d bytes in the window, and %d, %d are counted", used, bytes, l.used, l.usedBytes)
	}
	for t, n := range targets {
		if got := (counts{t.used, t.plain, t.doubts, t.held.len(), t.waiting.len(), t.bytes}); got != *n {
			return fmt.Errorf("%q %q: %+v is counted, and there are %+v", t.exchange, t.key, got, *n)
		}
		if n.held > 0 && n.doubts == 0 && n.plain < int(max(l.credit/2, 1)) {
			return fmt.Errorf("%q %q: nobody frees what is held: %+v", t.exchange, t.key, *n)
		}
		if n.plain > 0 && n.doubts > 0 || n.held > 0 && n.plain+n.doubts == 0 || n.used+n.waiting == 0 {
			return fmt.Errorf("%q %q: %+v", t.exchange, t.key, *n)
		}
		if unserved, served := isIn(&l.lines.unserved, t), isIn(&l.lines.served, t); unserved != (n.waiting > 0 && n.used == 0) || served != (n.waiting > 0 && n.used > 0) {
			return fmt.Errorf("%q %q: %+v, and it stands there: %v, %v", t.exchange, t.key, *n, unserved, served)
		}
	}
	for _, side := range l.sides {
		for _, c := range side.open {
			if c.target.side != side {
				return fmt.Errorf("message %d is on another side lane than its target", c.number)
			}
		}
	}
	if n := l.lines.unserved.Len() + l.lines.served.Len(); n > len(targets) {
		return fmt.Errorf("%d targets wait, of %d", n, len(targets))
	}
	if t := l.lines.empty(); t != nil && l.room(t, 0) {
		return fmt.Errorf("%q %q waits, and there is room", t.exchange, t.key)
	}
	return nil
}

func isIn(line *list.List, t *target) bool {
	for e := line.Front(); e != nil; e = e.Next() {
		if e.Value == t {
			return true
		}
	}
	return false
}

// SetCredit has lanes be set aside for fewer messages.
func (p *Publisher) SetCredit(n uint64) { p.ledger.credit = n }

// SetReading has its supervisor read other clocks than the machine's. It is to be called before Run.
func (p *Publisher) SetReading(r standstill.Reading) { p.reading = r }
