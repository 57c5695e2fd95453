package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// line is an entry of the timeline in words.
type line struct {
	when    string
	from    fsm.State
	lasted  string // empty if it says nothing
	trigger string // and how often; or what kind of event it is
	to      fsm.State
	details string
	colour  string // of trigger
}

func (p page) line(e history.Entry) line {
	f := e.First
	l := line{when: p.clock(f.Time), from: f.From, trigger: string(f.Trigger), to: e.Last.To, details: why(consumer.EvidenceOf(f))}
	if e.Lasted != history.Unknown && (e.Lasted > 0 || f.From != consumer.Disconnected) {
		l.lasted = span(max(1, e.Lasted))
	}
	attempt := consumer.EvidenceOf(f).Attempt
	until := "until " + p.near(e.Last.Time, f.Time)
	switch {
	case e.Fold == history.Idle:
		l.trigger = "idle x" + strconv.Itoa(e.Count)
		l.lasted = span(e.Span)
		l.details = "heartbeats answered, " + until
	case e.Fold == history.Attempts:
		l.trigger += " x" + strconv.Itoa(e.Count)
		l.lasted = span(e.Span)
		l.details = fmt.Sprintf("#%d to #%d, %s", attempt, consumer.EvidenceOf(e.Last).Attempt, until)
		if e.Mixed {
			l.details += ", for several causes"
		}
		l.details = join(l.details, "the last: "+why(consumer.EvidenceOf(e.Last)))
	case f.Kind != fsm.KindTransition:
		l.trigger, l.to, l.colour = string(f.Kind), "", yellow
		if f.Kind == fsm.KindRejected {
			l.details = join("trigger "+string(f.Trigger), l.details)
		}
		if f.Kind == fsm.KindGap {
			l.colour = red
			l.details = join(l.details, "in "+string(f.To)+" after that")
		}
		if f.Kind == fsm.KindBoot {
			l.colour = bold
			l.details = join(l.details, "run "+f.Run)
		}
	case attempt > 0:
		l.trigger += " #" + strconv.Itoa(attempt)
	}
	if f.Trigger == consumer.ProcessRestarted && f.Kind == fsm.KindTransition {
		l.details = join("the run before ended without Stop", l.details)
	}
	l.from, l.to = fsm.State(clean(string(l.from))), fsm.State(clean(string(l.to)))
	l.trigger, l.details = clean(l.trigger), clean(l.details)
	return l
}

// why is what an event knows of its cause: "network: read: connection reset by peer (mq1:5672, queue orders)".
func why(e consumer.Evidence) string {
	cause := e.Class
	if code := strconv.Itoa(e.Code); e.Code != 0 && !strings.Contains(e.Error, code) {
		cause = strings.TrimSpace(cause + " " + code)
	}
	if e.Error != "" {
		if cause != "" {
			cause += ": "
		}
		cause += e.Error
	}
	where := e.Endpoint
	if e.Queue != "" {
		if where != "" {
			where += ", "
		}
		where += "queue " + e.Queue
	}
	if cause != "" && where != "" {
		where = " (" + where + ")"
	}
	return join(cause+where, e.Note)
}

// join puts two remarks into one.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// Columns of a wide page.
const (
	fromColumn    = 14
	lastedColumn  = 8
	triggerColumn = 18
	leastDetails  = 40 // with less room, they go below
)

// lines lays an entry out: in columns where there is room, else in sentences. A machine is named if there are
// several.
func (p page) lines(machine string, e history.Entry) []string {
	l := p.line(e)
	if machine != "" {
		l.details = strings.TrimSpace("[" + clean(machine) + "] " + l.details)
	}
	before := utf8.RuneCountInString(l.when) + fromColumn + lastedColumn + triggerColumn + fromColumn + 5*2
	if p.width > 0 && p.width < before+leastDetails {
		return p.sentence(l)
	}
	left := p.paint(l.when, grey) + "  " + p.cell(string(l.from), fromColumn, stateColours[l.from]) + "  " +
		strings.Repeat(" ", max(0, lastedColumn-len(l.lasted))) + l.lasted + "  " +
		p.cell(l.trigger, triggerColumn, l.colour) + "  "
	details := wrap(l.details, max(0, p.width-before))
	lines := []string{strings.TrimRight(left+p.cell(string(l.to), fromColumn, stateColours[l.to])+"  "+details[0], " ")}
	for _, more := range details[1:] {
		lines = append(lines, strings.Repeat(" ", before)+more)
	}
	return lines
}

// pending is one line about what is being folded, not wider than the page.
func (p page) pending(e history.Entry) string {
	l := p.line(e)
	text := []rune(fmt.Sprintf("%s %s (%s): %s, ...", l.when, l.from, l.lasted, l.trigger))
	return p.paint(string(text[:min(len(text), p.width-1)]), grey)
}

// cell is text of a column, painted.
func (p page) cell(text string, width int, how string) string {
	return p.paint(text, how) + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// sentence is for narrow pages: "03:14:07.123 Consuming (2.1 s) -> Reviving: ConnectionError", and the details
// below.
func (p page) sentence(l line) []string {
	text := l.when + " "
	switch {
	case l.to == "":
		text += l.trigger + ":" // in l.from
	case l.lasted == "":
		text += fmt.Sprintf("%s -> %s: %s", l.from, l.to, l.trigger)
	case l.from == l.to:
		text += fmt.Sprintf("%s (%s): %s", l.from, l.lasted, l.trigger)
	default:
		text += fmt.Sprintf("%s (%s) -> %s: %s", l.from, l.lasted, l.to, l.trigger)
	}
	indent := len(l.when) + 1
	if p.width < 60 {
		indent = 2
	}
	room := p.width - indent
	var below []string
	if l.details != "" {
		separator := ", "
		if l.to == "" {
			separator = " "
		}
		if joined := text + separator + l.details; utf8.RuneCountInString(joined) <= p.width {
			text = joined
		} else {
			below = wrap(l.details, room)
		}
	}
	head := wrap(text, p.width)
	lines := []string{p.paintNames(head[0], l)}
	for _, more := range append(head[1:], below...) {
		lines = append(lines, strings.Repeat(" ", indent)+more)
	}
	return lines
}

// paintNames colours the state that a sentence leads to, or what kind of event it tells of.
func (p page) paintNames(text string, l line) string {
	name, how := "-> "+string(l.to), stateColours[l.to]
	if l.to == "" {
		name, how = l.trigger+":", l.colour
	}
	before, after, found := strings.Cut(text, name)
	if !found {
		return text
	}
	return before + p.paint(name, how) + after
}
