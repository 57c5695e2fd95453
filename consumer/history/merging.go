package history

import (
	"slices"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// merging is the outcomes that a timeline holds back, by queue.
type merging struct {
	queues []*merged
	closed []Entry // to which no minute comes any more
}

// merged are neighbouring minutes of a queue, either all with something rare among them or none.
type merged struct {
	queue    string
	entry    Entry       // if it has Events
	messages []fsm.Event // of the minute that is not told of yet
	waiting  Outcomes    // what those are
}

// mostMerged bounds how many queues, and stretches of them, and mostMessages how many messages of one are held back.
const (
	mostMerged   = 1000
	mostMessages = 100
)

// outcomes takes what tells of messages. It comes between idle checks, attempts and flaps, and says nothing about those.
func (t *Timeline) outcomes(e *fsm.Event) bool {
	if !isOutcomes(e) && !IsMessage(*e) {
		return false
	}
	m := t.merging.of(consumer.EvidenceOf(*e).Queue)
	if m == nil {
		return false
	}
	m.waiting.add(e)
	if !isOutcomes(e) {
		m.messages = append(m.messages, *e)
		if len(m.messages) == mostMessages {
			t.emitMessages(m)
		}
		return true
	}
	messages := uint64(len(m.messages))
	m.messages = nil
	if m.entry.Events > 0 && (m.entry.Outcomes.Troubled() != m.waiting.Troubled() || m.entry.First.Run != e.Run) {
		t.merging.close(m)
		if t.Prompt || len(t.merging.closed) >= mostMerged {
			t.Flush()
			t.merging.queues = append(t.merging.queues, m)
		}
	}
	m.entry.extend(Minutes, e, 1+messages, 1)
	m.entry.Lasted = Unknown
	m.entry.Outcomes.Queue = m.queue
	m.entry.Outcomes.join(m.waiting)
	m.entry.Span = max(0, e.Time.Sub(m.entry.Outcomes.Begin))
	m.waiting = Outcomes{}
	return true
}

// of is the queue's, nil if there are too many.
func (g *merging) of(queue string) *merged {
	if i := slices.IndexFunc(g.queues, func(m *merged) bool { return m.queue == queue }); i >= 0 {
		return g.queues[i]
	}
	if len(g.queues) >= mostMerged {
		return nil
	}
	m := &merged{queue: queue}
	g.queues = append(g.queues, m)
	return m
}

// pending is the one that was told of last; false if none is.
func (g *merging) pending() (newest Entry, ok bool) {
	for _, m := range g.queues {
		if m.entry.Events > 0 && m.entry.Last.Seq >= newest.Last.Seq {
			newest, ok = m.entry, true
		}
	}
	return newest, ok
}

// close ends what is being merged of a queue.
func (g *merging) close(m *merged) {
	if m.entry.Events > 0 {
		g.closed = append(g.closed, m.entry)
		m.entry = Entry{}
	}
}

// tell shows an entry that is no outcomes, and before it those that began earlier.
func (t *Timeline) tell(e Entry) {
	g := &t.merging
	for _, m := range g.queues {
		if m.entry.Begin().Before(e.Begin()) {
			g.close(m)
		}
	}
	g.sort()
	for len(g.closed) > 0 && g.closed[0].Begin().Before(e.Begin()) {
		t.emit(g.closed[0])
		g.closed = g.closed[1:]
	}
	t.emit(e)
}

// flushOutcomes shows all of it. Messages whose minute was not told of stand alone.
func (t *Timeline) flushOutcomes() {
	g := &t.merging
	for _, m := range g.queues {
		g.close(m)
	}
	g.sort()
	for _, e := range g.closed {
		t.emit(e)
	}
	for _, m := range g.queues {
		t.emitMessages(m)
	}
	t.merging = merging{}
}

func (g *merging) sort() {
	slices.SortStableFunc(g.closed, func(a, b Entry) int { return a.Begin().Compare(b.Begin()) })
}

func (t *Timeline) emitMessages(m *merged) {
	for _, e := range m.messages {
		t.emit(single(e, Unknown))
	}
	m.messages = nil
}
