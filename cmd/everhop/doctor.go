package main

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/cmd/everhop/internal/doctor"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// doctorFlags are those of `everhop doctor`.
type doctorFlags struct {
	url               urlFlag
	access            access
	queue, management string
	journal, exec     string
	prefetch          int
	handling, timeout time.Duration
	json              bool
}

func newDoctor() *cobra.Command {
	f := &doctorFlags{timeout: 30 * time.Second, prefetch: 64}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out why consuming or publishing does not work, and what to do",
		Long: `Looks at all that consuming and publishing need, from the name of the host to the time of a round trip, and prints a
line for each check:

  ok       all is well
  warning  it works, and may not always
  broken   it does not work
  skipped  not looked at, because of what the line says: something else is broken, or it was not asked for

Behind -> stands what to do. A check that fails stops only those that need it. The checks are

  name, port, protocol, certificate     of each host in the URLs: its addresses, what its port speaks, TLS
  login, vhost, broker, heartbeat,      who is let in where, the version and what it means, what was negotiated
  limits
  permissions, alarms                   what consuming, declaring, parking, delaying and publishing need
  queue, consumers, delivery_limit,     with --queue: its type, arguments, depth and consumers, and how messages of it
  overflow, ttl, durability, type       may be lost
  timeout                               with --handling-time: whether consumer_timeout is long enough for --prefetch
  round_trip                            messages through a temporary queue
  management, cluster, user_limits,     with --management: policies, limits, nodes, alarms, partitions, the queue's
  vhost_limits, leader, policy, clock   leader, and the broker's clock, which AMQP does not tell
  journal, command, file_limits         this machine: with --journal and --exec, whether they can be used

It changes nothing at the broker: it makes a temporary queue, which is exclusive and deletes itself, and publishes one
message that no queue gets. How a queue was declared it learns from how the broker refuses to declare it otherwise, with
arguments that no queue can have; the broker's log may tell of that.

--json prints one document: version (1), status (ok, warning or broken) and checks, each with check, of (what it is about,
if there may be several), status, text and advice. The names stay as they are; texts may change.

EVERHOP_URL is used when --url is missing. User and password of --management are those in its URL, else guest and guest.

Exit status: 0 all is ok, 1 there are warnings, 2 wrong command line, 3 something is broken,
130 given up after a signal.`,
		Example: `  everhop doctor --url amqp://guest:guest@localhost/
  everhop doctor --queue orders --exec ./handle.sh --journal /var/lib/orders/journal
  everhop doctor --queue orders --prefetch 64 --handling-time 45s
  everhop doctor --queue orders --management http://monitor:secret@node1:15672
  everhop doctor --queue orders --json | jq -r '.checks[] | select(.status == "broken") | .text'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.url.add(cmd)
	f.access.add(cmd)
	flags.Var(name(&f.queue, "QUEUE"), "queue", "queue that is to be consumed (default none)")
	flags.StringVar(&f.management, "management", "", "`URL` of the management plugin's HTTP API, http[s]://[user:password@]host:port (default none)")
	flags.StringVar(&f.journal, "journal", "", "`DIR` of a journal, to look at (default none)")
	flags.StringVar(&f.exec, "exec", "", "shell `COMMAND` that is to handle messages, which is not run (default none)")
	flags.Var(number(&f.prefetch, math.MaxUint16), "prefetch", "how many messages the consumer has unacknowledged")
	flags.Var(period(&f.handling, 24*time.Hour), "handling-time", "how long the consumer needs for one message (default not known)")
	flags.Var(period(&f.timeout, time.Hour), "timeout", "how long all of it may take; one step over the network takes a sixth of it at most")
	flags.BoolVar(&f.json, "json", false, "print one JSON document")
	for _, flag := range []string{"queue", "management", "exec", "prefetch", "handling-time", "timeout"} {
		complete(cmd, flag)
	}
	return cmd
}

func (f *doctorFlags) run(cmd *cobra.Command) error {
	urls, endpoints, err := f.url.endpoints()
	if err == nil {
		err = f.access.check(cmd, urls)
	}
	given := cmd.Flags().Changed
	switch {
	case err != nil:
	case given("queue") && f.queue == "":
		err = errors.New("--queue: empty")
	case given("exec") && f.exec == "":
		err = errors.New("--exec: empty")
	case given("journal") && f.journal == "":
		err = errors.New("--journal: empty")
	case given("prefetch") && !given("handling-time"):
		err = errors.New("--prefetch: only with --handling-time")
	case given("handling-time") && f.queue == "":
		err = errors.New("--handling-time: only with --queue")
	case given("management"):
		if _, err = doctor.ParseManagement(f.management); err != nil {
			err = errors.New("--management: " + err.Error())
		}
	}
	if err != nil {
		return wrongUsage(cmd, err)
	}
	if err := f.access.checkFiles(); err != nil {
		return err
	}
	return untilSignal(cmd, nil, func(ctx context.Context) error { return f.examine(ctx, term.To(cmd.OutOrStdout()), urls, endpoints) })
}

func (f *doctorFlags) examine(ctx context.Context, out *term.Output, urls []string, endpoints []broker.Endpoint) error {
	bounded, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	const steps = 6
	config := doctor.Config{
		Endpoints: endpoints, Credentials: f.access.credentials(urls), TLS: f.access.secured(), Queue: f.queue, Prefetch: f.prefetch, HandlingTime: f.handling,
		Management: f.management, Journal: f.journal, Command: f.exec,
		CheckCommand: checkCommand, Program: programFile, Step: f.timeout / steps,
	}
	var unsaid error
	if !f.json {
		config.Told = func(found doctor.Finding) {
			if ctx.Err() != nil { // what fails now, a signal has ended
				return
			}
			unsaid = errors.Join(unsaid, out.Print(found.Line(out.Ink())))
		}
	}
	report := doctor.Run(bounded, config)
	if ctx.Err() != nil {
		return &interrupted{context.Cause(ctx)}
	}
	if f.json {
		unsaid = json.NewEncoder(out).Encode(report)
	} else {
		unsaid = errors.Join(unsaid, out.Print(report.Summary(out.Ink())))
	}
	return errors.Join(unsaid, verdictOf(report))
}

// verdictOf is the exit status after an examination.
func verdictOf(report *doctor.Report) error {
	switch report.Worst() {
	case doctor.Broken:
		return statusError(3)
	case doctor.Warning:
		return statusError(1)
	}
	return nil
}

// programFile is the file of the program that a plain line runs, "" if it is not plain.
func programFile(line string) string {
	file, err := exec.LookPath(plainProgram(line))
	if err != nil {
		return ""
	}
	return file
}
