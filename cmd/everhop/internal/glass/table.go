package glass

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/past"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
)

// column is one of the table of subscriptions.
type column struct {
	title string
	cell  func(row) string
	// worth is how long it stays where there is no room for all: the lowest goes first.
	worth int
	// rare ones are there if one cell has something to say.
	rare bool
}

type row struct {
	consumer.SubscriptionStatus
	level level
	now   time.Time
	rate  float64 // messages settled a second; negative: not known
}

// stat is a column of one of the counts.
func stat(title string, worth int, rare bool, of func(consumer.Stats) uint64) column {
	return column{title, func(r row) string {
		if n := of(r.Stats); n > 0 || !rare {
			return grouped(n)
		}
		return ""
	}, worth, rare}
}

// took is a column of how long handlers took.
func took(title string, worth int, of func(consumer.HandlingTime) time.Duration) column {
	return column{title, func(r row) string {
		if r.Handling.Calls == 0 {
			return "-"
		}
		return past.Span(of(r.Handling))
	}, worth, false}
}

// columns are all but the sign, the queue and what it does.
var columns = []column{
	{"in flight", func(r row) string { return fmt.Sprintf("%d of %d", r.InFlight, r.Concurrency) }, 100, false},
	{"oldest", func(r row) string {
		if r.OldestInFlight.IsZero() {
			return "-"
		}
		return past.Span(r.now.Sub(r.OldestInFlight))
	}, 90, false},
	{"waiting", func(r row) string { return grouped(uint64(max(0, r.Waiting+r.Aside))) }, 95, false},
	{"a second", func(r row) string {
		if r.rate < 0 {
			return ""
		}
		return perSecond(r.rate)
	}, 93, true},
	{"settled", func(r row) string {
		if r.LastSettled.IsZero() {
			return "never"
		}
		return past.Span(r.now.Sub(r.LastSettled)) + " ago"
	}, 75, false},
	stat("handled", 85, false, func(s consumer.Stats) uint64 { return s.Acknowledged }),
	stat("failed", 80, false, func(s consumer.Stats) uint64 { return s.Failed }),
	stat("parked", 79, true, func(s consumer.Stats) uint64 { return s.Parked }),
	stat("rejected", 78, true, func(s consumer.Stats) uint64 { return s.Rejected }),
	stat("kept", 31, true, func(s consumer.Stats) uint64 { return s.Kept }),
	stat("put back", 30, true, func(s consumer.Stats) uint64 { return s.Requeued + s.ReturnedUnstarted }),
	stat("saved", 36, true, func(s consumer.Stats) uint64 { return s.Saved }),
	stat("delayed", 35, true, func(s consumer.Stats) uint64 { return s.Delayed }),
	stat("repeated", 32, true, func(s consumer.Stats) uint64 { return s.Deduplicated }),
	stat("stale", 33, true, func(s consumer.Stats) uint64 { return s.Stale }),
	took("p50", 60, func(t consumer.HandlingTime) time.Duration { return t.P50 }),
	took("p95", 40, func(t consumer.HandlingTime) time.Duration { return t.P95 }),
	took("p99", 70, func(t consumer.HandlingTime) time.Duration { return t.P99 }),
}

func perSecond(rate float64) string {
	switch {
	case rate == 0:
		return "0"
	case rate < 9.95:
		return fmt.Sprintf("%.1f", rate)
	}
	return grouped(uint64(rate + 0.5))
}

const (
	between    = 2  // columns of the terminal
	leastName  = 12 // of a queue
	widestName = 40
)

// table is that of the subscriptions, those in trouble first. What there is no room for is left out.
func (p page) table(l Look) []term.Text {
	doc, troubles := l.Doc, levelsOf(l.Doc)
	var rows []row
	for i, s := range doc.Subscriptions {
		r := row{s, levelOfRow(s, troubles), doc.Time, -1}
		if i < len(l.rates) {
			r.rate = l.rates[i]
		}
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(b.level, a.level) })

	names, does := []string{"queue"}, []string{"doing"}
	for _, r := range rows {
		names = append(names, term.Clean(queueOf(r.SubscriptionStatus)))
		does = append(does, term.Clean(doing(r)))
	}
	nameWidth, doesWidth := widest(names), widest(does)
	cells := cellsOf(rows)
	if p.width > 0 {
		nameWidth = min(nameWidth, widestName)
		for room(cells, nameWidth+doesWidth) > p.width && nameWidth > leastName {
			nameWidth--
		}
		for room(cells, nameWidth+doesWidth) > p.width && len(cells) > 0 {
			least := slices.MinFunc(cells, func(a, b filled) int { return cmp.Compare(a.worth, b.worth) })
			cells = slices.DeleteFunc(cells, func(f filled) bool { return f.title == least.title })
		}
	}
	var lines []term.Text
	for i := range names {
		line := fmt.Sprintf("%-*s  %-*s", nameWidth, shorten(names[i], nameWidth), doesWidth, does[i])
		for _, c := range cells {
			line += fmt.Sprintf("%*s", between+c.width, c.texts[i])
		}
		if i == 0 {
			lines = append(lines, indent+p.ink.Paint(line, term.Bold))
			continue
		}
		level := rows[i-1].level
		sign := p.ink.Paint(level.sign(), styles[level]...)
		if level == fine {
			sign = "  "
		}
		lines = append(lines, sign+" "+term.Plain(line))
	}
	return lines
}

// doing is what a subscription does, and for how long.
func doing(r row) string {
	text := strings.ReplaceAll(string(r.Doing), "_", " ")
	if r.Apart != "" {
		text += " apart"
	}
	if r.Since.IsZero() {
		return text
	}
	return text + " " + past.Span(r.now.Sub(r.Since))
}

// filled is a column with its texts, the title first.
type filled struct {
	column
	texts []string
	width int
}

func cellsOf(rows []row) (cells []filled) {
	for _, c := range columns {
		texts, said := []string{c.title}, false
		for _, r := range rows {
			text := c.cell(r)
			said = said || text != ""
			texts = append(texts, text)
		}
		if said || !c.rare {
			cells = append(cells, filled{c, texts, widest(texts)})
		}
	}
	return cells
}

func room(cells []filled, taken int) int {
	sum := marks + taken + between
	for _, c := range cells {
		sum += between + c.width
	}
	return sum
}

func widest(texts []string) (width int) {
	for _, text := range texts {
		width = max(width, term.Width(text))
	}
	return width
}
