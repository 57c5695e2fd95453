package demo

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/past"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// All text is made for a window of 60 columns or more, but for the errors, which are as long as they are.

// machine shows the five states and the main ways between them.
const machine = `{Disconnected}->{Connecting}->{Consuming}<->{HeartbeatCheck}
                                 ^ v               |
                              {Reviving}<----------+`

// region is what is shown below the lines: where the consumer is, for how long, and the counters. The
// current state is in brackets, so that it can be told without colours; the others have room for them, so
// that nothing moves.
func region(state fsm.State, lasting time.Duration, t tally, ink term.Ink) []term.Text {
	lines := []term.Text{""}
	for line := range strings.SplitSeq(machine, "\n") {
		before, after, here := strings.Cut(line, "{"+string(state)+"}")
		drawn := others(before)
		if here {
			drawn += ink.Paint("["+string(state)+"]", term.Bold, past.StyleOf(state)) + others(after)
		}
		lines = append(lines, drawn)
	}
	lost := ink.Paint(fmt.Sprintf("lost %d", t.lost), verdict(t)...)
	parked := ""
	if t.parked > 0 {
		parked = fmt.Sprintf("  parked %d", t.parked)
	}
	return append(lines, "",
		" "+ink.Paint(string(state), term.Bold, past.StyleOf(state))+term.Plain(fmt.Sprintf(" for %.1f s%s", max(0, lasting).Seconds(), parked)),
		" "+lost+term.Plain(fmt.Sprintf("  handled %d of %d  waiting %d  redelivered %d", t.handled, t.published, t.waiting, t.redelivered)))
}

// others are the states where the consumer is not.
func others(drawn string) term.Text {
	return term.Plain(strings.NewReplacer("{", " ", "}", " ").Replace(drawn))
}

// announcement says what a fault is.
func announcement(n, of int, f fault, ink term.Ink) []term.Text {
	lines := []term.Text{"", ink.Paint(fmt.Sprintf("Fault %d of %d: %s", n, of, f.words[0]), term.Bold)}
	for _, line := range f.words[1:] {
		lines = append(lines, term.Plain(line))
	}
	return lines
}

// describe tells of an event: when it was, from which state and how long that had lasted, to which, and why.
// As in the log, of the failed attempts of one outage it tells the 1st, 2nd, 4th, 8th, ...
func describe(e fsm.Event, ink term.Ink) []term.Text {
	attempt := consumer.EvidenceOf(e).Attempt
	if e.Kind != fsm.KindTransition || e.Trigger == consumer.ReviveFailed && attempt&(attempt-1) != 0 {
		return nil
	}
	from, why := string(e.From), string(e.Trigger)
	if e.From != consumer.Disconnected {
		from += " (" + span(time.Duration(e.InStateMS)*time.Millisecond) + ")"
	}
	if e.Trigger == consumer.ReviveFailed {
		why += fmt.Sprintf(" #%d", attempt)
	}
	gap := max(0, 35-term.Width(from+" -> "+string(e.To)))
	lines := []term.Text{clock(time.Duration(e.MonoNS)) + "  " + term.Plain(from) + " -> " +
		ink.Paint(string(e.To), past.StyleOf(e.To)) + term.Plain(fmt.Sprintf("%*s  %s", gap, "", why))}
	if e.Error != "" && attempt <= 1 {
		lines = append(lines, "        "+ink.Paint(e.Error, term.Grey))
	}
	return lines
}

// verdict is how the number of lost messages is painted.
func verdict(t tally) []term.Style {
	if t.lost > 0 {
		return []term.Style{term.Bold, term.Red}
	}
	return []term.Style{term.Bold, term.Green}
}

// summary is what a demo came to.
func summary(outcomes []outcome, t tally, interrupted bool, ink term.Ink) []term.Text {
	var lines []term.Text
	if len(outcomes) > 0 {
		lines = append(lines, "", "Times since the fault began; caught up is when everything",
			"published until messages flowed again had been handled.", "",
			ink.Paint("what happened     noticed  handled  caught up  redelivered", term.Bold))
	}
	for _, o := range outcomes {
		last := strconv.Itoa(o.redelivered)
		switch {
		case o.overcome:
		case interrupted:
			last = "interrupted"
		default:
			last = "not overcome"
		}
		row := func(cells ...any) {
			lines = append(lines, term.Plain(fmt.Sprintf("%-16s  %7s  %7s  %9s  %11s", cells...)).TrimRight())
		}
		row(o.fault, span(o.noticed), span(o.handled), span(o.caughtUp), last)
		if o.returned != absent && o.overcome {
			since := func(t time.Duration) string { return span(max(0, o.began+t-o.returned)) }
			row("  since return", "", since(o.handled), since(o.caughtUp), "")
		}
	}
	total := term.Plain(fmt.Sprintf("%d published, %d handled, ", t.published, t.handled)) +
		ink.Paint(fmt.Sprintf("%d lost", t.lost), verdict(t)...)
	if t.waiting > 0 {
		total += term.Plain(fmt.Sprintf(", %d in the queue", t.waiting))
	}
	if t.parked > 0 {
		total += term.Plain(fmt.Sprintf(", %d parked", t.parked))
	}
	lines = append(lines, "", total+".")
	if t.repaired > 0 {
		lines = append(lines, term.Plain(fmt.Sprintf("%d of them failed, were parked, retried, and handled then.", t.repaired)))
	}
	if t.redelivered > 0 {
		lines = append(lines,
			term.Plain(fmt.Sprintf("%d redelivered, %d handled more than once,", t.redelivered, t.repeated)),
			"which at-least-once delivery allows.")
	}
	return lines
}

// whereToGo is what to do next.
func whereToGo(counts string, ink term.Ink) []term.Text {
	return []term.Text{
		"",
		ink.Paint("Where to go next", term.Bold),
		"  your queue    everhop consume --url URL --queue orders",
		`  your program  import "github.com/everhop/everhop/consumer"`,
		"  the states    everhop graph | dot -Tsvg > states.svg",
		"  with counts   " + term.Plain(counts),
	}
}

// clock is a point in time, counted from the begin.
func clock(at time.Duration) term.Text { return term.Plain(fmt.Sprintf("%4.1f s", at.Seconds())) }

// span is how long something took, if it has happened.
func span(d time.Duration) string {
	if d == absent {
		return "-"
	}
	return past.Span(max(1, d))
}
