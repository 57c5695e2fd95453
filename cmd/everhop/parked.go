package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/cmd/everhop/internal/record"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer/parked"
)

func newParked() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "parked",
		Short: "List, show, retry or discard what waits in a parking or dead-letter queue",
		Long: `Looks into a queue in which messages are parked, and repairs it. It works for those that 'everhop consume' and consumers of
the library have parked (x-everhop-... headers), and for any other dead-letter queue (x-death).

Each command goes through the messages that wait when it begins, once; the filters say which of them are meant. All others stay
in their order, and go back to the queue at the end, as redelivered. A quorum queue counts that before RabbitMQ 4.3: see
'everhop peek --help'.`,
		Example: `  everhop parked list orders.parked --group
  everhop parked retry orders.parked --error 'no stock' --yes`,
		Args: unknownCommand,
		RunE: never,
	}
	cmd.AddCommand(newParkedList(), newParkedShow(), newParkedRetry(), newParkedDiscard())
	return cmd
}

func queueArgument(cmd *cobra.Command, args []string) error { return oneArgument(cmd, args, "QUEUE") }

func newParkedList() *cobra.Command {
	f := &parkedFlags{}
	output, group := "table", false
	cmd := &cobra.Command{
		Use:   "list QUEUE",
		Short: "List what is parked: why, from where, how often, and when",
		Long: `Lists what waits in a parking or dead-letter queue, a line for each message: how often it has failed, first and last, from
which queue it came, its id and the first line of its error. --group counts them by error instead, the most frequent first:
errors that differ in numbers and ids alone are one group.

--output jsonl writes an object for each: error, from, times, first, last, message_id and size; with --group error, count,
first, last, from and example. What is not known is left out.

Exit status: 0 done, 1 failed, 2 wrong command line, 130 ended by a second signal.`,
		Example: `  everhop parked list orders.parked
  everhop parked list orders.parked --group
  everhop parked list orders.parked --error timeout --since 2h --output jsonl | jq -r .message_id`,
		Args: queueArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := f.config(cmd, args[0])
			if err != nil {
				return err
			}
			return whileHeld(cmd, func(ctx context.Context) error { return list(ctx, cmd, config, output, group) })
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&group, "group", false, "count by error")
	choose(cmd, &output, "output", "how to list them", "table", "jsonl")
	return cmd
}

// list writes what is meant.
func list(ctx context.Context, cmd *cobra.Command, config parked.Config, output string, group bool) error {
	out := term.To(cmd.OutOrStdout())
	var groups parked.Groups
	var t *table
	var add func(*parked.Entry) error
	switch {
	case group: // they are written when all are counted
	case output == "jsonl":
		add = func(e *parked.Entry) error { return writeJSON(out, entryLineOf(e)) }
	default:
		t = newTable(out, "TIMES", "FIRST", "LAST", "FROM", "ID", "ERROR")
		add = func(e *parked.Entry) error {
			return t.add(times(e.Times), shortTime(e.First), shortTime(e.Last), e.From, e.Message.MessageID, e.Headline())
		}
	}
	step := newSteps(cmd, "looked at")
	tally, err := parked.Look(ctx, config, func(e *parked.Entry) error {
		step.tick()
		if group {
			groups.Add(e)
			return nil
		}
		return add(e)
	})
	step.end()
	if t != nil {
		err = errors.Join(err, t.finish())
	}
	if group {
		err = errors.Join(err, writeGroups(out, groups.List(), output))
	}
	if err == nil {
		cmd.PrintErrf("%d of %d messages\n", tally.Matched, tally.Waiting)
	}
	tellLives(cmd, tally)
	return browseHint(err)
}

func times(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func writeGroups(out *term.Output, groups []*parked.Group, output string) error {
	t := newTable(out, "COUNT", "FIRST", "LAST", "FROM", "EXAMPLE", "ERROR")
	for _, g := range groups {
		example := g.Example.Message.MessageID
		if output == "jsonl" {
			if err := writeJSON(out, groupLine{
				Error: text(g.Error), Count: g.Count, First: shortTime(g.First), Last: shortTime(g.Last), From: g.From, Example: entryLineOf(g.Example),
			}); err != nil {
				return err
			}
			continue
		}
		if err := t.add(fmt.Sprint(g.Count), shortTime(g.First), shortTime(g.Last), strings.Join(g.From, ","), example, g.Error); err != nil {
			return err
		}
	}
	return t.finish()
}

// entryLine is an entry as a line of JSON.
type entryLine struct {
	Error     string `json:"error,omitempty"`
	From      string `json:"from,omitempty"`
	Times     int    `json:"times,omitempty"`
	First     string `json:"first,omitempty"`
	Last      string `json:"last,omitempty"`
	MessageID string `json:"message_id,omitempty"`
	Size      int    `json:"size,omitempty"` // of the body, which an example has not
}

type groupLine struct {
	Error   string    `json:"error"`
	Count   int       `json:"count"`
	First   string    `json:"first,omitempty"`
	Last    string    `json:"last,omitempty"`
	From    []string  `json:"from,omitempty"`
	Example entryLine `json:"example"`
}

func entryLineOf(e *parked.Entry) entryLine {
	return entryLine{
		Error: text(e.Error), From: text(e.From), Times: e.Times, First: shortTime(e.First), Last: shortTime(e.Last),
		MessageID: text(e.Message.MessageID), Size: len(e.Message.Body),
	}
}

func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func writeJSON(w io.Writer, line any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(line)
}

func newParkedShow() *cobra.Command {
	f := &parkedFlags{count: 1}
	output := "table"
	cmd := &cobra.Command{
		Use:   "show QUEUE",
		Short: "Show a parked message with all that it has",
		Long: `Shows the first message that matches (--count: more of them) with its whole error, its headers and its body. An error of a
command ends with what that wrote to standard error, as far as it was kept.

--output jsonl is what 'everhop consume --output jsonl' writes, which 'everhop publish --input jsonl' reads.

Exit status: 0 done, 1 failed or nothing matches, 2 wrong command line, 130 ended by a second signal.`,
		Example: `  everhop parked show orders.parked --id 7b0c
  everhop parked show orders.parked --error timeout --output jsonl | jq .headers`,
		Args: queueArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := f.config(cmd, args[0])
			if err != nil {
				return err
			}
			return whileHeld(cmd, func(ctx context.Context) error { return show(ctx, cmd, config, output) })
		},
	}
	f.add(cmd)
	choose(cmd, &output, "output", "how to show it", "table", "jsonl")
	return cmd
}

func show(ctx context.Context, cmd *cobra.Command, config parked.Config, output string) error {
	out := term.To(cmd.OutOrStdout())
	tally, err := parked.Look(ctx, config, func(e *parked.Entry) error {
		if output == "jsonl" {
			return writeEntry(out, record.Write, e)
		}
		_, err := out.Write([]byte(described(e)))
		return err
	})
	tellLives(cmd, tally)
	if err == nil && tally.Matched == 0 {
		err = fmt.Errorf("none of %d messages matches", tally.Waiting)
	}
	return browseHint(err)
}

// described is an entry in lines.
func described(e *parked.Entry) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-12s %s\n", name, strings.ReplaceAll(strings.TrimRight(value, "\n"), "\n", "\n"+strings.Repeat(" ", 13)))
		}
	}
	d := e.Message
	line("id", d.MessageID)
	line("from", e.From)
	line("failed", times(e.Times))
	line("first", shortTime(e.First))
	line("last", shortTime(e.Last))
	line("error", e.Error)
	line("published", shortTime(d.Timestamp))
	line("type", d.Type)
	line("content type", d.ContentType)
	line("encoding", d.ContentEncoding)
	line("correlation", d.CorrelationID)
	line("reply to", d.ReplyTo)
	line("expiration", d.Expiration)
	line("user", d.UserID)
	line("app", d.AppID)
	line("exchange", d.Exchange)
	line("routing key", d.RoutingKey)
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		line("header", name+" = "+parked.Text(d.Headers[name]))
	}
	line("size", fmt.Sprint(len(d.Body)))
	return b.String() + "\n" + string(d.Body) + "\n\n"
}
