package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "everhop",
		Short: "Consume from RabbitMQ, and keep consuming",
		Long: `everhop consumes from RabbitMQ through whatever happens to the connection, and publishes with confirms.

Exit status: 0 done, 1 failed, 2 wrong command line.`,
		Example: `  everhop consume --url amqp://guest:guest@localhost/ --queue orders
  seq 1000 | everhop publish --queue orders
  everhop graph | dot -Tsvg > lifecycle.svg`,
		Version:                    version(),
		Args:                       unknownCommand,
		RunE:                       func(*cobra.Command, []string) error { return nil }, // never: Args refuses first
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	// Cobra's usage has a line "everhop" before "everhop [command]", which is not true.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return wrongUsage(cmd, flagError(err)) })
	root.AddCommand(newConsume(), newPublish(), newGraph(), newVersion())
	return root
}

func wrongUsage(cmd *cobra.Command, err error) error {
	return &usageError{command: cmd.CommandPath(), err: err}
}

// unknownCommand is asked when no command has been recognised.
func unknownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return wrongUsage(root, errors.New("a command is missing"))
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	for i, name := range root.SuggestionsFor(args[0]) {
		text += []string{"; did you mean ", " or "}[min(i, 1)] + name
	}
	return wrongUsage(root, errors.New(text))
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return wrongUsage(cmd, fmt.Errorf("unexpected argument %q", args[0]))
}

// flagError says for every flag in the same words what is wrong with its value.
func flagError(err error) error {
	var invalid *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &invalid):
		return fmt.Errorf("--%s: %q: %w", invalid.GetFlag().Name, invalid.GetValue(), invalid.Unwrap())
	case errors.As(err, &missing):
		return fmt.Errorf("--%s needs a value", missing.GetFlag().Name)
	}
	return err
}
