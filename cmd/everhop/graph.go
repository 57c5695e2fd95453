package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/cmd/everhop/internal/past"
	"github.com/everhop/everhop/consumer/history"
)

func newGraph() *cobra.Command {
	var format string
	var h happening
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Print the states of a consumer or a publisher, to draw",
		Long: `Prints the states of a consumer, or with --publisher of a publisher, and the transitions between them, for a program
that draws.

With --journal it shows what happened, too: how often each state was entered and for how long, how often
each transition was taken and after how long (the median). The more often, the thicker the line. What never
happened is grey, failures are red, and what is not in this program's table is dotted. The journal says whether it
is a consumer's or a publisher's.

It draws one machine. If the journal has several, --machine tells which one. A warning is printed if
events are missing in a log, as they are with --log-level info, and if several processes have written under
one name.

Exit status: 0 done, 1 nothing to draw or not readable, 2 wrong command line, 3 the journal is damaged.`,
		Example: `  everhop graph | dot -Tsvg > lifecycle.svg
  everhop graph --format mermaid
  everhop graph --publisher --format svg > publishing.svg
  everhop graph --journal /var/lib/orders/journal --format svg > orders.svg
  kubectl logs pod | everhop graph --journal - --format svg > pod.svg`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := h.check(cmd, format); err != nil {
				return wrongUsage(cmd, err)
			}
			drawing, err := h.read(cmd)
			if err != nil {
				return err
			}
			text, err := draw(cmd.Context(), format, drawing)
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	}
	format = "dot"
	choose(cmd, &format, "format", "language of the graph, or picture; svg and png need Graphviz", "dot", "mermaid", "markdown", "svg", "png")
	cmd.Flags().BoolVar(&h.publisher, "publisher", false, "draw the states of a publisher, without --journal (default those of a consumer)")
	cmd.Flags().StringVar(&h.journal, "journal", "", "show what happened: `PATH` of a journal, or of a log with JSON lines, or - for standard input")
	cmd.Flags().StringVar(&h.machine, "machine", "", "with --journal, draw the machine with that `NAME` (default the only one)")
	return cmd
}

// happening says what is drawn, and whose past in it.
type happening struct {
	publisher        bool
	journal, machine string
}

func (h *happening) check(cmd *cobra.Command, format string) error {
	switch given := cmd.Flags().Changed; {
	case given("journal") && h.journal == "":
		return errors.New("--journal: empty")
	case given("journal") && format == "markdown":
		return errors.New("--format markdown: shows nothing of a journal")
	case given("machine") && !given("journal"):
		return errors.New("--machine: only with --journal")
	case given("publisher") && given("journal"):
		return errors.New("--publisher: with --journal, that says whose it is")
	}
	return nil
}

// read returns what is to be drawn.
func (h *happening) read(cmd *cobra.Command) (past.Drawing, error) {
	switch {
	case h.publisher:
		return past.Drawing{Of: history.Publisher()}, nil
	case h.journal == "":
		return past.Drawing{Of: history.Consumer()}, nil
	}
	var machine *string
	if cmd.Flags().Changed("machine") {
		machine = &h.machine
	}
	drawing, err := past.Happened(cmd.Context(), past.Source{Path: h.journal, Stdin: cmd.InOrStdin()}, machine)
	for _, warning := range drawing.Warnings {
		complain(cmd.ErrOrStderr(), "warning: "+warning)
	}
	return drawing, err
}

// draw is a drawing in a format.
func draw(ctx context.Context, format string, d past.Drawing) (string, error) {
	table, happened := d.Of.Table, d.Happened
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
		text = table.DOTSummary(happened, d.Of.Failures...)
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
