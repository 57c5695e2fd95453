package glass

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/past"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
)

// page shows looks at consumers.
type page struct {
	ink   term.Ink
	width int // 0: lines are as long as they are
	zone  *time.Location
}

const indent = "   "

var (
	styles = [...][]term.Style{{term.Green}, {}, {term.Bold, term.Yellow}, {term.Bold, term.Red}}
	marks  = len(indent)
)

// lines are those of all consumers, the worst first.
func (p page) lines(looks []Look) (lines []term.Text) {
	looks = slices.Clone(looks)
	slices.SortStableFunc(looks, func(a, b Look) int { return cmp.Compare(b.severity(), a.severity()) })
	for i, l := range looks {
		if i > 0 {
			lines = append(lines, "")
		}
		lines = append(lines, p.look(l)...)
	}
	return lines
}

func (p page) look(l Look) []term.Text {
	if l.Doc == nil {
		text := l.Address + " DOES NOT ANSWER: " + l.Err.Error()
		if l.last != nil {
			doc := l.last.Doc
			text += fmt.Sprintf("; %s answered at %s, and was %s", doc.Name, doc.Time.In(p.zone).Format(time.TimeOnly), doc.State)
		}
		return p.told(bad, "", text)
	}
	doc, found := l.Doc, findings(l.Doc)
	lines := p.told(l.level(), "", cmp.Or(doc.Name, l.Address)+" "+verdict(doc))
	for _, f := range found[:min(len(found), told)] {
		lines = append(lines, p.told(levelOf(f.Trouble), indent, f.words(doc.Time, len(doc.Subscriptions)))...)
	}
	if more := len(found) - told; more > 0 {
		lines = append(lines, p.told(levelOf(found[told].Trouble), indent, fmt.Sprintf("and %d more, see below", more))...)
	}
	lines = append(lines, "")
	lines = append(lines, p.row("state", since(doc, p.zone))...)
	lines = append(lines, p.row("ready", yes(doc.Ready, doc.NotReady))...)
	lines = append(lines, p.row("alive", yes(doc.Alive, doc.NotAlive))...)
	if s := doc.Stalls; s.Count > 0 {
		text := fmt.Sprintf("still for %s until %s", past.Span(s.Took), clock(s.Last, doc.Time, p.zone))
		if s.Count > 1 {
			text += ", the last of " + counted(s.Count, "time")
		}
		lines = append(lines, p.row("stood", text)...)
	}
	lines = append(lines, p.row("seen", fmt.Sprintf("%s at %s, Everhop %s", doc.Time.In(p.zone).Format(time.TimeOnly), l.Address, doc.Version))...)
	lines = append(lines, p.connections(doc)...)
	return append(append(lines, ""), p.table(l)...)
}

// since is the state, and since when.
func since(doc *health.Document, zone *time.Location) string {
	if doc.Since.IsZero() {
		return string(doc.State)
	}
	return fmt.Sprintf("%s for %s, since %s", doc.State, past.Span(doc.Time.Sub(doc.Since)), clock(doc.Since, doc.Time, zone))
}

// verdict says in a few words how a consumer is.
func verdict(doc *health.Document) string {
	queues, idle := len(doc.Subscriptions), 0
	for _, s := range doc.Subscriptions {
		if s.Doing != consumer.DoingConsume {
			idle++
		}
	}
	switch worst := worstOf(doc); {
	case !doc.Alive:
		return "is NOT ALIVE: it should be restarted"
	case !doc.Ready && idle == queues && queues > 1:
		return fmt.Sprintf("is NOT READY: none of %d queues is consumed", queues)
	case !doc.Ready && idle == queues:
		return "is NOT READY: its queue is not consumed"
	case !doc.Ready && idle == 1:
		return fmt.Sprintf("is NOT READY: 1 of %d queues is not consumed", queues)
	case !doc.Ready && idle > 0:
		return fmt.Sprintf("is NOT READY: %d of %d queues are not consumed", idle, queues)
	case !doc.Ready:
		return "is NOT READY"
	case worst == bad:
		return "is ready, and IN TROUBLE"
	case worst == look:
		return "is ready; look at this:"
	}
	return fmt.Sprintf("is ready: %s consumed", counted(queues, "queue"))
}

func worstOf(doc *health.Document) level {
	worst := fine
	for _, t := range doc.Troubles {
		worst = max(worst, levelOf(t))
	}
	return worst
}

// yes, or why not.
func yes(well bool, reasons []consumer.Reason) string {
	if well {
		return "yes"
	}
	text := "no"
	for i, r := range reasons {
		text += [...]string{": ", "; "}[min(i, 1)] + cmp.Or(r.Text, r.Code)
		switch {
		case r.Queues > 1 && r.Queue != "":
			text += fmt.Sprintf(" (%s and %d more)", r.Queue, r.Queues-1)
		case r.Queue != "":
			text += " (" + r.Queue + ")"
		}
	}
	return text
}

// connections are the consumer's, and its publisher's.
func (p page) connections(doc *health.Document) (lines []term.Text) {
	for _, c := range doc.Connections {
		what := "connection "
		if !c.Home {
			what = "connection apart "
		}
		level, text := ofConnection(c, doc.Time)
		lines = append(lines, p.told(level, indent, what+text)...)
	}
	if doc.Publisher != nil {
		level, text := ofPublisher(doc.Publisher, doc.Time)
		lines = append(lines, p.told(level, indent, "publisher "+text)...)
	}
	return lines
}

// told is a text behind its sign.
func (p page) told(l level, before term.Text, text string) (lines []term.Text) {
	for i, line := range p.wrapped(text, len(before)+marks) {
		if i > 0 {
			lines = append(lines, before+indent+term.Plain(line))
			continue
		}
		painted := term.Plain(line)
		if before == "" {
			painted = p.ink.Paint(line, term.Bold)
		}
		lines = append(lines, before+p.ink.Paint(l.sign(), styles[l]...)+" "+painted)
	}
	return lines
}

const label = 7 // columns

func (p page) row(name, text string) (lines []term.Text) {
	for i, line := range p.wrapped(text, marks+marks+label) {
		if i > 0 {
			name = ""
		}
		lines = append(lines, indent+indent+term.Plain(fmt.Sprintf("%-*s", label, name))+term.Plain(line))
	}
	return lines
}

func (p page) wrapped(text string, before int) []string {
	text = term.Clean(text)
	if p.width == 0 {
		return []string{text}
	}
	return term.Wrap(text, max(20, p.width-before))
}
