package past

import (
	"fmt"
	"strings"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// glance is the answer to --at.
type glance struct {
	of     *history.Lifecycle
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

// ago says how long before the time of the glance, or before the log ended, t was.
func (g glance) ago(t time.Time) string {
	switch {
	case g.back.times > 0: // perhaps since then
		return ""
	case g.open():
		return ", " + Span(g.logEnded.Sub(t)) + " before the log ends"
	}
	return ", " + Span(g.at.Sub(t)) + " before"
}

func (p page) glance(machine string, g glance) (text term.Text) {
	if machine != "" {
		text += p.row("machine", machine)
	}
	text += p.row("at", p.full(g.at))
	if g.back.times > 0 {
		text += p.row("clock", p.setBack(g.back)+"; told is the last one")
	}
	if g.moment.State == "" {
		return text + p.row("state", "not known: the log begins at "+p.full(g.begin))
	}
	text += p.stateThen(g) + p.howItCame(g)
	last, next := "not in the log, which begins at "+p.full(g.begin), "none: the log ends here"
	if g.last.Seq > 0 {
		last = p.told(g.last, g.at)
	}
	if g.next != nil {
		next = p.told(*g.next, g.at)
	}
	return text + p.row("last event", last) + p.row("next event", next)
}

func (p page) stateThen(g glance) term.Text {
	m := g.moment
	switch {
	case m.Ended:
		return p.row("state", fmt.Sprintf("%s, or none any more: the run ended without Stop before %s", m.State, p.full(g.next.Time)))
	case g.open():
		return p.row("state", fmt.Sprintf("%s when the log ends, at %s; what came after is not in it", m.State, p.full(g.logEnded)))
	}
	return labelled("state", p.ink.Paint(string(m.State), StyleOf(m.State)))
}

// howItCame tells since when it is so, and why; with the time up or the outage that it belongs to.
func (p page) howItCame(g glance) term.Text {
	m := g.moment
	since := p.full(m.Since) + g.ago(m.Since)
	if !m.InLog {
		since = "before the log begins, at " + p.full(g.begin)
	}
	text := p.row("since", since)
	if m.Led.Seq > 0 {
		text += p.row("led there", join(fmt.Sprintf("%s -> %s: %s", m.Led.From, m.Led.To, m.Led.Trigger), reason(m.Led)))
	}
	if !m.Up.IsZero() {
		up := "since " + p.full(m.Up) + strings.TrimSuffix(g.ago(m.Up), " before")
		if m.Idle > 0 {
			up += "; " + counted(m.Idle, "heartbeat") + " answered"
		}
		text += p.row(g.of.Doing, up)
	}
	if !m.Outage.Begin.IsZero() {
		outage := p.outage(m.Outage)
		if g.open() {
			outage = "when the log ends: " + outage
		}
		text += p.row("outage", outage)
	}
	return text
}

// told tells of an event, and how far from a moment it is.
func (p page) told(e fsm.Event, at time.Time) string {
	distance := Span(at.Sub(e.Time)) + " before"
	if e.Time.After(at) {
		distance = Span(e.Time.Sub(at)) + " later"
	}
	what, evidence := string(e.Kind), consumer.EvidenceOf(e)
	if e.Kind == fsm.KindTransition {
		what = fmt.Sprintf("%s -> %s: %s", e.From, e.To, e.Trigger)
		if evidence.Attempt > 0 {
			what += fmt.Sprintf(" #%d", evidence.Attempt)
		}
	}
	return join(fmt.Sprintf("%s, %s; %s", p.brief(e.Time, at), distance, what), reason(e))
}
