package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

func newHealth() *cobra.Command {
	timeout := 2 * time.Second
	ready := false
	cmd := &cobra.Command{
		Use:   "health URL",
		Short: "Tell by the exit status whether a consumer is alive, or ready",
		Long: `Asks a consumer whether it is alive, or with --ready whether everything is consumed. It is for probes that run a
command, such as HEALTHCHECK of Docker or exec of Kubernetes: if the answer is yes it says nothing, else why not.

A consumer is alive through an outage of its broker, however long: restarting it would not help. It is not when its
supervisor hangs or its stop does. URL is where it listens: http://host:port, host:port, or :port of this machine.

Exit status: 0 yes, 1 no, or no answer, 2 wrong command line.`,
		Example: `  everhop health :9090
  everhop health --ready --timeout 1s http://10.0.0.7:9090`,
		Args: func(cmd *cobra.Command, args []string) error { return oneArgument(cmd, args, "URL") },
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := sources(args)
			if err != nil {
				return wrongUsage(cmd, err)
			}
			path := "livez"
			if ready {
				path = "readyz"
			}
			ctx, _, release := interruptible(cmd.Context(), cmd.ErrOrStderr(), nil)
			defer release()
			status, body, err := list[0].Get(ctx, path, timeout)
			if err == nil {
				err = probed(path, status, body)
			}
			if err != nil {
				return fmt.Errorf("%v: %w", list[0], err)
			}
			return nil
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether it is ready")
	cmd.Flags().Var(period(&timeout, time.Hour), "timeout", "how long it may take to answer")
	complete(cmd, "timeout")
	return cmd
}

// probed is why the answer to a probe is no.
func probed(path string, status int, body []byte) error {
	switch status {
	case http.StatusOK:
		return nil
	case http.StatusServiceUnavailable:
		return errors.New(path + ": " + failedChecks(body))
	}
	return fmt.Errorf("/%s answers %d %s; is that a consumer's health handler?", path, status, http.StatusText(status))
}

// failedChecks are what is behind [-] in an answer, as one line that is not too long.
func failedChecks(body []byte) string {
	const most = 1000
	var failed []string
	for line := range strings.Lines(string(body)) {
		if check, ok := strings.CutPrefix(line, "[-]"); ok {
			failed = append(failed, strings.TrimSpace(check))
		}
	}
	if len(failed) == 0 { // it is another program's answer
		failed = []string{strings.Join(strings.Fields(string(body)), " ")}
	}
	return term.Cut(strings.Join(failed, "; "), most)
}
