package main

import (
	"fmt"
	"strings"
)

// The control sequences of the demo, which terminals have known since the VT100.
const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	eraseLine  = "\x1b[K" // from the cursor on
	eraseBelow = "\x1b[J"
)

func cursorUp(lines int) string {
	if lines == 0 {
		return "" // the terminal would take 0 for 1
	}
	return fmt.Sprintf("\x1b[%dA", lines)
}

// ink paints text, or leaves it as it is.
type ink bool

// Colours and weights of text.
const (
	bold   = "1"
	grey   = "90"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (on ink) paint(text string, how ...string) string {
	if !on || text == "" {
		return text
	}
	return "\x1b[" + strings.Join(how, ";") + "m" + text + unpainted
}

const unpainted = "\x1b[0m"

// width is how many columns a painted text takes; none of ours has characters of another width than 1.
func width(painted string) (columns int) {
	for range visible(painted) {
		columns++
	}
	return columns
}

// cut shortens a painted text to so many columns.
func cut(painted string, columns int) string {
	n := 0
	for i := range visible(painted) {
		if n++; n > columns {
			return painted[:i] + strings.Repeat(unpainted, min(1, strings.Count(painted[:i], "\x1b")))
		}
	}
	return painted
}

// wrap breaks a painted line at blanks, so that each part fits into so many columns as far as there are
// blanks. The parts are indented as the line is.
func wrap(painted string, columns int) []string {
	indent := len(painted) - len(strings.TrimLeft(painted, " "))
	blank, column := 0, 0
	for i := range visible(painted) {
		if painted[i] == ' ' {
			blank = i
		}
		if column++; column > columns && blank > indent {
			rest := strings.Repeat(" ", indent) + strings.TrimLeft(painted[blank:], " ")
			return append([]string{strings.TrimRight(painted[:blank], " ")}, wrap(rest, columns)...)
		}
	}
	return []string{painted}
}

// visible yields where each character begins that takes a column.
func visible(painted string) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		hidden := false
		for i, r := range painted {
			switch {
			case r == '\x1b':
				hidden = true
			case hidden:
				hidden = r != 'm'
			case !yield(i):
				return
			}
		}
	}
}
