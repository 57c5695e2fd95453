package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/cmd/everhop/internal/demo"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer/history"
)

func newDemo() *cobra.Command {
	var graph string
	var journal journalFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch a consumer come through four faults; no broker needed",
		Long: fmt.Sprintf(`Shows in about 20 s what Everhop does when something breaks. It needs nothing but this program: it starts
a broker of its own in this process, on a free port of 127.0.0.1. It publishes %d numbered messages a second
to it, with confirms, and consumes them with the library, %d at once, each of which takes %v.

Meanwhile the broker plays four faults, one after another: it resets the consumer's connection, goes silent,
restarts (the publisher has to come through that too), and cancels the consumer. The demo tells each
transition of the consumer's state machine, its cause, and how long the state before had lasted. On a
terminal it draws the machine and the counters below, live. NO_COLOR is honoured.

In the end %d messages cannot be handled, for a reason that the demo then removes. They are parked, looked at
and retried, as 'everhop parked list' and 'everhop parked retry' do, and handled.

All times and numbers are measured. A message counts as lost when the broker has confirmed it, no handler has
had it, and the broker does not have it any more, in its queue or parked. Messages that were handled more than
once are counted too.

The consumer has the default settings, except for the number of handlers and the heartbeat: that is %v
instead of %v, so that messages that were under way when the network went silent come back within the demo.

SIGINT, SIGTERM or SIGHUP ends the demo at any time, with the summary of what has happened so far. A second
SIGINT or SIGTERM ends it without waiting for messages.

Exit status: 0 when no message was lost, 1 when one was, the demo could not go on or a file not be written,
2 wrong command line, 3 the journal is damaged.`,
			demo.Rate, demo.Handlers, demo.Work, demo.Failing, demo.Heartbeat, broker.DefaultHeartbeat),
		Example: `  everhop demo
  everhop demo --journal night && everhop replay night
  everhop demo --dot run.dot && dot -Tsvg run.dot > run.svg
  NO_COLOR=1 everhop demo
  everhop demo | cat                       # no terminal: only lines, no drawing`,
		Args: noArguments,
	}
	cmd.Flags().StringVar(&graph, "dot", "", "write the graph of the states with what happened to `FILE`")
	cmd.Flags().StringVar(&journal.dir, "journal", "", "keep all events in the directory `DIR`, for 'everhop replay'")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		err := journal.check(cmd)
		if cmd.Flags().Changed("dot") && graph == "" {
			err = errors.Join(errors.New("--dot: empty"), err)
		}
		if err != nil {
			return wrongUsage(cmd, err)
		}
		return runDemo(cmd, graph, journal)
	}
	return cmd
}

func runDemo(cmd *cobra.Command, graph string, files journalFlags) (err error) {
	out := term.To(cmd.OutOrStdout())
	var options demo.Options
	if files.dir != "" { // before the graph: a file that is there is not emptied if the journal is in use
		var said bytes.Buffer
		journal, failure := files.open(files.dir, history.Consumer(), plainly(&said))
		if failure != nil {
			return failure
		}
		defer func() {
			err = errors.Join(err, journal.Close())
			_, _ = said.WriteTo(cmd.ErrOrStderr()) // now that nothing is drawn any more
		}()
		options.Journal = journal
	}
	if graph != "" { // now: nobody wants to hear after 20 s that it cannot be written
		if options.Graph, err = os.Create(graph); err != nil {
			return fmt.Errorf("--dot: %w", err)
		}
		defer func() { err = errors.Join(err, options.Graph.Close()) }()
	}
	soft, hard, release := interruptible(cmd.Context(), cmd.ErrOrStderr(), nil)
	defer release()
	if err := demo.Run(soft, hard, out, options); err != nil || files.dir == "" {
		return err
	}
	return out.Print("  the past      everhop replay " + term.Plain(files.dir) + "\n")
}

// plainly logs as errors are told: in plain lines.
func plainly(w io.Writer) zerolog.Logger {
	return zerolog.New(zerolog.SyncWriter(zerolog.ConsoleWriter{
		Out:           w,
		NoColor:       true,
		PartsOrder:    []string{zerolog.MessageFieldName},
		FormatMessage: func(message any) string { return fmt.Sprint("everhop: ", message) },
	}))
}
