package past

import (
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// page is what text is laid out for.
type page struct {
	width  int  // in columns; 0 for none: no terminal
	redraw bool // the last line can be written again
	ink    term.Ink
	zone   *time.Location
}

func newPage(out *term.Output, zone *time.Location) page {
	return page{width: out.Width(), redraw: out.Redraws(), ink: out.Ink(), zone: zone}
}

const labelColumn = 16 // as wide as the longest label

// row lays out a label and what belongs to it.
func (p page) row(label, text string) (rows term.Text) {
	width := 0
	if p.width > 0 {
		width = max(20, p.width-labelColumn-2)
	}
	for _, line := range term.Wrap(term.Clean(text), width) {
		rows += labelled(label, term.Plain(line))
		label = ""
	}
	return rows
}

// labelled is a row that was laid out by its caller.
func labelled(label string, text term.Text) term.Text {
	return (padded(label, labelColumn) + "  " + text).TrimRight() + "\n"
}

// cell is text of a column, painted.
func (p page) cell(text string, width int, how ...term.Style) term.Text {
	return p.ink.Paint(text, how...) + term.Blanks(width-term.Width(text))
}

// padded is text with blanks behind it, to so many columns.
func padded(text string, width int) term.Text {
	return term.Plain(text) + term.Blanks(width-term.Width(text))
}

// rightAligned is text with blanks in front of it.
func rightAligned(text string, width int) term.Text {
	return term.Blanks(width-term.Width(text)) + term.Plain(text)
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
