package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write manual pages",
		Long: `Writes a manual page for each command into a directory: everhop.1, everhop-consume.1 and so on. They say what --help
says. The directory is created if it is missing, and pages that are there are written anew.

Exit status: 0 written, 1 failed, 2 wrong command line.`,
		Example: `  everhop man man1 && man ./man1/everhop-consume.1
  everhop man /usr/local/share/man/man1`,
		Args: func(cmd *cobra.Command, args []string) error { return oneArgument(cmd, args, "DIR") },
		RunE: func(cmd *cobra.Command, args []string) error { return writeManual(cmd.Root(), args[0]) },
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
}

// writeManual writes the pages of a command and of those below it.
func writeManual(cmd *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	problems := []error{os.WriteFile(filepath.Join(dir, pageName(cmd)+".1"), []byte(page(cmd)), 0o644)}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			problems = append(problems, writeManual(sub, dir))
		}
	}
	return errors.Join(problems...)
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// page is the manual page of a command, for man(7). It has no date: the same program writes the same page.
// Package cobra/doc writes pages too, by way of Markdown: there the tables of the long texts flow into one another, \\ becomes \,
// names of flags and variables are hyphenated, and an option does not say what its value is.
func page(cmd *cobra.Command) string {
	var p strings.Builder
	section := func(title string) { fmt.Fprintf(&p, ".SH %s\n", title) }
	fmt.Fprintf(&p, ".TH %q 1 \"\" \"everhop\" \"Everhop\"\n", strings.ToUpper(pageName(cmd)))
	p.WriteString(".nh\n") // a name of the environment that is hyphenated is another one
	section("NAME")
	fmt.Fprintf(&p, "%s \\- %s\n", roff(pageName(cmd)), roff(cmd.Short))
	section("SYNOPSIS")
	fmt.Fprintf(&p, ".B %s\n", roff(strings.TrimSpace(cmd.CommandPath())))
	_, arguments, _ := strings.Cut(cmd.UseLine(), cmd.CommandPath())
	if cmd.HasAvailableSubCommands() {
		arguments = " COMMAND"
	}
	fmt.Fprintf(&p, "%s\n", roff(strings.TrimSpace(arguments)))
	section("DESCRIPTION")
	for _, paragraph := range strings.Split(cmd.Long, "\n\n") {
		p.WriteString(paragraphOf(paragraph))
	}
	if cmd.HasAvailableSubCommands() {
		section("COMMANDS")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&p, ".TP\n.BR %s (1)\n%s\n", roff(pageName(sub)), roff(sub.Short))
			}
		}
	}
	if cmd.HasAvailableFlags() {
		section("OPTIONS")
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				p.WriteString(option(f))
			}
		})
	}
	if cmd.Example != "" {
		section("EXAMPLES")
		p.WriteString(asItIs(cmd.Example))
	}
	section("SEE ALSO")
	var others []string
	if cmd.HasParent() {
		others = append(others, fmt.Sprintf(".BR %s (1)", roff(pageName(cmd.Parent()))))
	}
	others = append(others, "https://github.com/everhop/everhop")
	p.WriteString(strings.Join(others, ",\n") + "\n")
	return p.String()
}

// option is a flag with its value, and what it does.
func option(f *pflag.Flag) string {
	value, usage := pflag.UnquoteUsage(f)
	head := `\fB` + roff("--"+f.Name) + `\fR`
	if f.Shorthand != "" {
		head = `\fB` + roff("-"+f.Shorthand) + `\fR, ` + head
	}
	if value != "" {
		head += ` \fI` + roff(value) + `\fR`
	}
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
		usage += " (default " + f.DefValue + ")"
	}
	return ".TP\n" + head + "\n" + roff(usage) + "\n"
}

var indented = regexp.MustCompile(`(?m)^ `)

// paragraphOf fills a paragraph, unless it has lines that are indented: a list, or what is to be typed.
func paragraphOf(text string) string {
	if indented.MatchString(text) {
		return asItIs(text)
	}
	return ".PP\n" + roff(text) + "\n"
}

func asItIs(text string) string { return ".PP\n.nf\n" + roff(text) + "\n.fi\n" }

// roff is a text as man(7) reads it: nothing in it is a request or an escape, and a dash can be copied.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
