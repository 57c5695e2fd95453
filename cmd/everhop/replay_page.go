package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// page is what text is laid out for.
type page struct {
	width  int  // in columns; 0 for none: no terminal
	redraw bool // the last line can be written again
	colour bool
	zone   *time.Location
}

// usualWidth is that of a terminal that does not say.
const usualWidth = 80

func newPage(w io.Writer, zone *time.Location) page {
	p := page{zone: zone}
	if isTerminal(w) {
		if p.width = columns(w); p.width <= 0 {
			p.width = usualWidth
		}
		term := os.Getenv("TERM")
		p.redraw = term != "" && term != "dumb"
		p.colour = p.redraw && os.Getenv("NO_COLOR") == ""
	}
	return p
}

// Colours and weights of text.
const (
	bold   = "1"
	grey   = "90"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

var stateColours = map[fsm.State]string{
	consumer.Disconnected:   grey,
	consumer.Connecting:     cyan,
	consumer.Consuming:      green,
	consumer.HeartbeatCheck: yellow,
	consumer.Reviving:       red,
}

// paint paints text, where there are colours.
func (p page) paint(text, how string) string {
	if !p.colour || how == "" || text == "" {
		return text
	}
	return "\x1b[" + how + "m" + text + "\x1b[0m"
}

// wrap breaks text into lines of so many columns, where there are blanks if it can. No width: one line.
func wrap(text string, width int) []string {
	if width <= 0 {
		return []string{text}
	}
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		for {
			joined := word
			if line != "" {
				joined = line + " " + word
			}
			if utf8.RuneCountInString(joined) <= width {
				line = joined
				break
			}
			if line != "" {
				lines, line = append(lines, line), ""
				continue
			}
			letters := []rune(word)
			lines, word = append(lines, string(letters[:width])), string(letters[width:])
		}
	}
	return append(lines, line)
}

// clean makes text from a log harmless: it may hold whatever a peer has sent, and a terminal obeys control
// characters.
func clean(text string) string {
	harmless := func(r rune) bool { return r != utf8.RuneError && (unicode.IsPrint(r) || r == ' ') }
	if strings.IndexFunc(text, func(r rune) bool { return !harmless(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if harmless(r) {
			b.WriteRune(r)
		} else {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// clock is the time of day; without a terminal it is all of the time, to be searched for, sorted and pasted.
func (p page) clock(t time.Time) string {
	if p.width == 0 {
		return t.In(p.zone).Format("2006-01-02T15:04:05.000Z07:00")
	}
	return t.In(p.zone).Format("15:04:05.000")
}

// day is what clock does not say.
func (p page) day(t time.Time) string {
	if p.width == 0 {
		return ""
	}
	return t.In(p.zone).Format("Monday, 2006-01-02 (MST)")
}

// full is a date and a time.
func (p page) full(t time.Time) string { return t.In(p.zone).Format("2006-01-02 15:04:05 MST") }

// near is a time of the timeline, in a line that begins with the other time.
func (p page) near(t, other time.Time) string {
	if p.width == 0 {
		return p.clock(t)
	}
	return p.brief(t, other)
}

// brief is a time, with its date only if that is another one than that of the other time.
func (p page) brief(t, other time.Time) string {
	const day = "2006-01-02"
	if t.In(p.zone).Format(day) == other.In(p.zone).Format(day) {
		return t.In(p.zone).Format("15:04:05.000")
	}
	return t.In(p.zone).Format(day + " 15:04:05.000")
}

// span is a duration, as exact as anybody cares: two units at most.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	two := func(unit time.Duration, name string, small time.Duration, smallName string) string {
		d := d.Round(small)
		if d%unit == 0 {
			return fmt.Sprintf("%d%s", d/unit, name)
		}
		return fmt.Sprintf("%d%s %d%s", d/unit, name, d%unit/small, smallName)
	}
	switch {
	case d <= 0:
		return "0 s"
	case d < time.Millisecond:
		return "<1 ms"
	case d < 995*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	case d < 59950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d.Round(time.Second) < time.Hour:
		return two(time.Minute, "m", time.Second, "s")
	case d.Round(time.Minute) < day:
		return two(time.Hour, "h", time.Minute, "m")
	}
	return two(day, "d", time.Hour, "h")
}

// grouped is a number with commas.
func grouped[T int | uint64](n T) string {
	digits := strconv.FormatUint(uint64(n), 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// counted is "1 run", "2 runs".
func counted[T int | uint64](n T, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + one + "s"
}
