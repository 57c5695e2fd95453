package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/everhop/everhop/consumer"
)

const (
	// moment is how long a command may take to end after SIGTERM, before SIGKILL. A consumer that
	// is told to stop at once waits for its handlers for 1 s.
	moment = 400 * time.Millisecond
	// unread is how long a message's body stays on offer after the command has ended, to processes
	// that it left behind.
	unread = time.Second
	// Of sysexits.h: EX_DATAERR says that trying again cannot help, EX_TEMPFAIL asks for the message to be put back.
	dataErr, tempFail = 65, 75
	// Of the shell, and of env, nice and the like, when there is no such program, or none that can be run.
	notRunnable, notFound = 126, 127
)

// CommandConfig says which command, and how it is run.
type CommandConfig struct {
	// Plain are a program and its arguments, if no shell is needed; nil if it is. Where the program is, is looked up once.
	Plain []string
	// Words are a program, such as a shell, and its arguments, which are started where Plain is nil or cannot be started. They
	// are never missing.
	Words []string
	// Reject are the exit statuses that reject the message, none of which is reserved (see IsReserved).
	Reject []int
	// Timeout is how long a command may run. Defaults to no limit.
	Timeout time.Duration
	// Lines has whole lines passed on, so that those of commands that run at once do not mix.
	Lines bool
	// Stdout and Stderr get what commands write, by one write at a time each. They are to wait for room, and not to say
	// EAGAIN: the first error of a write is its last.
	Stdout, Stderr io.Writer
	// Broken is called once, when a write to Stdout has failed.
	Broken func()
}

// Command hands each message to a command.
type Command struct {
	config         CommandConfig
	found          string   // where the program of config.Plain is; empty: nowhere, or there is none
	base           []string // of its environment
	stdout, stderr *shared
	children       *children
	pipes          pipes
	ended          atomic.Int64 // those that were not let finish, because everhop stops
}

// NewCommand must be ended.
func NewCommand(config CommandConfig) *Command {
	c := &Command{
		config:   config,
		stdout:   &shared{w: config.Stdout, lines: config.Lines, broken: config.Broken},
		stderr:   &shared{w: config.Stderr, lines: config.Lines, ends: true},
		children: newChildren(),
		base:     handedOn(os.Environ()),
	}
	if config.Plain != nil {
		c.found, _ = exec.LookPath(config.Plain[0])
	}
	return c
}

// Handle is a consumer.Handler; outcome says what an exit status means. When ctx ends, the command and its children are
// ended too. That it cannot be started is not the message's fault: how much of the message is in its environment is
// limited (see environment).
func (c *Command) Handle(ctx context.Context, d *consumer.Delivery) error {
	stopping := ctx
	if c.config.Timeout > 0 { // of the command, and not of its waiting for a place among --count, nor for the reader of its output
		limited, cancel := context.WithTimeoutCause(ctx, c.config.Timeout, consumer.ErrHandlerTimeout)
		defer cancel()
		ctx = limited
	}
	cmd, whole, outputs, err := c.begin(d)
	if err != nil {
		return err
	}
	exited, ended := make(chan struct{}), make(chan struct{})
	survives := context.AfterFunc(ctx, func() {
		defer close(ended)
		endGroup(cmd, exited)
	})
	c.pipes.prepare()
	err = c.children.wait(cmd, outputs)
	whole.withdraw()
	close(exited)
	if !survives() {
		<-ended
		last, cancel := context.WithTimeout(context.Background(), lastWords)
		defer cancel()
		outputs.finish(last)
		return c.wasEnded(ctx, outputs[1].end()) // whatever its status says: it was not asked to finish
	}
	if !outputs.finish(stopping) {
		return c.wasEnded(stopping, outputs[1].end())
	}
	return c.outcome(cmd.ProcessState.ExitCode(), err, outputs[0].loss(), outputs[1].end())
}

// lastWords is how long to wait for the output of a command that was ended.
const lastWords = 200 * time.Millisecond

// begin starts the command. What needs no shell is started without one, which takes half the time, and from where it was
// found, which takes less than to look for it again; if that cannot be, the shell or the system tells why, or knows better.
func (c *Command) begin(d *consumer.Delivery) (cmd *exec.Cmd, all *whole, outputs commandOutputs, err error) {
	if c.found != "" {
		cmd = exec.Command(c.found, c.config.Plain[1:]...)
		cmd.Args[0] = c.config.Plain[0]
		if all, outputs, err = c.start(cmd, d); err == nil || isLack(err) {
			return cmd, all, outputs, err
		}
	}
	cmd = exec.Command(c.config.Words[0], c.config.Words[1:]...)
	all, outputs, err = c.start(cmd, d)
	return cmd, all, outputs, err
}

// isLack tells whether something is used up, of which a shell would need more.
func isLack(err error) bool {
	return slices.ContainsFunc([]error{syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM}, func(lack error) bool { return errors.Is(err, lack) })
}

// start starts a program with outputs of its own.
func (c *Command) start(cmd *exec.Cmd, d *consumer.Delivery) (*whole, commandOutputs, error) {
	cmd.Env = environment(c.base, d)
	cmd.WaitDelay = unread
	ownGroup(cmd) // also, Ctrl-C is for us: the command may finish
	killedWithUs(cmd)
	waitable(cmd)
	all, err := offer(cmd, d, &c.pipes)
	if err != nil {
		return nil, nil, unavailable(err)
	}
	var outputs commandOutputs
	fail := func(err error) (*whole, commandOutputs, error) {
		outputs.drop()
		all.withdraw()
		return nil, nil, err
	}
	for _, s := range []*shared{c.stdout, c.stderr} {
		o, err := s.open(&c.pipes)
		if err != nil {
			return fail(unavailable(err))
		}
		outputs = append(outputs, o)
	}
	cmd.Stdout, cmd.Stderr = outputs[0].write, outputs[1].write
	switch err := c.children.start(cmd); {
	case errors.Is(err, errEnding):
		return fail(requeue(err))
	case err != nil:
		return fail(unavailable(err))
	}
	outputs.inherited()
	all.begin(d)
	return all, outputs, nil
}

// unavailable is for a command that could not be started, with what to do.
func unavailable(err error) error {
	advice := "it is tried again and again"
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		advice = "raise the limit of open files (ulimit -n, LimitNOFILE), or lower --concurrency"
	case errors.Is(err, syscall.EAGAIN):
		advice = "raise the limit of processes (ulimit -u, pids.max, TasksMax), or lower --concurrency"
	case errors.Is(err, syscall.ENOMEM):
		advice = "give it more memory, or lower --concurrency"
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		advice = "is the program still there (with --exec the shell), and its interpreter, and may it be run?"
	case errors.Is(err, syscall.ENOEXEC):
		advice = "a script needs a first line that names its interpreter, such as #!/bin/sh"
	case errors.Is(err, syscall.E2BIG):
		advice = "the environment and the command are too long together"
	}
	return consumer.Unavailable(fmt.Errorf("command: cannot be started: %w; %s", err, advice))
}

// outcome is what a command's end means for its message. What is lost of its output has to come again.
func (c *Command) outcome(status int, err, lost error, said string) error {
	switch {
	case lost != nil:
		return requeue(lost)
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil
	}
	err = fmt.Errorf("command: %w", err)
	switch status {
	case notFound:
		err = fmt.Errorf("%w: there is no such program, or the interpreter is missing that its first line names", err)
	case notRunnable:
		err = fmt.Errorf("%w: the program cannot be run; is it executable?", err)
	}
	err = saying(err, said)
	switch {
	case slices.Contains(c.config.Reject, status):
		return fmt.Errorf("%w: %w", consumer.Reject, err)
	case status == dataErr:
		return consumer.Permanent(err)
	case status == tempFail:
		return requeue(err)
	case status == notFound, status == notRunnable:
		return consumer.Unavailable(err)
	}
	return err
}

// IsReserved tells whether an exit status has a meaning already, which CommandConfig.Reject must not change.
func IsReserved(status int) bool {
	return status == tempFail || status == notRunnable || status == notFound
}

// requeue has the message come again, though it has not failed.
func requeue(err error) error { return fmt.Errorf("%w: %w", consumer.Requeue, err) }

// saying adds the end of what a command has written to standard error.
func saying(err error, said string) error { return consumer.Detail(err, "stderr", said) }

// wasEnded is the error for a command that was not let finish.
func (c *Command) wasEnded(ctx context.Context, said string) error {
	why := context.Cause(ctx)
	if !errors.Is(why, consumer.ErrHandlerTimeout) {
		c.ended.Add(1)
	}
	return saying(fmt.Errorf("command: ended: %w", why), said)
}

// End is called once, when there will be no more commands.
func (c *Command) End() {
	c.children.end()
	c.pipes.drop()
}

// Finish tells, when the consumer has stopped, whether all commands were let finish, and all that they wrote is out.
func (c *Command) Finish(context.Context) error {
	lost := c.stdout.failure()
	switch n := c.ended.Load(); n {
	case 0:
		return lost
	case 1:
		return errors.Join(errors.New("stopped before a command had finished; its message goes back to the queue"), unlessGone(lost))
	default:
		return errors.Join(fmt.Errorf("stopped before %d commands had finished; their messages go back to the queue", n), unlessGone(lost))
	}
}

// unlessGone leaves out that the reader of standard output has had enough, which is none of our errors.
func unlessGone(lost error) error {
	if errors.Is(lost, syscall.EPIPE) {
		return nil
	}
	return lost
}

// endGroup gives the command's processes a moment to end by themselves.
func endGroup(cmd *exec.Cmd, exited <-chan struct{}) {
	terminateGroup(cmd)
	over := time.NewTimer(moment)
	defer over.Stop()
	select {
	case <-exited:
		if !groupExists(cmd) {
			return
		}
		<-over.C
	case <-over.C:
	}
	killGroup(cmd)
}
