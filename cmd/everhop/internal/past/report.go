package past

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// leastTable is room for the times in states as a table.
const leastTable = 52

// report lays out the summary.
func (p page) report(s *story) term.Text {
	machine, r, of, back := s.machine, s.summary.Report(), s.summary.Lifecycle(), s.back
	title := "Summary"
	if machine != "" {
		title += " of " + machine
	}
	text := "\n" + p.ink.Paint(title, term.Bold) + "\n"
	row := func(label, format string, args ...any) { text += p.row(label, fmt.Sprintf(format, args...)) }
	if r.Overlaps > 0 {
		row("warning", "not to be trusted: runs went on after the next one had begun: several machines have this name")
	}
	row("time", "%s to %s (%s)", p.full(r.First), p.full(r.Last), Span(wholeTime(r)))
	if back.times > 0 {
		row("clock", "%s; durations are not by it", p.setBack(back))
	}
	row("at the end", "%s", p.ending(s.ending()))
	row("availability", "%s", availability(r, of))
	row("events", "%s", events(r))
	row("runs", "%s", runs(r))
	row("outages", "%s", outages(r))
	if r.Recoveries > 0 {
		row("time to recover", "p50 %s, p95 %s, max %s", Span(r.RecoverP50), Span(r.RecoverP95), Span(r.RecoverMax))
	}
	if r.Outages > 0 {
		row("longest outage", "%s", p.outage(r.Longest))
	}
	if r.Stalls > 0 {
		row("stood still", "%s, %s in all, which counts as down", counted(r.Stalls, "time"), Span(r.Stalled))
	}
	row("attempts", "%s", attempts(r))
	text += p.queueRows(r.Queues)
	return text + p.timeInStates(r, of.Table.States())
}

func wholeTime(r history.Report) time.Duration { return r.Up + r.Down + r.Stopped + r.Unknown }

// timeInStates is a table where there is room. What is in no state comes last.
func (p page) timeInStates(r history.Report, known []fsm.State) (text term.Text) {
	label := "time in states"
	row := func(what string, d time.Duration) {
		lasted, part := Span(d), share(d, wholeTime(r))
		if p.width > 0 && p.width < leastTable {
			text += p.row(label, fmt.Sprintf("%s %s %s", what, lasted, part))
		} else {
			text += labelled(label, padded(term.Clean(what), fromColumn)+"  "+rightAligned(lasted, lastedColumn)+"  "+term.Plain(part))
		}
		label = ""
	}
	for _, state := range statesOf(r, known) {
		row(string(state), r.InState[state])
	}
	for _, none := range []struct {
		what string
		d    time.Duration
	}{{"between runs", r.Between}, {"suspended", r.Suspended}, {"not in the log", r.Unseen}} {
		if none.d > 0 {
			row(none.what, none.d)
		}
	}
	return text
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
	text := fmt.Sprintf("set back by %s before %s", Span(b.by), p.full(b.before))
	if b.times > 1 {
		text = fmt.Sprintf("set back %s times, the last time by %s before %s", grouped(b.times), Span(b.by), p.full(b.before))
	}
	return text + ": times may be in the log twice"
}

func availability(r history.Report, of *history.Lifecycle) string {
	a, ok := r.Availability()
	if !ok {
		return "it was never meant to " + of.Verb
	}
	text := percent(a)
	if r.Unrecorded > 0 {
		text = "at least " + text
	}
	text += fmt.Sprintf(": %s %s of %s, down %s", of.Done, Span(r.Up), Span(r.Up+r.Down), Span(r.Down))
	if r.Unrecorded > 0 {
		text += fmt.Sprintf(" (of that %s without a record)", Span(r.Unrecorded))
	}
	if r.Stopped > 0 {
		text += ", stopped on purpose " + Span(r.Stopped)
	}
	if r.Unknown > 0 {
		text += ", not known " + Span(r.Unknown)
	}
	return text
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
	text := Span(o.Duration)
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

// statesOf are the states that lasted, in the table's order.
func statesOf(r history.Report, known []fsm.State) []fsm.State {
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
