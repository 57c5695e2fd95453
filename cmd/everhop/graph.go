package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

func newGraph() *cobra.Command {
	var format string
	var h happening
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Print the states of a consumer, to draw",
		Long: `Prints the states of a consumer and the transitions between them.

With --journal, what happened is drawn in: how often each state was entered and for how long, how often
each transition was taken and, as the median, after how long. What happened more often is thicker, what
never did is grey, failures are red, what this program's table does not have is dotted.

It is drawn of one machine: where there are several, --machine tells which. A warning tells when events
are not in the log, as with --log-level info, and when several processes have written under one name.

Exit status: 0 done, 1 nothing to draw or not readable, 2 wrong command line, 3 the journal is damaged.`,
		Example: `  everhop graph | dot -Tsvg > lifecycle.svg
  everhop graph --format mermaid
  everhop graph --journal /var/lib/orders/journal --format svg > orders.svg
  kubectl logs pod | everhop graph --journal - --format svg > pod.svg`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := h.check(cmd, format); err != nil {
				return wrongUsage(cmd, err)
			}
			happened, err := h.read(cmd)
			if err != nil {
				return err
			}
			text, err := drawing(cmd.Context(), format, happened)
			if err != nil {
				return err
			}
			return writeOut(cmd.OutOrStdout(), text)
		},
	}
	format = "dot"
	choose(cmd, &format, "format", "language of the graph; svg and png need Graphviz", "dot", "mermaid", "markdown", "svg", "png")
	cmd.Flags().StringVar(&h.journal, "journal", "", "draw what happened: a journal's `PATH`, a log with JSON lines, or - for standard input")
	cmd.Flags().StringVar(&h.machine, "machine", "", "with --journal, draw the machine of that `NAME` (default the only one)")
	return cmd
}

// happening says whose past is drawn in.
type happening struct{ journal, machine string }

func (h *happening) check(cmd *cobra.Command, format string) error {
	switch given := cmd.Flags().Changed; {
	case given("journal") && h.journal == "":
		return errors.New("--journal: empty")
	case given("journal") && format == "markdown":
		return errors.New("--format markdown: shows nothing of a journal")
	case given("machine") && !given("journal"):
		return errors.New("--machine: only with --journal")
	}
	return nil
}

// read returns what happened to the machine, nil if nobody wants to know.
func (h *happening) read(cmd *cobra.Command) (*fsm.Summary, error) {
	if h.journal == "" {
		return nil, nil
	}
	past, happened := source{path: h.journal, stdin: cmd.InOrStdin()}, new(fsm.Summary)
	machine, chosen := h.machine, cmd.Flags().Changed("machine")
	var machines []string
	var found bool
	for e, err := range past.events(cmd.Context()) {
		if err != nil {
			return nil, err
		}
		if machines = named(machines, e.Machine); len(machines) == 1 && !chosen {
			machine = e.Machine
		}
		if e.Machine == machine {
			found = true
			happened.Apply(e)
		}
	}
	switch {
	case !chosen && len(machines) > 1:
		return nil, fmt.Errorf("%s: --machine has to tell which one of several: %s", past.name(), listed(machines))
	case !found && len(machines) > 0:
		return nil, fmt.Errorf("%s: nothing of machine %q; there is: %s", past.name(), machine, listed(machines))
	}
	warn(cmd.ErrOrStderr(), happened)
	return happened, nil
}

// named returns the names with another one, unless they have it or are too many to tell.
func named(names []string, name string) []string {
	if len(names) == 10 || slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

func listed(machines []string) string {
	names := make([]string, len(machines))
	for i, name := range machines {
		if names[i] = clean(name); name == "" {
			names[i] = "one without a name"
		}
	}
	return strings.Join(names, ", ")
}

// warn tells what the drawing cannot show.
func warn(stderr io.Writer, happened *fsm.Summary) {
	if happened.Overlaps > 0 {
		complain(stderr, "warning: runs went on after the next one had begun: several machines have this name; times are not to be trusted")
	}
	if missing := happened.Missing; missing > 0 {
		verb := "are"
		if missing == 1 {
			verb = "is"
		}
		complain(stderr, fmt.Sprintf("warning: %s %s not in this log: counts and times are lower bounds", counted(missing, "event"), verb))
	}
}

// drawing is the lifecycle in a format, with what happened in it unless that is nil.
func drawing(ctx context.Context, format string, happened *fsm.Summary) (string, error) {
	table := consumer.Lifecycle()
	switch {
	case format == "markdown":
		return table.Markdown(), nil
	case format == "mermaid" && happened != nil:
		return table.MermaidSummary(happened), nil
	case format == "mermaid":
		return table.Mermaid(), nil
	}
	text := table.DOT()
	if happened != nil {
		text = table.DOTSummary(happened, consumer.Failures()...)
	}
	if format == "dot" {
		return text, nil
	}
	return graphviz(ctx, format, text)
}

// graphviz has Graphviz draw a graph.
func graphviz(ctx context.Context, format, text string) (string, error) {
	dot := exec.CommandContext(ctx, "dot", "-T"+format)
	dot.Stdin = strings.NewReader(text)
	var picture, stderr bytes.Buffer
	dot.Stdout, dot.Stderr = &picture, &stderr
	err := dot.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("--format %s: Graphviz is not installed (there is no program dot); --format dot needs none", format)
	case err != nil:
		return "", fmt.Errorf("--format %s: dot: %w: %s", format, err, strings.TrimSpace(stderr.String()))
	}
	return picture.String(), nil
}
