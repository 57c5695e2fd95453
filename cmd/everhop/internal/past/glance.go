package past

import (
	"fmt"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// glance is the answer to --at.
type glance struct {
	at     time.Time
	moment history.Moment
	last   fsm.Event  // the newest one then; Seq 0 if the log has none
	next   *fsm.Event // nil at the end of the log
	begin  time.Time  // of the log
	back   setBack

	logEnded time.Time // zero unless the log ends before at: what is told was the case then
}

// open tells that nobody knows what is the case at that time: the log ends before, and not with Disconnected.
func (g glance) open() bool { return !g.logEnded.IsZero() && g.moment.State != consumer.Disconnected }

func (p page) glance(machine string, g glance) (text term.Text) {
	row := func(label, said string) { text += p.row(label, said) }
	if machine != "" {
		row("machine", machine)
	}
	row("at", p.full(g.at))
	if g.back.times > 0 {
		row("clock", p.setBack(g.back)+"; told is the last one")
	}
	if g.moment.State == "" {
		row("state", "not known: the log begins at "+p.full(g.begin))
		return text
	}
	m := g.moment
	switch {
	case m.Ended:
		row("state", fmt.Sprintf("%s, or none any more: the run ended without Stop before %s", m.State, p.full(g.next.Time)))
	case g.open():
		row("state", fmt.Sprintf("%s when the log ends, at %s; what came after is not in it", m.State, p.full(g.logEnded)))
	default:
		text += labelled("state", p.ink.Paint(string(m.State), StyleOf(m.State)))
	}
	ago := func(t time.Time, before string) string {
		switch {
		case g.back.times > 0: // perhaps since then
			return ""
		case g.open():
			return ", " + Span(g.logEnded.Sub(t)) + " before the log ends"
		}
		return ", " + Span(g.at.Sub(t)) + before
	}
	since := p.full(m.Since) + ago(m.Since, " before")
	if !m.InLog {
		since = "before the log begins, at " + p.full(g.begin)
	}
	row("since", since)
	if m.Led.Seq > 0 {
		row("led there", join(fmt.Sprintf("%s -> %s: %s", m.Led.From, m.Led.To, m.Led.Trigger), why(m.Led)))
	}
	if !m.Up.IsZero() {
		since := "since " + p.full(m.Up) + ago(m.Up, "")
		if m.Idle > 0 {
			since += "; " + counted(m.Idle, "heartbeat") + " answered"
		}
		row("consuming", since)
	}
	if !m.Outage.Begin.IsZero() {
		outage := p.outage(m.Outage)
		if g.open() {
			outage = "when the log ends: " + outage
		}
		row("outage", outage)
	}
	if g.last.Seq == 0 {
		row("last event", "not in the log, which begins at "+p.full(g.begin))
	} else {
		row("last event", p.told(g.last, g.at))
	}
	if g.next == nil {
		row("next event", "none: the log ends here")
	} else {
		row("next event", p.told(*g.next, g.at))
	}
	return text
}

// told tells of an event, and how far from a moment it is.
func (p page) told(e fsm.Event, at time.Time) string {
	distance := Span(at.Sub(e.Time)) + " before"
	if e.Time.After(at) {
		distance = Span(e.Time.Sub(at)) + " later"
	}
	what := string(e.Kind)
	if e.Kind == fsm.KindTransition {
		what = fmt.Sprintf("%s -> %s: %s", e.From, e.To, e.Trigger)
		if e.Attempt > 0 {
			what += fmt.Sprintf(" #%d", e.Attempt)
		}
	}
	return join(fmt.Sprintf("%s, %s; %s", p.brief(e.Time, at), distance, what), why(e))
}
