package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/cmd/everhop/internal/record"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer/parked"
)

// peekFlags are those of `everhop peek`.
type peekFlags struct {
	url    urlFlag
	access access
	count  int
	output string
	offset any // in a stream; nil: it is none
}

const defaultPeek = 10

func newPeek() *cobra.Command {
	f := &peekFlags{count: defaultPeek, output: "table"}
	cmd := &cobra.Command{
		Use:   "peek QUEUE",
		Short: "Look at the first messages of a queue, without consuming them",
		Long: `Shows the first messages of a queue, and leaves them there: all keep their place. While it looks, other consumers do not get
them; then it gives them back, as redelivered.

A quorum queue counts that (x-delivery-count) before RabbitMQ 4.3: a look costs one of the lives of each message that it
takes, and it takes all that have come back before, to keep the order. From 4.0 on a message has 20 of them by default. What
it has cost is said on standard error. Classic queues and streams count nothing.

A stream is looked at from --stream-offset on: first, last or next, an offset, a time or an age.

--output table has a line for each message, with the begin of its body; jsonl is what 'everhop consume --output jsonl'
writes, which 'everhop publish --input jsonl' reads; body writes bodies, each with a newline.

Exit status: 0 done, 1 failed, 2 wrong command line, 130 ended by a second signal.`,
		Example: `  everhop peek orders
  everhop peek orders --count 1 --output jsonl | jq
  everhop peek events --stream-offset last`,
		Args: func(cmd *cobra.Command, args []string) error { return oneArgument(cmd, args, "QUEUE") },
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.url.add(cmd)
	f.access.add(cmd)
	flags.Var(number(&f.count, noMost), "count", "how many messages to look at")
	choose(cmd, &f.output, "output", "how to show them", "table", "jsonl", "body")
	flags.Var(streamOffset(&f.offset), "stream-offset", "the queue is a stream, to be looked at from there")
	complete(cmd, "count")
	complete(cmd, "stream-offset", "first", "last", "next")
	return cmd
}

func (f *peekFlags) run(cmd *cobra.Command, queue string) error {
	config, err := browsing(cmd, f.url, f.access, queue)
	if err != nil {
		return err
	}
	config.Count, config.StreamOffset = f.count, f.offset
	return whileHeld(cmd, func(ctx context.Context) error { return f.look(ctx, cmd, config) })
}

func (f *peekFlags) look(ctx context.Context, cmd *cobra.Command, config parked.Config) error {
	show := f.shower(term.To(cmd.OutOrStdout()))
	tally, err := parked.Look(ctx, config, show.add)
	err = errors.Join(err, show.finish())
	if errors.Is(err, parked.ErrStream) {
		return errors.New("the queue is a stream: say from where with --stream-offset")
	}
	if err == nil && tally.Seen == 0 && f.offset == nil {
		cmd.PrintErrln("no messages (a stream is looked at with --stream-offset)")
	}
	tellLives(cmd, tally)
	return browseHint(err)
}

// tellLives says what a look has cost.
func tellLives(cmd *cobra.Command, tally parked.Tally) {
	switch {
	case tally.Seen == 0, tally.Seen == tally.Done && tally.Lives == parked.LivesUnknown: // or nothing was put back
	case tally.Lives == parked.LivesSpent:
		often := "once"
		if tally.Returned > 0 {
			often = fmt.Sprint(tally.Returned+1, " times")
		}
		cmd.PrintErrf("This look has cost messages of the quorum queue a life: the most that one has come back is now %s (by default "+
			"RabbitMQ 4 permits 20).\n", often)
	case tally.Lives == parked.LivesUnknown: // its user may not ask
		cmd.PrintErrln("If this is a quorum queue, the look has cost each message a life (x-delivery-count).")
	}
}

// shower writes messages as they come.
type shower struct {
	add    func(*parked.Entry) error
	finish func() error
}

func (f *peekFlags) shower(out *term.Output) shower {
	if f.output == "table" {
		t := newTable(out, "ID", "ROUTING KEY", "TIMESTAMP", "SIZE", "BODY")
		return shower{
			func(e *parked.Entry) error {
				d := e.Message
				return t.add(d.MessageID, d.RoutingKey, shortTime(d.Timestamp), fmt.Sprint(len(d.Body)), beginning(d.Body))
			},
			t.finish,
		}
	}
	write := formatBody
	if f.output == "jsonl" {
		write = record.Write
	}
	return shower{func(e *parked.Entry) error { return writeEntry(out, write, e) }, func() error { return nil }}
}

func writeEntry(out *term.Output, write format, e *parked.Entry) error {
	var line bytes.Buffer
	if err := write(&line, e.Message); err != nil {
		return err
	}
	_, err := out.Write(line.Bytes())
	return err
}
