package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newRoot(stdin io.Reader, stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "everhop",
		Short: "Consume from RabbitMQ, and keep consuming",
		Long: `everhop consumes from RabbitMQ and keeps consuming when connections break. It publishes with confirms, tells what
consumers do now, from a journal of events what happened, and what is wrong where nothing works.

Exit status: 0 done, 1 failed, 2 wrong command line, 3 a journal is damaged, status reaches
no live consumer or doctor finds something broken, 130 given up after a signal.`,
		Example: `  everhop demo
  everhop consume --url amqp://guest:guest@localhost/ --queue orders
  seq 1000 | everhop publish --queue orders
  everhop status :9090
  everhop doctor --queue orders
  everhop graph | dot -Tsvg > lifecycle.svg`,
		Version: version(),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownCommand(cmd, args)
		},
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
	}
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetVersionTemplate("{{.Version}}\n")
	// Cobra's usage has a line "everhop" before "everhop [command]", which is not true.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return wrongUsage(cmd, flagError(cmd, err)) })
	root.AddCommand(newConsumption().command(), newPublication().command(), newPeek(), newParked(), newStatus(), newHealth(), newDoctor(),
		newReplay(), newVerify(), newGraph(), newDemo(), newBroker(), newMan(), newVersion())
	addCobras(root)
	return root
}

// addCobras adds the commands that cobra brings along, and makes them as strict as ours.
func addCobras(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Args = knownCommand
		case "completion":
			cmd.Args, cmd.RunE = unknownCommand, never
			for _, shell := range cmd.Commands() {
				shell.Args = noArguments
			}
		}
	}
}

// never is what a command does whose Args refuse everything.
func never(*cobra.Command, []string) error { return nil }

func wrongUsage(cmd *cobra.Command, err error) error {
	return &usageError{command: cmd.CommandPath(), err: err}
}

// unknownCommand is asked when no command below this one has been recognised.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return wrongUsage(cmd, errors.New("a command is missing"))
	}
	return wrongUsage(cmd, fmt.Errorf("unknown command %q%s", args[0], didYouMean(cmd.SuggestionsFor(args[0]))))
}

// knownCommand accepts what `everhop help` can tell about.
func knownCommand(help *cobra.Command, args []string) error {
	cmd, rest, err := help.Root().Find(args)
	switch {
	case err != nil:
		return wrongUsage(help, err)
	case len(rest) == 0:
		return nil
	case cmd.HasAvailableSubCommands():
		return unknownCommand(cmd, rest)
	}
	return noArguments(cmd, rest)
}

// didYouMean is the end of an error about something that looks like these.
func didYouMean(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(names, " or ")
}

// oneArgument accepts one, which has a name.
func oneArgument(cmd *cobra.Command, args []string, name string) error {
	switch {
	case len(args) > 1:
		return wrongUsage(cmd, fmt.Errorf("unexpected argument %q", args[1]))
	case len(args) == 0, args[0] == "":
		return wrongUsage(cmd, errors.New(name+" is missing"))
	}
	return nil
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return wrongUsage(cmd, fmt.Errorf("unexpected argument %q", args[0]))
}

// flagError says for every flag in the same words what is wrong with it.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &unknown):
		typed := unknown.GetSpecifiedShortnames() // of -queue, all of it
		if typed == "" {
			typed = unknown.GetSpecifiedName()
		}
		return fmt.Errorf("%w%s", err, didYouMean(flagsLike(cmd, typed)))
	case errors.As(err, &invalid):
		return fmt.Errorf("--%s: %q: %w", invalid.GetFlag().Name, invalid.GetValue(), invalid.Unwrap())
	case errors.As(err, &missing):
		return fmt.Errorf("--%s needs a value", missing.GetFlag().Name)
	}
	return err
}

// flagsLike are the flags whose names begin like that or look like it, by the rules that cobra has for
// commands only.
func flagsLike(cmd *cobra.Command, typed string) []string {
	names := &cobra.Command{SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names.AddCommand(&cobra.Command{Use: "--" + f.Name, RunE: never}) })
	return names.SuggestionsFor("--" + typed)
}
