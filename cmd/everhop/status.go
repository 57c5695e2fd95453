package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/cmd/everhop/internal/glass"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// statusFlags are those of `everhop status`.
type statusFlags struct {
	json, watch       bool
	interval, timeout time.Duration
}

func newStatus() *cobra.Command {
	f := &statusFlags{interval: time.Second, timeout: 5 * time.Second}
	cmd := &cobra.Command{
		Use:   "status URL...",
		Short: "Show what consumers do now, and what is the matter with them",
		Long: `Asks consumers for their status, and tells in words what is the matter, the worst first: of consumers that do not
answer, then of those that are not alive, not ready, or in trouble although they are ready. Below that it shows for each
one its state, its connections and its subscriptions, those in trouble first.

A URL is where a consumer listens: http://host:port, host:port, or :port of this machine; with a path if the program
serves consumer/health below one. 'everhop consume --listen' says it in its log. The signs are

  !!  something does not work: a queue is not consumed, the broker is away, publishing is blocked, all handlers hang
   !  look at this: messages were parked in the last ten minutes, one handler of several hangs, the process stood still
   -  it is as somebody wants it, or will pass: a queue is paused, a call failed and is tried again
  ok  all is well

Times are those of the consumer's clock, in this machine's time zone. Counts are since the consumer was made; p50, p95
and p99 are of the last five minutes. On a narrow terminal columns are left out.

--watch shows it live, with messages a second: q or Ctrl-C ends, arrows, space and b scroll. If standard output is no
terminal it prints a page each interval. --json prints each document as it came, in a line of its own; its schema is
in consumer/health.

Exit status: 0 all are ready, or --watch was ended; 1 something is not ready, or standard output cannot be written;
2 wrong command line; 3 a consumer cannot be reached or is not alive.`,
		Example: `  everhop status :9090
  everhop status http://10.0.0.7:9090 http://10.0.0.8:9090 --watch
  everhop status :9090 --json | jq '.subscriptions[] | select(.doing != "consuming") | .queue'
  kubectl port-forward deploy/orders 9090 & everhop status :9090`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVarP(&f.watch, "watch", "w", false, "show it live")
	flags.BoolVar(&f.json, "json", false, "print the documents as they came")
	flags.Var(period(&f.interval, time.Hour), "interval", "with --watch, how long to wait between two looks")
	flags.Var(period(&f.timeout, time.Hour), "timeout", "how long a consumer may take to answer")
	complete(cmd, "interval")
	complete(cmd, "timeout")
	return cmd
}

// sources are what the arguments name.
func sources(args []string) (list []glass.Source, err error) {
	if len(args) == 0 {
		return nil, errors.New("URL is missing")
	}
	for i, arg := range args {
		s, err := glass.ParseSource(arg)
		if err != nil {
			return nil, fmt.Errorf("URL %d: %w", i+1, err) // not the URL itself: there may be a password in it
		}
		list = append(list, s)
	}
	return list, nil
}

func (f *statusFlags) run(cmd *cobra.Command, args []string) error {
	list, err := sources(args)
	switch given := cmd.Flags().Changed; {
	case err != nil:
	case f.json && f.watch:
		err = errors.New("--json: not with --watch")
	case given("interval") && !f.watch:
		err = errors.New("--interval: only with --watch")
	}
	if err != nil {
		return wrongUsage(cmd, err)
	}
	out := term.To(cmd.OutOrStdout())
	ctx, _, release := interruptible(cmd.Context(), cmd.ErrOrStderr(), nil)
	defer release()
	if f.watch {
		return glass.Watch(ctx, out, list, glass.Options{Timeout: f.timeout, Interval: f.interval, Zone: time.Local})
	}
	looks := glass.Ask(ctx, list, f.timeout)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var answered []glass.Look
	for _, l := range looks {
		if l.Doc == nil {
			complain(cmd.ErrOrStderr(), l.Address+": "+l.Err.Error())
			continue
		}
		answered = append(answered, l)
	}
	if f.json {
		err = printDocuments(out, answered)
	} else {
		err = glass.Page(out, answered, time.Local)
	}
	return errors.Join(err, verdictOn(looks))
}

func printDocuments(out *term.Output, looks []glass.Look) error {
	var lines bytes.Buffer
	for _, l := range looks {
		if err := json.Compact(&lines, l.JSON); err != nil {
			return err
		}
		lines.WriteByte('\n')
	}
	_, err := out.Write(lines.Bytes())
	return err
}

// verdictOn is the exit status after looks at consumers.
func verdictOn(looks []glass.Look) error {
	status := 0
	for _, l := range looks {
		switch {
		case !l.Reached():
			status = 3
		case !l.Ready():
			status = max(status, 1)
		}
	}
	if status == 0 {
		return nil
	}
	return statusError(status)
}

// statusError is an error of which all has been said.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("exit status %d", int(s)) }
