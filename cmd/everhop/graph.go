package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

func newGraph() *cobra.Command {
	var format, journal string
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Print the states of a consumer, to draw",
		Long: `Prints the states of a consumer and the transitions between them.

With --journal, what happened is drawn in: how often each state was entered and for how long, how often
each transition was taken and, as the median, after how long. What happened more often is thicker, what
never did is grey, failures are red.`,
		Example: `  everhop graph | dot -Tsvg > lifecycle.svg
  everhop graph --format mermaid
  everhop graph --journal /var/lib/orders/journal --format svg > orders.svg
  kubectl logs pod | everhop graph --journal - --format svg > pod.svg`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if journal != "" && format == "markdown" {
				return wrongUsage(cmd, errors.New("--format markdown: shows nothing of a journal"))
			}
			var happened *fsm.Summary
			if cmd.Flags().Changed("journal") {
				happened = new(fsm.Summary)
				past := source{path: journal, stdin: cmd.InOrStdin()}
				if err := fsm.Project(past.events(cmd.Context()), happened); err != nil {
					return err
				}
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
	cmd.Flags().StringVar(&journal, "journal", "", "draw what happened: a journal's `PATH`, a log with JSON lines, or - for standard input")
	return cmd
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
