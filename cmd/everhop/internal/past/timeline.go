package past

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
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
	style   term.Style // of trigger
}

func (p page) line(e history.Entry) line {
	f := e.First
	l := line{when: p.clock(e.Begin()), from: f.From, trigger: string(f.Trigger), to: e.Last.To, details: reason(f)}
	if e.Lasted != history.Unknown && (e.Lasted > 0 || f.From != consumer.Disconnected) {
		l.lasted = Span(max(1, e.Lasted))
	}
	attempt := consumer.EvidenceOf(f).Attempt
	until := "until " + p.near(e.Last.Time, f.Time)
	switch {
	case e.Fold == history.Idle:
		l.trigger = "idle x" + strconv.Itoa(e.Count)
		l.lasted = Span(e.Span)
		l.details = "heartbeats answered, " + until
	case e.Fold == history.Attempts:
		l.trigger += " x" + strconv.Itoa(e.Count)
		l.lasted = Span(e.Span)
		l.details = fmt.Sprintf("#%d to #%d, %s", attempt, consumer.EvidenceOf(e.Last).Attempt, until)
		if e.Mixed {
			l.details += ", for several causes"
		}
		l.details = join(l.details, "the last: "+reason(e.Last))
	case e.Fold == history.Flaps:
		l.trigger = "flaps x" + strconv.Itoa(e.Count)
		l.lasted = Span(e.Span)
		l.details = join(string(f.Trigger)+" again and again, revived each time, "+until, l.details)
	case e.Fold == history.Minutes:
		l.from, l.trigger, l.to, l.lasted = "", "messages", "", Span(e.Span)
		if e.Outcomes.Troubled() {
			l.style = term.Yellow
		}
		l.details = queueName(e.Outcomes.Queue) + ": " + join(became(e.Outcomes), handlerTime(e.Outcomes)) + "; until " + p.near(e.Last.Time, e.Begin())
	case f.Kind == fsm.KindNote && f.Name == consumer.NoteStalled:
		l.trigger, l.to, l.style = "stood still", "", term.Red
		l.lasted = Span(time.Duration(consumer.EvidenceOf(f).StalledMS) * time.Millisecond)
		l.details = join("down", l.details)
	case f.Kind == fsm.KindCycle:
		l.trigger += " x" + strconv.FormatUint(f.Count/2, 10)
		l.details = join(fmt.Sprintf("to %s, and back by %s", f.Via, f.Back), l.details)
	case f.Kind != fsm.KindTransition:
		l.trigger, l.to, l.style = string(f.Kind), "", term.Yellow
		if f.Kind == fsm.KindRejected {
			l.details = join("trigger "+string(f.Trigger), l.details)
		}
		if f.Kind == fsm.KindGap {
			l.style = term.Red
			l.details = join(l.details, "in "+string(f.To)+" after that")
		}
		if f.Kind == fsm.KindBoot {
			l.style = term.Bold
			l.details = join(l.details, "run "+f.Run)
		}
	case attempt > 0:
		l.trigger += " #" + strconv.Itoa(attempt)
	}
	if f.Trigger == consumer.ProcessRestarted && f.Kind == fsm.KindTransition {
		l.details = join("the run before ended without Stop", l.details)
	}
	l.from, l.to = fsm.State(term.Clean(string(l.from))), fsm.State(term.Clean(string(l.to)))
	l.trigger, l.details = term.Clean(l.trigger), term.Clean(l.details)
	return l
}

// Columns of a wide page.
const (
	fromColumn    = 14
	lastedColumn  = 8
	triggerColumn = 18
	leastDetails  = 40 // with less room, they go below
)

// entry lays an entry out, in lines: in columns where there is room, else in sentences. A machine is named if
// there are several.
func (p page) entry(machine string, e history.Entry) term.Text {
	l := p.line(e)
	if machine != "" {
		l.details = strings.TrimSpace("[" + term.Clean(machine) + "] " + l.details)
	}
	before := term.Width(l.when) + fromColumn + lastedColumn + triggerColumn + fromColumn + 5*2
	if p.width > 0 && p.width < before+leastDetails {
		return p.sentence(l)
	}
	details := term.Wrap(l.details, max(0, p.width-before))
	text := p.ink.Paint(l.when, term.Grey) + "  " +
		p.cell(string(l.from), fromColumn, StyleOf(l.from)) + "  " +
		rightAligned(l.lasted, lastedColumn) + "  " +
		p.cell(l.trigger, triggerColumn+1, l.style) + " " + // ConnectionUnblocked is as long as that
		p.cell(string(l.to), fromColumn, StyleOf(l.to)) + "  " + term.Plain(details[0])
	return text.TrimRight() + "\n" + indented(details[1:], before)
}

func indented(lines []string, by int) (text term.Text) {
	for _, line := range lines {
		text += term.Blanks(by) + term.Plain(line) + "\n"
	}
	return text
}

// pending is one line about what is being folded, not wider than the page.
func (p page) pending(e history.Entry) term.Text {
	l := p.line(e)
	text := fmt.Sprintf("%s %s (%s): %s, ...", l.when, l.from, l.lasted, l.trigger)
	return p.ink.Paint(term.Cut(text, p.width-1), term.Grey)
}

// sentence is for narrow pages: "03:14:07.123 Consuming (2.1 s) -> Reviving: ConnectionError", and the details
// below.
func (p page) sentence(l line) term.Text {
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
	var below []string
	if l.details != "" {
		separator := ", "
		if l.to == "" {
			separator = " "
		}
		if joined := text + separator + l.details; term.Width(joined) <= p.width {
			text = joined
		} else {
			below = term.Wrap(l.details, p.width-indent)
		}
	}
	head := term.Wrap(text, p.width)
	return p.paintNames(head[0], l) + "\n" + indented(append(head[1:], below...), indent)
}

// paintNames paints the state that a sentence leads to, or what kind of event it tells of.
func (p page) paintNames(text string, l line) term.Text {
	name, style := "-> "+string(l.to), StyleOf(l.to)
	if l.to == "" {
		name, style = l.trigger+":", l.style
	}
	before, after, found := strings.Cut(text, name)
	if !found {
		return term.Plain(text)
	}
	return term.Plain(before) + p.ink.Paint(name, style) + term.Plain(after)
}
