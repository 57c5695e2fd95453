package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

const (
	labelColumn = 16 // as wide as the longest label
	leastTable  = 52 // room for the times in states as a table
)

// row lays out a label and what belongs to it.
func (p page) row(label, text string) []string {
	width := 0
	if p.width > 0 {
		width = max(20, p.width-labelColumn-2)
	}
	lines := wrap(clean(text), width)
	for i := range lines {
		lines[i] = strings.TrimRight(fmt.Sprintf("%-*s  %s", labelColumn, label, lines[i]), " ")
		label = ""
	}
	return lines
}

// report lays out the summary.
func (p page) report(machine string, r history.Report, end ending, back setBack) []string {
	title := "Summary"
	if machine != "" {
		title += " of " + clean(machine)
	}
	lines := []string{"", p.paint(title, bold)}
	row := func(label, format string, args ...any) {
		lines = append(lines, p.row(label, fmt.Sprintf(format, args...))...)
	}
	if r.Overlaps > 0 {
		row("warning", "not to be trusted: runs went on after the next one had begun: several machines have this name")
	}
	row("time", "%s to %s (%s)", p.full(r.First), p.full(r.Last), span(r.Up+r.Down+r.Stopped+r.Unknown))
	if back.times > 0 {
		row("clock", "%s; durations are not by it", p.setBack(back))
	}
	row("at the end", "%s", p.ending(end))
	row("availability", "%s", availability(r))
	row("events", "%s", events(r))
	row("runs", "%s", runs(r))
	row("outages", "%s", outages(r))
	if r.Recoveries > 0 {
		row("time to recover", "p50 %s, p95 %s, max %s", span(r.RecoverP50), span(r.RecoverP95), span(r.RecoverMax))
	}
	if r.Outages > 0 {
		row("longest outage", "%s", p.outage(r.Longest))
	}
	row("attempts", "%s", attempts(r))
	label := "time in states"
	for _, state := range statesOf(r) {
		if p.width > 0 && p.width < leastTable {
			row(label, "%s %s %s", state, span(r.InState[state]), share(r.InState[state], r.Up+r.Down+r.Stopped+r.Unknown))
			label = ""
			continue
		}
		lines = append(lines, fmt.Sprintf("%-*s  %-*s  %*s  %s", labelColumn, label, fromColumn, clean(string(state)),
			lastedColumn, span(r.InState[state]), share(r.InState[state], r.Up+r.Down+r.Stopped+r.Unknown)))
		label = ""
	}
	return lines
}

// ending is what is the case when what was told ends.
type ending struct {
	state    fsm.State
	runEnded bool // without Stop: state is the last one that is recorded
	more     bool // the log goes on
	since    time.Time
	inLog    bool // since is
	led      fsm.Trigger
}

func (p page) ending(e ending) string {
	if e.runEnded {
		return fmt.Sprintf("%s, or none any more: the run ended without Stop", e.state)
	}
	text := string(e.state) + " since before the log begins"
	if e.inLog {
		text = fmt.Sprintf("%s since %s", e.state, p.full(e.since))
	}
	switch {
	case e.state == consumer.Disconnected && e.led != "":
		text += ", after " + string(e.led)
	case e.state != consumer.Disconnected && !e.more: // it may have been killed
		text += "; no Stop in the log"
	}
	return text
}

func (p page) setBack(b setBack) string {
	text := fmt.Sprintf("set back by %s before %s", span(b.by), p.full(b.before))
	if b.times > 1 {
		text = fmt.Sprintf("set back %s times, the last time by %s before %s", grouped(b.times), span(b.by), p.full(b.before))
	}
	return text + ": times may be in the log twice"
}

func availability(r history.Report) string {
	a, ok := r.Availability()
	if !ok {
		return "it was never meant to consume"
	}
	text := percent(a)
	if r.Unrecorded > 0 {
		text = "at least " + text
	}
	text += fmt.Sprintf(": consumed %s of %s, down %s", span(r.Up), span(r.Up+r.Down), span(r.Down))
	if r.Unrecorded > 0 {
		text += fmt.Sprintf(" (of that %s without a record)", span(r.Unrecorded))
	}
	if r.Stopped > 0 {
		text += ", stopped on purpose " + span(r.Stopped)
	}
	if r.Unknown > 0 {
		text += ", not known " + span(r.Unknown)
	}
	return text
}

// percent never rounds to 100 what is less.
func percent(share float64) string {
	text := fmt.Sprintf("%.3f %%", share*100)
	if share < 1 && strings.HasPrefix(text, "100") {
		return "99.999 %"
	}
	return text
}

func share(part, of time.Duration) string {
	if of <= 0 {
		return ""
	}
	return fmt.Sprintf("%5.1f %%", 100*float64(part)/float64(of))
}

func events(r history.Report) string {
	text := grouped(r.Events)
	for _, c := range []struct {
		n    uint64
		what string
	}{{r.Rejected, "rejected"}, {r.Stale, "stale"}, {r.Repeated, "repeated, not counted"}} {
		if c.n > 0 {
			text += fmt.Sprintf(", %s %s", grouped(c.n), c.what)
		}
	}
	if r.Gaps > 0 {
		text += ", " + counted(r.Gaps, "gap")
	}
	if r.Missing > 0 {
		text += fmt.Sprintf("; %s more not in the log", grouped(r.Missing))
	}
	return text
}

func runs(r history.Report) string {
	text := grouped(r.Runs)
	if r.Aborted > 0 {
		text += fmt.Sprintf(", %s of them ended without Stop", grouped(r.Aborted))
	}
	return text
}

func outages(r history.Report) string {
	if r.Outages == 0 {
		return "none"
	}
	text := grouped(r.Outages)
	revived := 0
	var causes []string
	names := slices.SortedFunc(maps.Keys(r.Revivals), func(a, b string) int {
		return cmp.Or(-cmp.Compare(r.Revivals[a], r.Revivals[b]), cmp.Compare(a, b))
	})
	for _, name := range names {
		revived += r.Revivals[name]
		causes = append(causes, fmt.Sprintf("%s %s", grouped(r.Revivals[name]), cmp.Or(name, "of unknown cause")))
	}
	text += fmt.Sprintf(", revived %s", grouped(revived))
	if revived > 0 {
		text += ": " + strings.Join(causes, ", ")
	}
	return text
}

func attempts(r history.Report) string {
	text := grouped(r.Attempts)
	if r.Outages > 0 {
		text += fmt.Sprintf(", at most %s in one outage", grouped(r.MostAttempts))
	}
	return text
}

// outage tells of one: how long, when, and why.
func (p page) outage(o history.Outage) string {
	text := span(o.Duration)
	if o.Unrecorded > 0 {
		text = "at most " + text
	}
	if o.Cut {
		text = "at least " + text
	}
	text += ", from " + p.full(o.Begin)
	switch {
	case o.End.IsZero():
		text += ", and not over"
	default:
		text += " to " + p.brief(o.End, o.Begin)
		if o.Ending == consumer.Stop {
			text += " (stopped)"
		}
	}
	return text + "; " + causeText(o.Cause) + "; " + counted(o.Attempts, "attempt")
}

func causeText(c history.Cause) string {
	if c.Class == "" && c.Error == "" {
		switch c.Trigger {
		case consumer.ProcessRestarted:
			return "the run ended without Stop"
		case "":
			return "the cause is not in the log"
		}
	}
	text := why(consumer.Evidence{Class: c.Class, Code: c.Code, Error: c.Error, Endpoint: c.Endpoint, Queue: c.Queue})
	return strings.TrimSuffix(string(c.Trigger)+", "+text, ", ")
}

// statesOf are the states that lasted, in the table's order.
func statesOf(r history.Report) []fsm.State {
	known := consumer.Lifecycle().States()
	rank := func(s fsm.State) int {
		if i := slices.Index(known, s); i >= 0 {
			return i
		}
		return len(known)
	}
	return slices.SortedFunc(maps.Keys(r.InState), func(a, b fsm.State) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
}

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

func (p page) glance(machine string, g glance) []string {
	var lines []string
	row := func(label, text string) { lines = append(lines, p.row(label, text)...) }
	if machine != "" {
		row("machine", machine)
	}
	row("at", p.full(g.at))
	if g.back.times > 0 {
		row("clock", p.setBack(g.back)+"; told is the last one")
	}
	if g.moment.State == "" {
		row("state", "not known: the log begins at "+p.full(g.begin))
		return lines
	}
	m := g.moment
	switch {
	case m.Ended:
		row("state", fmt.Sprintf("%s, or none any more: the run ended without Stop before %s", m.State, p.full(g.next.Time)))
	case g.open():
		row("state", fmt.Sprintf("%s when the log ends, at %s; what came after is not in it", m.State, p.full(g.logEnded)))
	default:
		text := p.paint(clean(string(m.State)), stateColours[m.State])
		lines = append(lines, fmt.Sprintf("%-*s  %s", labelColumn, "state", text))
	}
	ago := func(t time.Time, before string) string {
		switch {
		case g.back.times > 0: // perhaps since then
			return ""
		case g.open():
			return ", " + span(g.logEnded.Sub(t)) + " before the log ends"
		}
		return ", " + span(g.at.Sub(t)) + before
	}
	since := p.full(m.Since) + ago(m.Since, " before")
	if !m.InLog {
		since = "before the log begins, at " + p.full(g.begin)
	}
	row("since", since)
	if m.Led.Seq > 0 {
		text := fmt.Sprintf("%s -> %s: %s", m.Led.From, m.Led.To, m.Led.Trigger)
		row("led there", join(text, why(consumer.EvidenceOf(m.Led))))
	}
	if !m.Up.IsZero() {
		text := "since " + p.full(m.Up) + ago(m.Up, "")
		if m.Idle > 0 {
			text += "; " + counted(m.Idle, "heartbeat") + " answered"
		}
		row("consuming", text)
	}
	if !m.Outage.Begin.IsZero() {
		text := p.outage(m.Outage)
		if g.open() {
			text = "when the log ends: " + text
		}
		row("outage", text)
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
	return lines
}

// told tells of an event, and how far from a moment it is.
func (p page) told(e fsm.Event, at time.Time) string {
	distance := span(at.Sub(e.Time)) + " before"
	if e.Time.After(at) {
		distance = span(e.Time.Sub(at)) + " later"
	}
	what, evidence := string(e.Kind), consumer.EvidenceOf(e)
	if e.Kind == fsm.KindTransition {
		what = fmt.Sprintf("%s -> %s: %s", e.From, e.To, e.Trigger)
		if evidence.Attempt > 0 {
			what += fmt.Sprintf(" #%d", evidence.Attempt)
		}
	}
	return join(fmt.Sprintf("%s, %s; %s", p.brief(e.Time, at), distance, what), why(evidence))
}
