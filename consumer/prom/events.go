package prom

import (
	"sync"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// events is what the events of one machine come to.
type events struct {
	table *fsm.Table

	mu      sync.Mutex
	machine fsm.Summary
	past    history.Summary // of a consumer
	notes   map[string]uint64
}

func newEvents(table *fsm.Table) *events {
	e := &events{table: table, notes: make(map[string]uint64)}
	for _, name := range notes {
		e.notes[name] = 0 // so that the first one is an increase
	}
	return e
}

// notes are the names of a consumer's events that are worth an alert. Others are shown once there was one.
var notes = [...]string{
	consumer.NoteApart, consumer.NoteBlocked, consumer.NoteBreakerOpen, consumer.NoteGivenUp, consumer.NoteOverdue,
	consumer.NoteParked, consumer.NoteDeadLettered, consumer.NotePermanent, consumer.NoteTimedOut, consumer.NotePanicked,
	consumer.NoteReleased, consumer.NoteSaved, consumer.NoteStalled, consumer.StaleOutcome,
}

func (e *events) apply(event fsm.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.machine.Apply(event)
	e.past.Apply(event)
	if event.Name != "" {
		e.notes[event.Name]++
	}
}

// collect shows those of a consumer.
func (e *events) collect(to *sink, name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := labels{}.with("consumer", name)
	for edge, n := range e.edges() {
		to.counter(consumerTransitions, n, edge.labels(l))
	}
	for note, n := range e.notes {
		to.counter(consumerNotes, n, l.with("name", note))
	}
	to.counter(consumerOutages, uint64(e.past.Report().Outages), l)
	byCause, took := e.past.Recovered()
	for class, n := range byCause {
		to.counter(consumerRecoveries, uint64(n), l.with("class", class))
	}
	to.put(outages(took, l))
}

// collectPublisher shows those of a publisher.
func (e *events) collectPublisher(to *sink, name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := labels{}.with("publisher", name)
	for edge, n := range e.edges() {
		to.counter(publisherTransitions, n, edge.labels(l))
	}
}

// edges are all transitions of the table, and how often each has happened.
func (e *events) edges() map[edge]uint64 {
	counts := make(map[edge]uint64)
	for _, row := range e.table.Rows() {
		for _, from := range row.From {
			counts[edge{from, row.Trigger, row.To}] = 0
		}
	}
	for _, seen := range e.machine.Edges() {
		counts[edge{seen.From, seen.Trigger, seen.To}] = seen.Durations.Count
	}
	return counts
}

type edge struct {
	from    fsm.State
	trigger fsm.Trigger
	to      fsm.State
}

func (e edge) labels(machine labels) labels {
	return machine.and(pair("from", string(e.from)), pair("trigger", string(e.trigger)), pair("to", string(e.to)))
}

// outageBounds are from what a reset connection takes to what somebody gets up for at night; in seconds.
var outageBounds = []float64{0.01, 0.1, 1, 5, 15, 60, 300, 900, 3600, 6 * 3600}

func outages(took []time.Duration, l labels) *histogramMetric {
	h := histogram{bounds: outageBounds, counts: make([]uint64, len(outageBounds)), count: uint64(len(took))}
	for _, d := range took {
		h.sum += d
		for i, bound := range outageBounds {
			if d.Seconds() <= bound {
				h.counts[i]++
			}
		}
	}
	return &histogramMetric{consumerOutage, l, h}
}
