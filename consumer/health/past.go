package health

import (
	"slices"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// past is what /history answers, in JSON: what the events come to, as package history has it. It is for the page, and may
// change with it.
type past struct {
	// From is since when spans are known, and To the time of the newest event, numbered Seq. Both are zero before the first.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	Seq  uint64    `json:"seq"`
	// Spans follow one another; each lasts until the next one.
	Spans []span `json:"spans"`
	// Outages are more exact than the spans of that kind: they have the silence before a loss, and the time in which the
	// process stood still.
	Outages      []outage  `json:"outages"`
	OutageCount  int       `json:"outage_count"`
	Availability *float64  `json:"availability,omitempty"`
	Initial      fsm.State `json:"initial"`
	States       []state   `json:"states"`
	Edges        []edge    `json:"edges"`
}

// span is a time of one kind: up, down or stopped.
type span struct {
	Begin time.Time `json:"begin"`
	Kind  string    `json:"kind"`
}

type outage struct {
	Begin        time.Time   `json:"begin"`
	End          time.Time   `json:"end,omitzero"`
	DurationMS   int64       `json:"duration_ms"`
	Trigger      fsm.Trigger `json:"trigger,omitempty"`
	Class        string      `json:"class,omitempty"`
	Code         int         `json:"code,omitempty"`
	Error        string      `json:"error,omitempty"`
	Endpoint     string      `json:"endpoint,omitempty"`
	Queue        string      `json:"queue,omitempty"`
	Ending       fsm.Trigger `json:"ending,omitempty"`
	Attempts     int         `json:"attempts"`
	UnrecordedMS int64       `json:"unrecorded_ms,omitempty"`
}

type state struct {
	Name   fsm.State `json:"name"`
	Visits uint64    `json:"visits"`
	TimeMS int64     `json:"time_ms"`
}

// edge is a transition of the lifecycle, and how often it was taken; P50MS is the median of how long From had lasted then.
type edge struct {
	From    fsm.State   `json:"from"`
	Trigger fsm.Trigger `json:"trigger"`
	To      fsm.State   `json:"to"`
	Doc     string      `json:"doc"`
	Failure bool        `json:"failure,omitempty"`
	Count   uint64      `json:"count"`
	P50MS   int64       `json:"p50_ms"`
}

// extend goes on with the span of the newest event, or begins another one.
func (m *Events) extend(e fsm.Event) {
	now := m.happened.Now()
	kind := "down"
	switch {
	case !now.Up.IsZero():
		kind = "up"
	case now.State == consumer.Disconnected && now.Outage.Begin.IsZero():
		kind = "stopped"
	}
	if n := len(m.spans); n > 0 && m.spans[n-1].Kind == kind {
		return
	}
	m.spans = append(m.spans, span{e.Time, kind})
	m.spans = m.spans[max(0, len(m.spans)-keptSpans):]
}

func (m *Events) past() past {
	m.mu.Lock()
	defer m.mu.Unlock()
	report := m.happened.Report()
	p := past{To: report.Last, Spans: slices.Clone(m.spans), Outages: []outage{}, OutageCount: report.Outages, Seq: m.counts.LastSeq}
	if len(m.spans) > 0 {
		p.From = m.spans[0].Begin
	} else {
		p.Spans = []span{}
	}
	if share, ok := report.Availability(); ok {
		p.Availability = &share
	}
	for _, o := range m.happened.Outages() {
		p.Outages = append(p.Outages, outageOf(o))
	}
	p.draw(&m.counts)
	return p
}

func outageOf(o history.Outage) outage {
	return outage{
		Begin: o.Begin, End: o.End, DurationMS: o.Duration.Milliseconds(),
		Trigger: o.Cause.Trigger, Class: o.Cause.Class, Code: o.Cause.Code, Error: o.Cause.Error,
		Endpoint: o.Cause.Endpoint, Queue: o.Cause.Queue,
		Ending: o.Ending, Attempts: o.Attempts, UnrecordedMS: o.Unrecorded.Milliseconds(),
	}
}

// draw fills in the lifecycle, and what happened in it.
func (p *past) draw(counts *fsm.Summary) {
	table := consumer.Lifecycle()
	p.Initial = table.Initial()
	for _, name := range table.States() {
		s := counts.State(name)
		p.States = append(p.States, state{name, s.Visits, s.Time.Milliseconds()})
	}
	taken := counts.Edges()
	for _, row := range table.Rows() {
		for _, from := range row.From {
			e := edge{From: from, Trigger: row.Trigger, To: row.To, Doc: row.Doc, Failure: slices.Contains(consumer.Failures(), row.Trigger)}
			for _, t := range taken {
				if t.From == from && t.Trigger == row.Trigger && t.To == row.To {
					e.Count, e.P50MS = t.Durations.Count, t.Durations.Quantile(0.5).Milliseconds()
				}
			}
			p.Edges = append(p.Edges, e)
		}
	}
}
