package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// introduction says what is going to be shown.
func introduction(faults int) []string {
	return []string{
		"A broker, a publisher and an Everhop consumer, all of them in this process;",
		fmt.Sprintf("%d messages a second; and %d faults, one after another. Ctrl-C ends it.", demoRate, faults),
		"",
	}
}

// announcement says what a fault is.
func announcement(n, of int, f fault, ink ink) []string {
	head := fmt.Sprintf("Fault %d of %d: ", n, of)
	return append([]string{"", ink.paint(head+f.words[0], bold)}, f.words[1:]...)
}

// sentence tells how a fault ended, now that it is over.
func (o outcome) sentence(now time.Duration, ink ink) string {
	return clock(now) + "  " + ink.paint(fmt.Sprintf("Handled again after %s, caught up after %s; %d redelivered.",
		span(o.handled), span(now-o.began), o.redelivered), green)
}

// describe tells of an event: when it was, from which state to which, why, and how long the former state had
// lasted. As in the log, of the failed attempts of one outage it tells the 1st, 2nd, 4th, 8th, ...
func describe(e fsm.Event, ink ink) []string {
	if e.Kind != fsm.KindTransition || e.Trigger == consumer.ReviveFailed && e.Attempt&(e.Attempt-1) != 0 {
		return nil
	}
	to := ink.paint(string(e.To), colours[e.To])
	gap := max(0, 27-len(string(e.From)+" -> "+string(e.To)))
	line := fmt.Sprintf("%s  %s -> %s%*s  %-16s", clock(time.Duration(e.MonoNS)), e.From, to, gap, "", e.Trigger)
	if e.From != consumer.Disconnected {
		line += "  after " + span(time.Duration(e.InStateMS)*time.Millisecond)
	}
	if e.Trigger == consumer.ReviveFailed {
		line += fmt.Sprintf(", attempt %d", e.Attempt)
	}
	lines := []string{strings.TrimRight(line, " ")}
	if e.Error != "" && e.Attempt <= 1 {
		lines = append(lines, indent+ink.paint(e.Error, grey))
	}
	return lines
}

// indent is as wide as a clock and the blanks behind it.
const indent = "         "

// clock is a point in time, counted from the begin.
func clock(at time.Duration) string { return fmt.Sprintf("%5.1f s", at.Seconds()) }

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

// inSeconds is a setting.
func inSeconds(d time.Duration) string { return fmt.Sprintf("%g s", d.Seconds()) }
