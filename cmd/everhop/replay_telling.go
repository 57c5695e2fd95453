package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// bounds are the times that were asked for; zero means none.
type bounds struct{ at, since, until time.Time }

// telling is one replay under way.
type telling struct {
	asked *replay
	bounds
	page page
	out  *bufio.Writer
	live bool
	err  error // of out

	stories []*story
	others  []string // machines that are not wanted
	begun   bool
	pending bool      // a line without an end is on the terminal, to be written over
	drawn   time.Time // when that was
	day     string
}

// story is what is told of one machine.
type story struct {
	machine  string
	summary  history.Summary
	timeline *history.Timeline
	shown    []history.Entry // by timeline, and not yet by entry
	begin    time.Time       // of the log
	end      time.Time       // of what was told
	over     bool            // something behind until was read
	newest   fsm.Event       // that was read
	back     setBack

	// For at only: a summary of all events, the newest stretch and the newest that has events on both sides.
	all               history.Summary
	newestAt, wholeAt stretch
}

// setBack says how often the wall clock was set back within a run, the last time by how much and before what time.
type setBack struct {
	times  int
	by     time.Duration
	before time.Time
}

// watch sees the wall clock go back.
func (s *story) watch(e fsm.Event) {
	if n := s.newest; e.Run == n.Run && e.Seq > n.Seq && e.Time.Before(n.Time) {
		passed := time.Duration(max(0, e.MonoNS-n.MonoNS))
		s.back = setBack{s.back.times + 1, passed + n.Time.Sub(e.Time), e.Time}
	}
	s.newest = e
}

// stretch is a part of the log around the time that was asked for.
type stretch struct {
	summary history.Summary // until then
	last    fsm.Event       // the newest event then; a snapshot only repeats others
	next    *fsm.Event      // the first one behind
}

// look finds out what was the case at that time. When the clock was set back the log may have it several times.
func (s *story) look(e fsm.Event, at time.Time) {
	s.watch(e)
	s.all.Apply(e)
	switch {
	case !e.Time.After(at):
		s.newestAt.summary, s.newestAt.next = s.all, nil // they share what is counted, but only Now is asked for
		s.newestAt.summary.Until = at
		if e.Kind != fsm.KindSnapshot {
			s.newestAt.last = e
		}
	case s.newestAt.next == nil && e.Kind != fsm.KindSnapshot:
		s.newestAt.summary.Apply(e)
		s.newestAt.next = &e
		s.wholeAt = s.newestAt
	}
}

// at is the last stretch with events before and behind, or else what the log ends or begins with.
func (s *story) at() stretch {
	if s.wholeAt.summary.Now().State == "" {
		return s.newestAt
	}
	return s.wholeAt
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
			t.other(e.Machine)
			continue
		}
		t.add(e)
		if t.live {
			t.showPending()
			t.flush()
		}
		if t.err != nil {
			break
		}
	}
	switch {
	case t.err != nil:
	case errors.Is(failure, errInterrupted): // a summary would pass a part off as the whole
		t.flush()
	case len(t.stories) > 0:
		if err := t.finish(); err != nil && failure == nil {
			failure = err
		}
		t.flush()
	case failure == nil && len(t.others) > 0:
		failure = fmt.Errorf("%s: nothing of machine %q; there is: %s", name, t.asked.machine, strings.Join(t.others, ", "))
	}
	return errors.Join(t.err, failure)
}

func (t *telling) other(machine string) {
	const most = 10
	if machine == "" {
		machine = "one without a name"
	}
	for _, known := range t.others {
		if known == machine {
			return
		}
	}
	if len(t.others) < most {
		t.others = append(t.others, machine)
	}
}

// story is the machine's, which may be new.
func (t *telling) story(machine string) *story {
	for _, s := range t.stories {
		if s.machine == machine {
			return s
		}
	}
	s := &story{machine: machine, summary: history.Summary{Since: t.since, Until: t.until}}
	s.newestAt.summary.Until = t.at
	s.timeline = history.NewTimeline(func(e history.Entry) { s.shown = append(s.shown, e) })
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
	if !t.asked.summary && !e.Time.Before(t.since) {
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
			if len(s.shown) > 0 && (first == nil || s.shown[0].First.Time.Before(first.shown[0].First.Time)) {
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
	if t.asked.json {
		t.object(newJSONEntry(e))
		return
	}
	if day := t.page.day(e.First.Time); day != t.day {
		if t.begun {
			t.lines("")
		}
		t.lines(t.page.paint(day, bold))
		t.day = day
	}
	t.begun = true
	if len(t.stories) < 2 {
		machine = "" // goes without saying, until there is another one: what is read live cannot wait for that
	}
	t.lines(t.page.lines(machine, e)...)
}

// finish shows what comes when all events were read.
func (t *telling) finish() error {
	if t.pending {
		t.write("")
	}
	t.entries()
	var nothing []error
	for _, s := range t.stories {
		switch {
		case !t.at.IsZero():
			t.glance(s)
		case s.summary.Report().First.IsZero():
			nothing = append(nothing, t.nothing(s))
		case t.asked.none:
		case t.asked.json:
			t.object(newJSONSummary(s.machine, s.summary.Report(), s.ending()))
		default:
			t.lines(t.page.report(s.machine, s.summary.Report(), s.ending(), s.back)...)
		}
	}
	if len(nothing) == len(t.stories) {
		return nothing[0]
	}
	return nil
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
	if !t.page.redraw || t.asked.json || len(t.stories) != 1 || time.Since(t.drawn) < often {
		return
	}
	if e, ok := t.stories[0].timeline.Pending(); ok {
		t.write(t.page.pending(e))
		t.pending, t.drawn = true, time.Now()
	}
}

// ending is how what was told ends.
func (s *story) ending() ending {
	m := s.summary.Now()
	end := ending{state: m.State, runEnded: m.Ended, more: s.over, since: m.Since, inLog: m.InLog, led: m.Led.Trigger}
	if m.State == consumer.Consuming { // heartbeats do not interrupt it
		end.since, end.inLog = m.Up, m.UpInLog
	}
	return end
}

func (t *telling) glance(s *story) {
	then := s.at()
	g := glance{at: t.at, moment: then.summary.Now(), last: then.last, next: then.next, begin: s.begin, back: s.back}
	if end := s.newest.Time; g.next == nil && end.Before(t.at) {
		g.logEnded = end
	}
	switch {
	case t.asked.json:
		t.object(newJSONGlance(s.machine, g))
	default:
		if t.begun {
			t.lines("")
		}
		t.begun = true
		t.lines(t.page.glance(s.machine, g)...)
	}
}

func (t *telling) object(v any) {
	text, err := jsonLine(v)
	if err != nil {
		t.err = errors.Join(t.err, err)
		return
	}
	t.write(text)
}

func (t *telling) lines(lines ...string) {
	for _, line := range lines {
		t.write(line + "\n")
	}
}

func (t *telling) write(text string) {
	if t.pending {
		text = "\r\x1b[K" + text
		t.pending = false
	}
	if t.err != nil {
		return
	}
	if _, err := io.WriteString(t.out, text); err != nil {
		t.err = &outputError{err}
	}
}

func (t *telling) flush() {
	if t.err == nil && t.out.Buffered() > 0 {
		if err := t.out.Flush(); err != nil {
			t.err = &outputError{err}
		}
	}
}
