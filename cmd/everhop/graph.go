package main

import (
	"github.com/spf13/cobra"

	"github.com/everhop/everhop/consumer"
)

func newGraph() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Print the states of a consumer, to draw",
		Example: `  everhop graph | dot -Tsvg > lifecycle.svg
  everhop graph --format mermaid`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			table := consumer.Lifecycle()
			text := map[string]func() string{"dot": table.DOT, "mermaid": table.Mermaid, "markdown": table.Markdown}[format]
			return writeOut(cmd.OutOrStdout(), text())
		},
	}
	format = "dot"
	choose(cmd, &format, "format", "language of the graph", "dot", "mermaid", "markdown")
	return cmd
}
