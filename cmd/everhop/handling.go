package main

import (
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/everhop/everhop/cmd/everhop/internal/handlers"
)

// handling are the flags that say who handles messages: a shell's command, a program, or a server.
type handling struct {
	exec    string
	argv    bool
	program []string // and its arguments, which stand behind "--"
	http    httpAddress
	reject  statuses
	timeout time.Duration // of a command or a request; 0: none
}

func (h *handling) addHandling(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&h.exec, "exec", "", "shell `COMMAND` to run for each message")
	flags.BoolVar(&h.argv, "exec-argv", false, "run a program for each message, without a shell: --exec-argv -- PROGRAM ARGUMENT...")
	flags.Var(&h.reject, "reject-status", "exit statuses that reject the message: dead-lettered, or dropped where there is no dead-letter exchange; may be repeated")
	flags.Var(&h.http, "http", "address to which each message is sent by POST, http[s]://[user:password@]host[:port][/path]")
	flags.Var(period(&h.timeout, 24*time.Hour), "timeout", "how long the command may run, or the server take to answer (default no limit)")
	for _, flag := range []string{"exec", "reject-status", "http", "timeout"} {
		complete(cmd, flag)
	}
}

// takeWords takes what stands behind "--". Elsewhere there are no arguments.
func (h *handling) takeWords(cmd *cobra.Command, args []string) error {
	switch dash := cmd.ArgsLenAtDash(); {
	case !h.argv && dash == 0 && len(args) > 0:
		return wrongUsage(cmd, fmt.Errorf("unexpected argument %q; a command behind -- needs --exec-argv", args[0]))
	case !h.argv:
		return noArguments(cmd, args)
	case dash != 0 && len(args) > 0:
		return wrongUsage(cmd, fmt.Errorf("unexpected argument %q; the command stands at the end, behind --: --exec-argv -- PROGRAM ARGUMENT", args[0]))
	}
	h.program = args
	return nil
}

// runs tells whether commands handle messages.
func (h *handling) runs() bool { return h.exec != "" || h.argv }

// posts tells whether a server does.
func (h *handling) posts() bool { return h.http.URL != nil }

// hands tells whether one of them does.
func (h *handling) hands() bool { return h.runs() || h.posts() }

// plain are the command's program and its arguments, if that needs no shell.
func (h *handling) plain() []string {
	if h.argv {
		return h.program
	}
	return directly(h.exec)
}

// words are the command's program and its arguments, or the shell's.
func (h *handling) words() []string {
	if h.argv {
		return h.program
	}
	return []string{shellName, "-c", h.exec}
}

// check returns what is wrong with the flags together.
func (h *handling) check(cmd *cobra.Command, output string) error {
	given := slices.DeleteFunc([]string{"exec", "exec-argv", "http"}, func(flag string) bool { return !cmd.Flags().Changed(flag) })
	writes := output != "" && output != "none"
	switch {
	case len(given) > 1:
		return fmt.Errorf("--%s: not with --%s", given[1], given[0])
	case cmd.Flags().Changed("exec") && h.exec == "":
		return errors.New("--exec: empty")
	case h.argv && len(h.program) == 0:
		return errors.New("--exec-argv: the command is missing; it stands at the end, behind --: --exec-argv -- PROGRAM ARGUMENT")
	case h.argv && h.program[0] == "":
		return errors.New("--exec-argv: the name of the program is empty")
	case h.runs() && writes:
		return errors.New("--output " + output + ": with --" + given[0] + ", standard output is the command's")
	case h.posts() && writes:
		return errors.New("--output " + output + ": with --http, nothing is written to standard output")
	case h.timeout > 0 && !h.hands():
		return errors.New("--timeout: only with --exec, --exec-argv or --http")
	case len(h.reject) > 0 && !h.runs():
		return errors.New("--reject-status: only with --exec or --exec-argv")
	}
	return nil
}

// lookUp tells why no command can be started.
func (h *handling) lookUp() error {
	switch {
	case h.exec != "":
		return checkCommand(h.exec)
	case h.argv:
		if _, err := exec.LookPath(h.program[0]); err != nil {
			return fmt.Errorf("--exec-argv: %s: %w", h.program[0], cause(err))
		}
	}
	return nil
}

// statuses is --reject-status, which may be given several times.
type statuses []int

func (*statuses) Type() string { return "N[,N...]" }

func (s *statuses) String() string { return "" }

func (s *statuses) Set(text string) error {
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(word)
		switch {
		case err != nil || n < 1 || n > 255:
			return errors.New("expected exit statuses from 1 to 255, such as 3 or 3,4")
		case handlers.IsReserved(n):
			return fmt.Errorf("exit status %d has a meaning already", n)
		}
		*s = append(*s, n)
	}
	return nil
}

// httpAddress is --http.
type httpAddress struct{ *url.URL }

var _ pflag.Value = (*httpAddress)(nil)

func (*httpAddress) Type() string { return "URL" }

func (a *httpAddress) String() string { return "" }

// Set quotes nothing of what it is given: a password may be in it.
func (a *httpAddress) Set(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "" {
		return errors.New("expected an address such as http://localhost:8080/orders; characters such as / ? # @ : in user and password must be percent-encoded")
	}
	a.URL = u
	return nil
}
