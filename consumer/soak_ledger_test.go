//go:build linux

package consumer_test

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// soakLedger knows of each message whether it was confirmed, and when and where it was handled. What goes into it is what
// the processes wrote before they acknowledged.
type soakLedger struct {
	mu        sync.Mutex
	audiences map[string]*audience
	troubles  []trouble
	twice     []handledTwice
	last      time.Time     // anything was handled
	gap       time.Duration // the longest in which nothing was
}

// audience is who handles all messages of a queue: everyone who consumes from it, or of a stream one of them.
type audience struct {
	messages  map[string]*fate // by id
	confirmed int
	handled   int
	missing   int // confirmed, and not handled
	twice     int
	last      time.Time
	gap       time.Duration // the longest in which nothing was handled, and a confirmed message waited
	next      int64         // the offset behind the last one, in a stream
}

type fate struct {
	confirmed time.Time
	first     sighting // the zero value: not handled
}

// sighting is when and by whom a message was handled, and through which proxy it came.
type sighting struct {
	at       time.Time
	process  int
	endpoint int // -1: not known
}

type handledTwice struct {
	audience, id  string
	first, second sighting
}

// trouble is a fault, and when it can have had a message handled twice.
type trouble struct {
	target     string
	begin, end time.Time // end is zero while it lasts
	tail       time.Duration
}

func newSoakLedger() *soakLedger {
	l := &soakLedger{audiences: map[string]*audience{}}
	for _, q := range soakQueues {
		for _, name := range q.audiences() {
			l.audiences[name] = &audience{messages: map[string]*fate{}}
		}
	}
	return l
}

func (a *audience) fate(id string) *fate {
	f := a.messages[id]
	if f == nil {
		f = &fate{}
		a.messages[id] = f
	}
	return f
}

func (l *soakLedger) confirm(q soakQueue, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range q.audiences() {
		a := l.audiences[name]
		f := a.fate(id)
		f.confirmed = time.Now()
		a.confirmed++
		if f.first.at.IsZero() {
			a.missing++
		}
	}
}

func (l *soakLedger) handle(process, endpoint int, line soakLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.audiences[line.Audience]
	if a == nil {
		return
	}
	f := a.fate(line.ID)
	seen := sighting{at: line.At, process: process, endpoint: endpoint}
	if !f.first.at.IsZero() {
		a.twice++
		l.twice = append(l.twice, handledTwice{audience: line.Audience, id: line.ID, first: f.first, second: seen})
		return
	}
	f.first = seen
	a.handled++
	if !f.confirmed.IsZero() {
		a.missing--
		a.gap = max(a.gap, line.At.Sub(later(a.last, f.confirmed)))
	}
	if !l.last.IsZero() {
		l.gap = max(l.gap, line.At.Sub(l.last))
	}
	a.last, l.last = later(a.last, line.At), later(l.last, line.At)
	a.next = max(a.next, line.Offset+1)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// missing is how many messages of a queue, or of all with "", were confirmed and not handled yet.
func (l *soakLedger) missing(queue string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, a := range l.audiences {
		if queue == "" || name == queue {
			n += a.missing
		}
	}
	return n
}

// lost are those messages.
func (l *soakLedger) lost() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, a := range l.audiences {
		for id, f := range a.messages {
			if !f.confirmed.IsZero() && f.first.at.IsZero() {
				ids = append(ids, fmt.Sprintf("%s, confirmed %s (%s)", id, f.confirmed.Format(time.StampMilli), name))
			}
		}
	}
	return ids
}

// offset is where a process goes on in the stream.
func (l *soakLedger) offset(process int) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.audiences[streamAudience(process)]; a.handled > 0 {
		return a.next
	}
	return "first"
}

// begin takes note of a fault; over has to be called when it is over. For as long as tail after that, a message may
// come again because of it.
func (l *soakLedger) begin(target string, tail time.Duration) (over func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.troubles)
	l.troubles = append(l.troubles, trouble{target: target, begin: time.Now(), tail: tail})
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.troubles[n].end = time.Now()
	}
}

// unexplained are messages that were handled twice, though nothing they depended on was disturbed.
func (l *soakLedger) unexplained() (twice []handledTwice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.twice {
		if !l.explains(t) {
			twice = append(twice, t)
		}
	}
	return twice
}

func (l *soakLedger) explains(t handledTwice) bool {
	for _, fault := range l.troubles {
		overlaps := !fault.begin.After(t.second.at) && (fault.end.IsZero() || fault.end.Add(fault.tail).After(t.first.at))
		if overlaps && t.dependsOn(fault.target) {
			return true
		}
	}
	return false
}

// dependsOn tells whether trouble with a target may be why the message was handled twice. The members of a quorum
// queue, and where a queue is that is declared again, are on any node.
func (t handledTwice) dependsOn(target string) bool {
	var number int
	switch {
	case target == t.audience, target == processTarget(t.first.process):
		return true
	case scanTarget(target, "proxy", &number):
		return t.first.endpoint == number || t.first.endpoint < 0
	case scanTarget(target, "node", &number):
		return t.first.endpoint == number || t.first.endpoint < 0 || t.audience != fmt.Sprintf("classic%d", (number+1)%soakNodes) && t.audience != fmt.Sprintf("classic%d", (number+2)%soakNodes)
	}
	return false
}

func scanTarget(target, kind string, number *int) bool {
	n, err := fmt.Sscanf(target, kind+" %d", number)
	return n == 1 && err == nil
}

func processTarget(i int) string { return fmt.Sprintf("process %d", i) }
func proxyTarget(i int) string   { return fmt.Sprintf("proxy %d", i) }
func nodeTarget(i int) string    { return fmt.Sprintf("node %d", i) }

// The ledger finds what is lost, and what was handled twice for no reason.
func TestSoakLedger(t *testing.T) {
	l := newSoakLedger()
	classic0, stream := soakQueues[0], soakQueues[len(soakQueues)-1]
	now := time.Now()
	handle := func(process, endpoint int, audience, id string, after time.Duration) {
		l.handle(process, endpoint, soakLine{At: now.Add(after), Audience: audience, ID: id})
	}
	l.confirm(classic0, "lost")
	handle(0, 0, classic0.name, "not confirmed", 0)
	l.confirm(stream, "of all")
	for process := range soakProcesses - 1 { // the last one has not handled it
		handle(process, 0, streamAudience(process), "of all", 0)
	}
	if n := l.missing(classic0.name); n != 1 {
		t.Errorf("%d are missing in %s, want 1", n, classic0.name)
	}
	if lost := l.lost(); len(lost) != 2 || l.missing("") != 2 {
		t.Errorf("lost: %q", lost)
	}

	twice := []struct {
		target  string
		explain bool
	}{
		{processTarget(1), true}, {processTarget(0), false},
		{proxyTarget(2), true}, {proxyTarget(1), false},
		{nodeTarget(2), true}, {nodeTarget(0), true}, {nodeTarget(1), false}, // it has come through 2, from 0
		{classic0.name, true}, {"classic1", false},
	}
	for _, c := range twice {
		l := newSoakLedger()
		l.confirm(classic0, "twice")
		over := l.begin(c.target, felt)
		for _, process := range []int{1, 0} {
			l.handle(process, 2, soakLine{At: time.Now(), Audience: classic0.name, ID: "twice"})
		}
		over()
		if explained := len(l.unexplained()) == 0; explained != c.explain {
			t.Errorf("a message that came twice beside trouble with %s is explained: %t", c.target, explained)
		}
		l.troubles[0].begin, l.troubles[0].end = now.Add(-time.Hour), now.Add(-time.Minute)
		if len(l.unexplained()) == 0 {
			t.Errorf("trouble with %s of a minute ago explains it", c.target)
		}
	}
}
