package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/cmd/everhop/internal/past"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

func newReplay() *cobra.Command {
	var r past.Replay
	var utc bool
	cmd := &cobra.Command{
		Use:   "replay FILE|DIR|-",
		Short: "Tell from a journal or a log what happened, when and why",
		Long: `Tells what a consumer went through: the timeline of its events, and a summary of them.

It reads a journal (a directory with all its segments, or one of these files), or a log with Everhop's
lines in JSON: another file, or with - standard input. Other lines of a log are skipped, and so is what
docker or kubectl put in front of a line. A log at info level does not have everything: idle heartbeats
and most of the failed attempts are missing from its timeline. Its summary makes up for them.

Each line tells when, from which state, how long that had lasted, the trigger, the state it led to, and
the cause. Answered heartbeats with nothing between are folded into one line (idle x1200), and so are
the failed attempts of an outage once they repeat themselves (ReviveFailed x399); such a line tells how
long all of them took. On a terminal less than 116 columns wide there are no columns. Without a terminal
nothing is wrapped, and the times are complete.

The summary counts as available when it was Consuming or in HeartbeatCheck. What was stopped on purpose
is left out. A run that ended without Stop counts as down from its last event until it consumes again:
when it ended is not recorded, so "at least" is said.

--at, --since and --until take a TIME: in RFC 3339 as 2026-11-22T03:14:00Z, local as "2026-11-22 03:14"
or with seconds, a time of day as 03:14 or 03:14:07, or 2h for that long before the log's end (for these
two, standard input is read to its end first). A time of day is the latest one until the log's end; for
--until with --since it is the first one from then on. For --at, and for --until alone, it may be behind the
end, on the log's last day: if that is nearer to the end, or has passed already today, or if the log begins
only after the other one; --at is never in the future. Where the clock was set back, --at tells of the last
time that the log has. --utc shows and reads times in UTC, not in the local zone.

--json writes one object a line, each with a member "entry":
  event      one event, with the journal's members, and lasted_ms: how long "from" had lasted
  idle       folded heartbeats: the first event's members, count, span_ms, and "last", the last event
  attempts   folded failed attempts, likewise
  summary    the last one (one for each machine): availability from 0 to 1, times in ms; down_ms is with
             unrecorded_ms, unknown_ms is without a state because of a gap; aborted counts runs that
             ended without Stop, missing counts events that are not in the log; last_state is the state in the
             end, since last_since
  at         instead of all these with --at; log_ended is when the log ended, if that was before

SIGINT or SIGTERM is the usual end of --follow, and of standard input unless it is read to its end first:
the summary follows. Anything else is given up then, without a summary of a part of it.

Exit status: 0 done, 1 nothing to tell or not readable, 2 wrong command line, 3 the journal is damaged
(what comes before is told), 130 given up after SIGINT or SIGTERM.`,
		Example: `  everhop replay /var/lib/orders/journal
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
			ctx, _, release := interruptible(cmd.Context(), func(error) { hurry(cmd.ErrOrStderr()) })
			defer release()
			r.From, r.Zone = past.Source{Path: args[0], Stdin: cmd.InOrStdin()}, zone(utc)
			return r.Tell(ctx, term.To(cmd.OutOrStdout()))
		},
	}
	flags := cmd.Flags()
	point := func(target *past.TimePoint, flag, usage string) {
		flags.Var(value[past.TimePoint]{target, "TIME", past.TimeForms, past.ParseTime}, flag, usage)
		complete(cmd, flag)
	}
	point(&r.At, "at", "tell only the state at that time, since when, and the event that led there")
	point(&r.Since, "since", "leave out what was before")
	point(&r.Until, "until", "leave out what was after")
	flags.StringVar(&r.Machine, "machine", "", "only the machine of that `NAME` (default all)")
	flags.BoolVar(&r.Follow, "follow", false, "go on as the journal or log grows, until interrupted")
	flags.BoolVar(&r.SummaryOnly, "summary", false, "only the summary")
	flags.BoolVar(&r.NoSummary, "no-summary", false, "only the timeline")
	flags.BoolVar(&r.JSON, "json", false, "for machines: one JSON object a line")
	flags.BoolVar(&utc, "utc", false, "times in UTC (default in the local zone)")
	return cmd
}

// checkReplay looks for flags that contradict each other.
func checkReplay(r past.Replay, path string) error {
	given := map[string]bool{
		"--at": r.At.Given(), "--since": r.Since.Given(), "--until": r.Until.Given(), "--follow": r.Follow,
		"--summary": r.SummaryOnly, "--no-summary": r.NoSummary,
	}
	for _, pair := range [][2]string{
		{"--at", "--since"}, {"--at", "--until"}, {"--at", "--follow"}, {"--at", "--summary"}, {"--at", "--no-summary"},
		{"--until", "--follow"}, {"--summary", "--no-summary"},
	} {
		if given[pair[0]] && given[pair[1]] {
			return fmt.Errorf("%s and %s: only one of them", pair[0], pair[1])
		}
	}
	if r.Follow && path == "-" {
		return errors.New("--follow: standard input is followed anyway")
	}
	if r.Follow && past.IsSegment(path) {
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
