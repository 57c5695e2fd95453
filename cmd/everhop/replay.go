package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// replay is everhop replay.
type replay struct {
	at, since, until timePoint
	machine          string
	json, follow     bool
	summary, none    bool // only the summary, no summary
	utc              bool
}

func newReplay() *cobra.Command {
	var r replay
	cmd := &cobra.Command{
		Use:   "replay FILE|DIR|-",
		Short: "Tell from a journal or a log what happened, when and why",
		Long: `Tells what a consumer went through: the timeline of its events, and a summary of them.

It reads a journal (a file, or a directory with all its segments), or a log with Everhop's lines in
JSON: a file, or with - standard input. Other lines of a log are skipped, and so is what docker or
kubectl put in front of a line. A log at info level does not have everything: idle heartbeats and most
of the failed attempts are missing from its timeline. Its summary makes up for them.

Each line tells when, from which state, how long that had lasted, the trigger, the state it led to, and
the cause. Answered heartbeats with nothing between are folded into one line (idle x1200), and so are
the failed attempts of an outage once they repeat themselves (ReviveFailed x399); such a line tells how
long all of them took. On a terminal less than 116 columns wide there are no columns. Without a terminal
nothing is wrapped, and the times are complete.

The summary counts as available when it was Consuming or in HeartbeatCheck. What was stopped on purpose
is left out. A run that ended without Stop counts as down from its last event until it consumes again:
when it ended is not recorded, so "at least" is said.

--at, --since and --until take a TIME: in RFC 3339 as 2026-11-22T03:14:00Z, local as "2026-11-22 03:14"
or with seconds, 03:14 or 03:14:07 for the most recent one in the log, or 2h for that long before the
log's end (so standard input is read to its end first). --utc shows and reads times in UTC, not in the
local zone.

--json writes one object a line, each with a member "entry":
  event      one event, with the journal's members, and lasted_ms: how long "from" had lasted
  idle       folded heartbeats: the first event's members, count, span_ms, and "last", the last event
  attempts   folded failed attempts, likewise
  summary    the last one (one for each machine): availability from 0 to 1, times in ms; down_ms is with
             unrecorded_ms, unknown_ms is without a state because of a gap; aborted counts runs that
             ended without Stop, missing counts events that are not in the log
  at         instead of all these with --at

Exit status: 0 done, 1 nothing to tell or not readable, 2 wrong command line, 3 the journal is damaged
(what comes before is told).`,
		Example: `  everhop replay /var/lib/orders/journal
  everhop replay journal --at 03:14
  everhop replay journal --since 22:00 --until 06:00
  everhop replay journal --since 2h --follow
  kubectl logs deploy/orders | everhop replay -
  everhop replay journal --json --summary | jq .availability`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return wrongUsage(cmd, errors.New("a FILE, a DIR or - is missing"))
			case 1:
				return nil
			}
			return wrongUsage(cmd, fmt.Errorf("unexpected argument %q", args[1]))
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.check(args[0]); err != nil {
				return wrongUsage(cmd, err)
			}
			return r.run(cmd, source{path: args[0], stdin: cmd.InOrStdin()})
		},
	}
	flags := cmd.Flags()
	point := func(target *timePoint, flag, usage string) {
		flags.Var(value[timePoint]{target, "TIME", timeText, parseTime}, flag, usage)
		complete(cmd, flag)
	}
	point(&r.at, "at", "tell only the state at that time, since when, and the event that led there")
	point(&r.since, "since", "leave out what was before")
	point(&r.until, "until", "leave out what was after")
	flags.StringVar(&r.machine, "machine", "", "only the machine of that `NAME` (default all)")
	flags.BoolVar(&r.follow, "follow", false, "go on as the journal or log grows, until interrupted")
	flags.BoolVar(&r.summary, "summary", false, "only the summary")
	flags.BoolVar(&r.none, "no-summary", false, "only the timeline")
	flags.BoolVar(&r.json, "json", false, "for machines: one JSON object a line")
	flags.BoolVar(&r.utc, "utc", false, "times in UTC (default in the local zone)")
	return cmd
}

// check looks for flags that contradict each other.
func (r *replay) check(path string) error {
	given := map[string]bool{
		"--at": r.at.given(), "--since": r.since.given(), "--until": r.until.given(), "--follow": r.follow,
		"--summary": r.summary, "--no-summary": r.none,
	}
	for _, pair := range [][2]string{
		{"--at", "--since"}, {"--at", "--until"}, {"--at", "--follow"}, {"--at", "--summary"}, {"--at", "--no-summary"},
		{"--until", "--follow"}, {"--summary", "--no-summary"},
	} {
		if given[pair[0]] && given[pair[1]] {
			return fmt.Errorf("%s and %s: only one of them", pair[0], pair[1])
		}
	}
	if r.follow && path == "-" {
		return errors.New("--follow: standard input is followed anyway")
	}
	return nil
}

func (r *replay) run(cmd *cobra.Command, s source) (err error) {
	soft, hard, release := interruptible(cmd.Context(), func(error) {})
	defer release()
	ctx, cancel := context.WithCancel(soft)
	defer cancel()

	zone := time.Local
	if r.utc {
		zone = time.UTC
	}
	live := r.follow || s.path == "-"
	var end time.Time
	if r.at.relative() || r.since.relative() || r.until.relative() {
		if s.path == "-" {
			var done func()
			if s, done, err = s.spool(ctx); err != nil {
				return err
			}
			defer done()
		}
		if end, err = r.end(hard, s); err != nil {
			return err
		}
	}
	b := bounds{at: r.at.in(end, zone), since: r.since.in(end, zone), until: r.until.in(end, zone)}
	if !b.since.IsZero() && !b.until.IsZero() && b.since.After(b.until) {
		return fmt.Errorf("--since %s is after --until %s", b.since.Format(time.RFC3339), b.until.Format(time.RFC3339))
	}
	out := cmd.OutOrStdout()
	t := &telling{asked: r, bounds: b, page: newPage(out, zone), out: bufio.NewWriterSize(out, 64<<10), live: live}
	events := s.events(ctx)
	if r.follow {
		events = s.follow(ctx)
	}
	return t.tell(ctx, s, events)
}

// end is when the log ends.
func (r *replay) end(ctx context.Context, s source) (end time.Time, err error) {
	for e, err := range s.events(ctx) {
		if err != nil {
			var damaged *corruptError
			if errors.As(err, &damaged) && !end.IsZero() {
				break // said again when it is told
			}
			return end, err
		}
		if r.wants(e) {
			end = e.Time
		}
	}
	return end, nil
}

func (r *replay) wants(e fsm.Event) bool { return r.machine == "" || r.machine == e.Machine }

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
	begin    time.Time
	last     fsm.Event
	next     *fsm.Event // the first one behind at or until
}

func (t *telling) tell(ctx context.Context, s source, events iter.Seq2[fsm.Event, error]) error {
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
		if t.err != nil || ctx.Err() != nil {
			break
		}
	}
	switch {
	case t.err != nil:
	case len(t.stories) > 0:
		if err := t.finish(); err != nil && failure == nil {
			failure = err
		}
		t.flush()
	case failure == nil && len(t.others) > 0:
		failure = fmt.Errorf("%s: nothing of machine %q; there is: %s", s.name(), t.asked.machine, strings.Join(t.others, ", "))
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
	if !t.at.IsZero() {
		s.summary.Until = t.at
	}
	s.timeline = history.NewTimeline(func(e history.Entry) { t.entry(machine, e) })
	t.stories = append(t.stories, s)
	return s
}

func (t *telling) add(e fsm.Event) {
	s := t.story(e.Machine)
	if s.begin.IsZero() {
		s.begin = e.Time
	}
	if s.next != nil {
		return
	}
	s.summary.Apply(e)
	if until := s.summary.Until; !until.IsZero() && e.Time.After(until) {
		s.next = &e
		return
	}
	s.last = e
	if t.at.IsZero() && !t.asked.summary && !e.Time.Before(t.since) {
		s.timeline.Apply(e)
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
		machine = "" // goes without saying
	}
	t.lines(t.page.lines(machine, e)...)
}

// finish shows what comes when all events were read.
func (t *telling) finish() error {
	if t.pending {
		t.write("")
	}
	for _, s := range t.stories {
		s.timeline.Flush()
	}
	var nothing []error
	for _, s := range t.stories {
		switch {
		case !t.at.IsZero():
			t.glance(s)
		case s.summary.Report().First.IsZero():
			nothing = append(nothing, fmt.Errorf("nothing since %s: the log ends at %s", t.page.full(t.since), t.page.full(s.last.Time)))
		case t.asked.none:
		case t.asked.json:
			t.object(newJSONSummary(s.machine, s.summary.Report()))
		default:
			t.lines(t.page.report(s.machine, s.summary.Report())...)
		}
	}
	if len(nothing) == len(t.stories) {
		return nothing[0]
	}
	return nil
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

func (t *telling) glance(s *story) {
	g := glance{at: t.at, moment: s.summary.Now(), last: s.last, next: s.next, begin: s.begin}
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
