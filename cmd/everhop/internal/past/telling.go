package past

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// telling is one replay under way.
type telling struct {
	asked *Replay
	bounds
	page  page
	out   *term.Output // gathers
	flush func() error
	live  bool
	err   error // of out

	stories []*story
	others  machines // that are not wanted
	begun   bool
	listed  bool      // something of a list is
	pending bool      // a line without an end is on the terminal, to be written over
	drawn   time.Time // when that was
	day     string
}

func newTelling(asked *Replay, b bounds, out *term.Output) *telling {
	t := &telling{asked: asked, bounds: b, page: newPage(out, asked.Zone)}
	t.out, t.flush = out.Gathered(64 << 10)
	return t
}

// tell tells of what has that name. The error is of what could not be read or written.
func (t *telling) tell(name string, events iter.Seq2[fsm.Event, error]) error {
	var failure error
	for e, err := range events {
		if err != nil {
			failure = err
			break
		}
		if !t.asked.wants(e) {
			t.others.saw(e.Machine)
			continue
		}
		t.add(e)
		if t.live {
			t.showPending()
			t.sent()
		}
		if t.err != nil {
			break
		}
	}
	switch {
	case t.err != nil:
	case errors.Is(failure, ErrInterrupted): // a summary would pass a part off as the whole
		t.sent()
	case len(t.stories) > 0:
		if err := t.finish(); err != nil && failure == nil {
			failure = err
		}
		t.sent()
	case failure == nil && len(t.others) > 0:
		failure = t.others.without(name, t.asked.Machine)
	}
	return errors.Join(t.err, failure)
}

// story is the machine's, which may be new.
func (t *telling) story(machine string) *story {
	for _, s := range t.stories {
		if s.machine == machine {
			return s
		}
	}
	s := &story{machine: machine, summary: history.Summary{Since: t.since, Until: t.until}}
	s.timeline = history.NewTimeline(func(e history.Entry) { s.shown = append(s.shown, e) })
	if t.asked.Outages {
		s.summary.Each = func(o history.Outage) { t.outage(s, o) }
	}
	s.timeline.Prompt = t.live
	t.stories = append(t.stories, s)
	return s
}

func (t *telling) add(e fsm.Event) {
	s := t.story(e.Machine)
	if s.begin.IsZero() {
		s.begin = e.Time
	}
	if !t.at.IsZero() {
		s.look(e, t.at)
		return
	}
	until := s.summary.Until
	behind := !until.IsZero() && e.Time.After(until)
	if s.over || behind && e.Kind == fsm.KindSnapshot {
		return
	}
	s.summary.Apply(e)
	if behind {
		s.over = true
		return
	}
	s.end = e.Time
	s.watch(e)
	if t.asked.lists() {
		if t.asked.Messages && isRare(e) && !e.Time.Before(t.since) {
			t.message(s, e)
		}
		return
	}
	if !t.asked.SummaryOnly && !e.Time.Before(t.since) {
		s.timeline.Apply(e)
		if len(s.shown) > 0 {
			t.entries()
		}
	}
}

// entries shows what the machines' timelines have shown, in order. What the others are folding has begun before that:
// it is not held back any longer.
func (t *telling) entries() {
	for _, s := range t.stories {
		if len(s.shown) == 0 {
			s.timeline.Flush()
		}
	}
	for {
		var first *story
		for _, s := range t.stories {
			if len(s.shown) > 0 && (first == nil || s.shown[0].Begin().Before(first.shown[0].Begin())) {
				first = s
			}
		}
		if first == nil {
			return
		}
		t.entry(first.machine, first.shown[0])
		first.shown = first.shown[1:]
	}
}

// entry shows a line of the timeline.
func (t *telling) entry(machine string, e history.Entry) {
	if t.asked.JSON {
		t.object(newJSONEntry(e))
		return
	}
	if day := t.page.day(e.Begin()); day != t.day {
		if t.begun {
			t.print("\n")
		}
		t.print(t.page.ink.Paint(day, term.Bold) + "\n")
		t.day = day
	}
	t.begun = true
	if len(t.stories) < 2 {
		machine = "" // goes without saying, until there is another one: what is read live cannot wait for that
	}
	t.print(t.page.entry(machine, e))
}

// finish shows what comes when all events were read.
func (t *telling) finish() error {
	if t.pending {
		t.print("")
	}
	t.entries()
	var nothing []error
	for _, s := range t.stories {
		switch {
		case !t.at.IsZero():
			t.glance(s)
		case s.summary.Report().First.IsZero():
			nothing = append(nothing, t.nothing(s))
		case t.asked.lists():
			s.summary.Flush()
		case t.asked.NoSummary:
		case t.asked.JSON:
			t.object(newJSONSummary(s.machine, s.summary.Report(), s.ending()))
		default:
			t.print(t.page.report(s))
		}
	}
	if len(nothing) == len(t.stories) {
		return nothing[0]
	}
	switch {
	case t.listed || t.asked.JSON:
	case t.asked.Outages:
		t.print("no outages\n")
	case t.asked.Messages:
		t.print("no messages that are rare in any way\n")
	}
	return nil
}

// lists tells whether a list is asked for.
func (r *Replay) lists() bool { return r.Outages || r.Messages }

// several is the machine's name, if there are others, too.
func (t *telling) several(s *story) string {
	if len(t.stories) < 2 {
		return ""
	}
	return s.machine
}

// head begins a list.
func (t *telling) head(columns ...string) {
	if !t.listed {
		t.listed = true
		t.print(t.page.head(t.asked.Outages, columns...))
	}
}

func (t *telling) outage(s *story, o history.Outage) {
	if t.asked.JSON {
		t.object(jsonListed{"outage", s.machine, newJSONOutage(o)})
		return
	}
	t.head("from", "to", "lasted", "why")
	t.print(t.page.outageRow(t.several(s), o))
}

func (t *telling) message(s *story, e fsm.Event) {
	if t.asked.JSON {
		t.object(jsonEntry{entry: "message", event: e})
		return
	}
	t.head("time", "queue", "what", "about it")
	t.print(t.page.message(t.several(s), e))
}

// nothing says why nothing is told of a machine.
func (t *telling) nothing(s *story) error {
	if s.end.IsZero() {
		return fmt.Errorf("nothing until %s: the log begins at %s", t.page.full(t.until), t.page.full(s.begin))
	}
	return fmt.Errorf("nothing since %s: the log ends at %s", t.page.full(t.since), t.page.full(s.end))
}

// showPending shows on a terminal what is held back to be folded, so that a calm night can be told from a
// dead journal.
func (t *telling) showPending() {
	const often = 100 * time.Millisecond
	if !t.page.redraw || t.asked.JSON || len(t.stories) != 1 || time.Since(t.drawn) < often {
		return
	}
	if e, ok := t.stories[0].timeline.Pending(); ok {
		t.print(t.page.pending(e))
		t.pending, t.drawn = true, time.Now()
	}
}

func (t *telling) glance(s *story) {
	then := s.at()
	g := glance{of: s.all.Lifecycle(), at: t.at, moment: then.moment, last: then.last, next: then.next, begin: s.begin, back: s.back}
	if end := s.newest.Time; g.next == nil && end.Before(t.at) {
		g.logEnded = end
	}
	switch {
	case t.asked.JSON:
		t.object(newJSONGlance(s.machine, g))
	default:
		if t.begun {
			t.print("\n")
		}
		t.begun = true
		t.print(t.page.glance(s.machine, g))
	}
}

func (t *telling) object(v any) {
	line, err := jsonLine(v)
	if err == nil {
		_, err = t.out.Write(line)
	}
	t.failed(err)
}

func (t *telling) print(text term.Text) {
	if t.pending {
		text = term.ClearLine + text
		t.pending = false
	}
	t.failed(t.out.Print(text))
}

// sent sends what is gathered.
func (t *telling) sent() {
	if t.err == nil {
		t.failed(t.flush())
	}
}

// failed keeps the first error of out.
func (t *telling) failed(err error) {
	if t.err == nil {
		t.err = err
	}
}
