package demo

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// All text is made for a window of 60 columns or more, but for the errors, which are as long as they are.

// machine shows the five states and the main ways between them.
const machine = `{Disconnected}->{Connecting}->{Consuming}<->{HeartbeatCheck}
                                 ^ v               |
                              {Reviving}<----------+`

// colours of the states.
var colours = map[fsm.State]string{
	consumer.Disconnected:   grey,
	consumer.Connecting:     cyan,
	consumer.Consuming:      green,
	consumer.HeartbeatCheck: yellow,
	consumer.Reviving:       red,
}

// region is what is shown below the lines: where the consumer is, for how long, and the counters. The
// current state is in brackets, so that it can be told without colours; the others have room for them, so
// that nothing moves.
func region(state fsm.State, lasting time.Duration, t tally, ink ink) []string {
	lost := ink.paint(fmt.Sprintf("lost %d", t.lost), verdict(t)...)
	current := ink.paint("["+string(state)+"]", bold, colours[state])
	drawn := strings.NewReplacer("{"+string(state)+"}", current, "{", " ", "}", " ").Replace(machine)
	return append(append([]string{""}, strings.Split(drawn, "\n")...), "",
		fmt.Sprintf(" %s for %.1f s", ink.paint(string(state), bold, colours[state]), max(0, lasting).Seconds()),
		fmt.Sprintf(" %s  handled %d of %d  waiting %d  redelivered %d", lost, t.handled, t.published, t.waiting, t.redelivered))
}

// announcement says what a fault is.
func announcement(n, of int, f fault, ink ink) []string {
	head := fmt.Sprintf("Fault %d of %d: ", n, of)
	return append([]string{"", ink.paint(head+f.words[0], bold)}, f.words[1:]...)
}

// describe tells of an event: when it was, from which state and how long that had lasted, to which, and why.
// As in the log, of the failed attempts of one outage it tells the 1st, 2nd, 4th, 8th, ...
func describe(e fsm.Event, ink ink) []string {
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
	gap := max(0, 35-len(from+" -> "+string(e.To)))
	lines := []string{fmt.Sprintf("%s  %s -> %s%*s  %s",
		clock(time.Duration(e.MonoNS)), from, ink.paint(string(e.To), colours[e.To]), gap, "", why)}
	if e.Error != "" && attempt <= 1 {
		lines = append(lines, "        "+ink.paint(e.Error, grey))
	}
	return lines
}

// verdict is how the number of lost messages is painted.
func verdict(t tally) []string {
	if t.lost > 0 {
		return []string{bold, red}
	}
	return []string{bold, green}
}

// summary is what a demo came to.
func summary(outcomes []outcome, t tally, interrupted bool, ink ink) []string {
	var lines []string
	if len(outcomes) > 0 {
		lines = append(lines, "", "Times since the fault began; caught up is when everything",
			"published until messages flowed again had been handled.", "",
			ink.paint("what happened     noticed  handled  caught up  redelivered", bold))
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
		const row = "%-16s  %7s  %7s  %9s  %11s"
		lines = append(lines, fmt.Sprintf(row, o.fault, span(o.noticed), span(o.handled), span(o.caughtUp), last))
		if o.returned != absent && o.overcome {
			since := func(t time.Duration) string { return span(max(0, o.began+t-o.returned)) }
			lines = append(lines, strings.TrimRight(fmt.Sprintf(row, "  since return", "", since(o.handled), since(o.caughtUp), ""), " "))
		}
	}
	lost := ink.paint(fmt.Sprintf("%d lost", t.lost), verdict(t)...)
	total := fmt.Sprintf("%d published, %d handled, %s", t.published, t.handled, lost)
	if t.waiting > 0 {
		total += fmt.Sprintf(", %d in the queue", t.waiting)
	}
	lines = append(lines, "", total+".")
	if t.redelivered > 0 {
		lines = append(lines,
			fmt.Sprintf("%d redelivered, %d handled more than once,", t.redelivered, t.repeated),
			"which at-least-once delivery allows.")
	}
	return lines
}

// whereToGo is what to do next.
func whereToGo(counts string, ink ink) []string {
	return []string{
		"",
		ink.paint("Where to go next", bold),
		"  your queue    everhop consume --url URL --queue orders",
		`  your program  import "github.com/everhop/everhop/consumer"`,
		"  the states    everhop graph | dot -Tsvg > states.svg",
		"  with counts   " + counts,
	}
}

// clock is a point in time, counted from the begin.
func clock(at time.Duration) string { return fmt.Sprintf("%4.1f s", at.Seconds()) }

// span is a duration, as exact as anybody cares.
func span(d time.Duration) string {
	switch {
	case d == absent:
		return "-"
	case d < time.Millisecond:
		return "<1 ms"
	case d < 995*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
