package health

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

const (
	// keptEvents is how many events are remembered; the idle checks between two others count as few (see fsm.Ring).
	keptEvents = 4096
	// newEvents is how many of the newest ones are remembered one by one, too, for readers that keep up.
	newEvents = 1024
	// keptOutages and keptSpans bound what the timeline shows.
	keptOutages = 500
	keptSpans   = 1000
	// mostAtOnce bounds what a reader is given at once, and so what it costs while it writes it.
	mostAtOnce = 256
)

// Events remember what has happened to a consumer: its newest events, and what all of them come to. Make it with
// NewEvents, and give Observe to the consumer's Config.Observers. What is remembered does not grow.
type Events struct {
	mu       sync.Mutex
	kept     *fsm.Ring   // idle checks are folded, and outcomes left out: with very many queues they would push out all else
	newest   []fsm.Event // the last newEvents of all, as they were, and up to as many older ones
	happened history.Summary
	outages  []history.Outage  // those that are over
	told     *[]history.Outage // where happened puts one
	counts   fsm.Summary
	spans    []span
	fates    fates                      // nil before the first event
	readers  map[chan struct{}]struct{} // each holds a token when there is news
}

// NewEvents returns an empty memory.
func NewEvents() *Events {
	m := &Events{kept: fsm.NewRing(keptEvents), readers: map[chan struct{}]struct{}{}}
	m.told = &m.outages
	m.happened.Each = func(o history.Outage) { *m.told = append(*m.told, o) }
	return m
}

// Observe takes the next event. It belongs into consumer.Config.Observers. Events of a journal's past may be given to it
// before, in their order: they are shown, too. It waits for no reader.
func (m *Events) Observe(e fsm.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.Name != consumer.NoteOutcomes {
		_ = m.kept.Append(e) // never fails
	}
	if len(m.newest) == 2*newEvents {
		m.newest = slices.Delete(m.newest, 0, newEvents)
	}
	m.newest = append(m.newest, e)
	m.happened.Apply(e)
	m.outages = m.outages[max(0, len(m.outages)-keptOutages):]
	m.counts.Apply(e)
	m.extend(e)
	if m.fates == nil {
		m.fates = fates{}
	}
	m.fates.apply(e)
	for wake := range m.readers {
		select {
		case wake <- struct{}{}:
		default: // it has a token already
		}
	}
}

// attach has wake told of news until detach; false if there are enough readers.
func (m *Events) attach(wake chan struct{}) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.readers) >= mostReaders {
		return false
	}
	m.readers[wake] = struct{}{}
	return true
}

func (m *Events) detach(wake chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.readers, wake)
}

// after returns some of the events behind the one numbered seq, the oldest of them first. What is not remembered any more
// is a gap in front of them. A seq that was not reached yet is of another log, and this one is told from its start.
func (m *Events) after(seq uint64) []fsm.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.newest) == 0 {
		return nil
	}
	last := m.newest[len(m.newest)-1].LastSeq()
	if last == seq {
		return nil
	}
	if last < seq {
		seq = 0
	}
	if m.newest[0].Seq <= seq+1 {
		return behind(m.newest, seq)
	}
	kept := m.kept.Events()
	events := slices.DeleteFunc(behind(kept, seq), func(e fsm.Event) bool { return e.Seq >= m.newest[0].Seq })
	if len(events) == 0 {
		events = behind(m.newest, seq)
	}
	if first := slices.Concat(kept, m.newest)[0]; seq > 0 && first.Seq > seq+1 {
		events = slices.Insert(events, 0, gap(seq+1, first))
	}
	return events
}

// behind returns a copy of the first ones behind the one numbered seq.
func behind(events []fsm.Event, seq uint64) []fsm.Event {
	i := slices.IndexFunc(events, func(e fsm.Event) bool { return e.LastSeq() > seq })
	if i < 0 {
		return nil
	}
	return slices.Clone(events[i:min(len(events), i+mostAtOnce)])
}

// gap stands for the events from the one numbered seq to the one before first.
func gap(seq uint64, first fsm.Event) fsm.Event {
	missing := fsm.Gap{Count: first.Seq - seq, First: seq, Last: first}
	e := missing.Event(fmt.Sprintf("%d events are not remembered any more", missing.Count))
	e.From, e.To = first.From, first.From
	return e
}

// earlier is what had become of messages until a while ago, by queue; nil if nobody tells of them.
func (m *Events) earlier(now time.Time) map[string]earlier {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fates == nil {
		return nil
	}
	return m.fates.earlier(now)
}
