package past

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// queueName is what a queue is called. One that the broker has named has no name in the configuration.
func queueName(name string) string { return cmp.Or(name, "(named by the broker)") }

// became says what became of messages, what is rare first: "5 parked (FK violation), 1,204 handled".
func became(o history.Outcomes) string {
	var parts []string
	say := func(n uint64, what string) {
		if n > 0 {
			parts = append(parts, grouped(n)+" "+what)
		}
	}
	s := o.Stats
	say(s.Parked, "parked")
	say(s.Rejected, "dead-lettered")
	say(o.Permanent, "permanent")
	say(o.TimedOut, "timed out")
	say(o.Panicked, "panicked")
	if len(parts) > 0 && o.Error != "" {
		parts[len(parts)-1] += " (" + o.Error + ")"
	}
	say(s.Saved, "saved")
	say(s.Stale, "stale")
	say(s.Acknowledged, "handled")
	say(s.Failed, "failed")
	say(s.Delayed, "delayed")
	say(s.Kept, "kept")
	say(s.Requeued, "put back")
	say(s.Deduplicated, "deduplicated")
	say(s.ReturnedUnstarted, "returned unstarted")
	return strings.Join(parts, ", ")
}

// handlerTime says how long handlers took; it is empty if none was called.
func handlerTime(o history.Outcomes) string {
	var parts []string
	if o.Calls > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s, the longest %s", counted(o.Calls, "call"), exactly(o.Handling/time.Duration(o.Calls)), exactly(o.Longest)))
	}
	if o.Oldest >= time.Second {
		parts = append(parts, "one under way for "+Span(o.Oldest)+" then")
	}
	return strings.Join(parts, ", ")
}

// exactly is a short duration: handlers may take microseconds.
func exactly(d time.Duration) string {
	if 0 < d && d < time.Millisecond {
		return fmt.Sprintf("%d µs", max(1, d.Microseconds()))
	}
	return Span(d)
}

// isRare tells whether an event is one that --messages lists.
func isRare(e fsm.Event) bool {
	switch {
	case history.IsMessage(e), e.Name == consumer.StaleOutcome && e.Kind == fsm.KindStale:
		return true
	case e.Name == consumer.NoteOutcomes && e.Kind == fsm.KindNote:
		return consumer.EvidenceOf(e).LeftOut > 0
	}
	return false
}

// Columns of the lists of messages and of outages.
const (
	queueColumn = 16
	whatColumn  = 13
)

// inWords is the name of a note for people.
func inWords(name string) string {
	if name == consumer.NoteDeadLettered {
		return "dead-lettered"
	}
	return strings.ReplaceAll(name, "_", " ")
}

// message lays out one that is rare.
func (p page) message(machine string, e fsm.Event) term.Text {
	why := consumer.EvidenceOf(e)
	what, details := inWords(e.Name), why.Error
	switch {
	case history.IsMessage(e) || why.MessageID != "" || why.Attempt > 0:
		var about []string
		if why.MessageID != "" {
			about = append(about, "id "+why.MessageID)
		}
		if why.Attempt > 0 {
			about = append(about, counted(uint64(why.Attempt), "attempt"))
		}
		if why.Cause != "" {
			about = append(about, inWords(why.Cause))
		}
		details = strings.Join(about, ", ")
		if why.Error != "" {
			details = strings.TrimPrefix(details+": ", ": ") + why.Error
		}
	case why.LeftOut > 0:
		what, details = "left out", grouped(why.LeftOut)+" more until then, each not told of"
	case why.Note != "":
		details = join(why.Error, why.Note)
	}
	return p.row4(machine, [3]string{p.clock(e.Time), queueName(why.Queue), what}, details)
}

// row4 is a row of three columns and the rest.
func (p page) row4(machine string, columns [3]string, details string) term.Text {
	if machine != "" {
		details = "[" + machine + "] " + details
	}
	details = term.Clean(details)
	widths := [3]int{0, queueColumn, whatColumn}
	before := 0
	for i, text := range columns {
		columns[i] = term.Clean(text)
		widths[i] = max(widths[i], term.Width(columns[i]))
		before += widths[i] + 2
	}
	if p.width > 0 && p.width < before+leastDetails {
		lines := term.Wrap(strings.Join(columns[:], "  ")+": "+details, p.width-2)
		return term.Plain(lines[0]) + "\n" + indented(lines[1:], 2)
	}
	lines := term.Wrap(details, max(0, p.width-before))
	text := p.ink.Paint(columns[0], term.Grey) + "  " + padded(columns[1], widths[1]) + "  " + padded(columns[2], widths[2]) + "  " + term.Plain(lines[0])
	return text.TrimRight() + "\n" + indented(lines[1:], before)
}

// head is the first row of a list, if there is room for columns.
func (p page) head(ofOutages bool, columns ...string) term.Text {
	now := p.clock(time.Time{})
	widths := []int{term.Width(now), queueColumn, whatColumn}
	if ofOutages {
		begin, end := p.outageTimes(history.Outage{})
		widths[0], widths[1] = term.Width(begin), max(widths[1], term.Width(end))
	}
	var line term.Text
	for i, width := range widths {
		line += p.cell(columns[i], width, term.Bold) + "  "
	}
	if p.width > 0 && p.width < widths[0]+widths[1]+widths[2]+3*2+leastDetails {
		return ""
	}
	return line + p.ink.Paint(columns[3], term.Bold) + "\n"
}

// outageTimes are its begin and end.
func (p page) outageTimes(o history.Outage) (begin, end string) {
	begin = p.full(o.Begin)
	if p.width == 0 {
		begin = p.clock(o.Begin)
	}
	return begin, p.near(o.End, o.Begin)
}

// outageRow lays out one of a table.
func (p page) outageRow(machine string, o history.Outage) term.Text {
	lasted := Span(o.Duration)
	if o.Unrecorded > 0 {
		lasted = "<= " + lasted
	}
	if o.Cut {
		lasted = ">= " + lasted
	}
	begin, end := p.outageTimes(o)
	if o.End.IsZero() {
		end = "not over"
	}
	details := causeText(o.Cause) + "; " + counted(o.Attempts, "attempt")
	if o.Ending == consumer.Stop {
		details += "; stopped"
	}
	return p.row4(machine, [3]string{begin, end, lasted}, details)
}

// queueRows are the sums of the queues, for the summary.
func (p page) queueRows(all []history.Outcomes) (text term.Text) {
	label := "messages"
	for _, o := range all {
		o.Error, o.Oldest = "", 0 // of one moment
		text += p.row(label, queueName(o.Queue)+": "+join(became(o), handlerTime(o)))
		label = ""
	}
	return text
}
