package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/cmd/everhop/internal/past"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/fsm/journal"
)

func newReplay() *cobra.Command {
	var r past.Replay
	var utc bool
	cmd := &cobra.Command{
		Use:   "replay FILE|DIR|-",
		Short: "Tell from a journal or a log what happened, when and why",
		Long: `Tells what happened to a consumer or a publisher: a timeline of its events, and a summary.

It reads a journal (a directory, or one of the segments in it), or a log with Everhop's JSON lines: a file,
or standard input with -. Other lines of a log are skipped, and so is what docker or kubectl put in front of
a line. A log at level info lacks what becomes of messages, idle heartbeats and most failed attempts, and so
does its timeline. For the last two the summary makes up.

A line of the timeline tells the time, the state before, how long that had lasted, the trigger, the new
state, and the cause. Answered heartbeats in a row make one line (idle x1200). So do the failed attempts of
an outage once they repeat themselves (ReviveFailed x399), and outages that follow one another within
seconds, for the same cause (flaps x40). Such a line tells how long all of them took. A terminal
with less than 116 columns gets sentences instead of columns. Without a terminal nothing is wrapped, and the
times are complete.

What became of messages is recorded by the minute and queue, and told in one line as long as nothing else
happens: "orders: 5 parked (FK violation), 1,204 handled". Minutes with something rare among them, such as a
message that was parked, have a line of their own. --messages lists what is rare one by one: the queue, what
became of the message, its id, how often its handler was called, and the error. At most 20 a minute and queue
are recorded so. --outages lists the outages: from when to when, for how long (<= or >= if that is not in the
log), and why.

The summary counts Consuming and HeartbeatCheck as available, and of a publisher Publishing: while the broker takes no
messages because of an alarm (Blocked), it is down. Time in which it was stopped on purpose is
left out. A run that ended without Stop (it crashed, say) counts as down from its last event until it
is up again. When it really ended is not recorded, so the summary says "at least". What lies between two
runs is in no state, and neither is time in which events are missing, unless they led back to the state that
was before: the times in states have a line for each. A process that stood still (it was stopped, or its
machine suspended) counts as down meanwhile, and so does the silence before a peer was found to be dead.

A TIME is one of these:
  2026-11-22T03:14:00Z   in RFC 3339
  "2026-11-22 03:14"     local time, with or without seconds
  03:14                  time of day, with or without seconds
  2h                     that long before the end of the log
For the last two, standard input is read to its end first. A time of day is the latest one until the end of
the log. For --until with --since it is the first one after --since. For --at, and for --until alone, it may
also be the next one after the end of the log, if that is still on the log's last day: when it is nearer to
the end, when it has passed already today, or when the log begins after the one before. --at is never in the
future. Where the clock was set back, a time may be in the log twice; --at tells of the last one. --utc shows
and reads times in UTC, not in the local zone.

--json writes one object a line. Its member "entry" says what it is:
  event      one event, with the members that it has in the journal, and lasted_ms: how long the state
             "from" had lasted
  idle       answered heartbeats in a row: the members of the first event, count, span_ms, and "last", the
             last event
  attempts   failed attempts in a row, likewise
  flaps      losses in a row that were revived at once, likewise: count is of the losses
  minutes    what became of the messages of a queue, likewise: count is of the notes, outcomes are the sums
  outage     the only one with --outages
  message    the only one with --messages: one event, with the members that it has in the journal
  summary    the summary, one for each machine. availability is from 0 to 1. Times are in ms. down_ms includes
             unrecorded_ms. unknown_ms is time whose state is not known because of a gap. in_state_ms has
             neither between_ms, the time between runs, nor unseen_ms, that in which events are missing,
             nor suspended_ms, that in which the machine was suspended. aborted counts runs that ended
             without Stop, missing counts events that are not in the log. last_state is the state at the end,
             since last_since, queues are what became of messages
  at         the only one with --at. consuming_since, or of a publisher publishing_since, is since when it was
             up. log_ended is when the log ended, if that was before the time

SIGINT, SIGTERM or SIGHUP is the usual end of --follow, and of standard input unless it is read to its end
first: the summary follows. Anything else is given up then, without a summary of a part of it.

Exit status: 0 done, 1 nothing to tell or not readable, 2 wrong command line, 3 the journal is damaged
(what comes before is told), 130 given up after SIGINT, SIGTERM or SIGHUP.`,
		Example: `  everhop replay /var/lib/orders/journal
  everhop replay /var/lib/orders/journal/publisher
  everhop replay journal --at 03:14
  everhop replay journal --since 22:00 --until 06:00
  everhop replay journal --since 2h --follow
  kubectl logs deploy/orders | everhop replay -
  everhop replay journal --json --summary | jq .availability`,
		Args: func(cmd *cobra.Command, args []string) error {
			return oneArgument(cmd, args, "a FILE, a DIR or -")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkReplay(r, args[0]); err != nil {
				return wrongUsage(cmd, err)
			}
			r.From, r.Zone = past.Source{Path: args[0], Stdin: cmd.InOrStdin()}, zone(utc)
			return untilSignal(cmd, nil, func(ctx context.Context) error { return r.Tell(ctx, term.To(cmd.OutOrStdout())) })
		},
	}
	flags := cmd.Flags()
	point := func(target *past.TimePoint, flag, usage string) {
		flags.Var(value[past.TimePoint]{target, "TIME", past.TimeForms, past.ParseTime}, flag, usage)
		complete(cmd, flag)
	}
	point(&r.At, "at", "tell only the state at that time, since when, and what led to it")
	point(&r.Since, "since", "leave out what happened before")
	point(&r.Until, "until", "leave out what happened after")
	flags.StringVar(&r.Machine, "machine", "", "tell only of the machine with that `NAME` (default all)")
	flags.BoolVar(&r.Follow, "follow", false, "go on as the journal or log grows, until a signal")
	flags.BoolVar(&r.SummaryOnly, "summary", false, "only the summary")
	flags.BoolVar(&r.NoSummary, "no-summary", false, "only the timeline")
	flags.BoolVar(&r.Outages, "outages", false, "only a list of the outages")
	flags.BoolVar(&r.Messages, "messages", false, "only a list of the messages that were parked, dead-lettered, or the like")
	flags.BoolVar(&r.JSON, "json", false, "one JSON object a line, for programs")
	flags.BoolVar(&utc, "utc", false, "times in UTC (default in the local zone)")
	return cmd
}

// checkReplay looks for flags that contradict each other.
func checkReplay(r past.Replay, path string) error {
	given := map[string]bool{
		"--at": r.At.Given(), "--since": r.Since.Given(), "--until": r.Until.Given(), "--follow": r.Follow,
		"--summary": r.SummaryOnly, "--no-summary": r.NoSummary, "--outages": r.Outages, "--messages": r.Messages,
	}
	for _, pair := range [][2]string{
		{"--at", "--since"}, {"--at", "--until"}, {"--at", "--follow"}, {"--at", "--summary"}, {"--at", "--no-summary"},
		{"--until", "--follow"}, {"--summary", "--no-summary"}, {"--outages", "--messages"},
		{"--at", "--outages"}, {"--at", "--messages"}, {"--summary", "--outages"}, {"--summary", "--messages"},
		{"--no-summary", "--outages"}, {"--no-summary", "--messages"},
	} {
		if given[pair[0]] && given[pair[1]] {
			return fmt.Errorf("%s and %s: only one of them", pair[0], pair[1])
		}
	}
	if r.Follow && path == "-" {
		return errors.New("--follow: standard input is followed anyway")
	}
	if r.Follow && journal.IsSegment(path) {
		return fmt.Errorf("--follow: %s is one segment of a journal, which goes on in others; follow its directory, %s",
			path, filepath.Dir(path))
	}
	return nil
}

// zone is where times are shown and read.
func zone(utc bool) *time.Location {
	if utc {
		return time.UTC
	}
	return time.Local
}
