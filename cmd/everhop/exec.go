package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
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
	// tempFail is the exit status that asks for the message to be put back: EX_TEMPFAIL of sysexits.h.
	tempFail = 75
)

// command hands each message to a shell command.
type command struct {
	line           string
	timeout        time.Duration // 0: none
	stdout, stderr io.Writer
	ended          atomic.Int64 // those that were not let finish, because everhop stops
}

// handle is a consumer.Handler: exit status 0 acknowledges, tempFail puts back. When ctx ends, the
// command and its children are ended too.
func (c *command) handle(ctx context.Context, d *consumer.Delivery) error {
	if c.timeout > 0 { // of the command, and not of its waiting for a place among --count
		limited, cancel := context.WithTimeoutCause(ctx, c.timeout, consumer.ErrHandlerTimeout)
		defer cancel()
		ctx = limited
	}
	cmd := exec.Command("sh", "-c", c.line)
	cmd.Env = environment(os.Environ(), d)
	cmd.Stdin = bytes.NewReader(d.Body)
	cmd.Stdout, cmd.Stderr = c.stdout, c.stderr
	cmd.WaitDelay = unread
	ownGroup(cmd) // also, Ctrl-C is for us: the command may finish
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("command: %w", err)
	}
	exited, ended := make(chan struct{}), make(chan struct{})
	survives := context.AfterFunc(ctx, func() {
		defer close(ended)
		endGroup(cmd, exited)
	})
	err := cmd.Wait()
	close(exited)
	if !survives() {
		<-ended
		why := context.Cause(ctx)
		if !errors.Is(why, consumer.ErrHandlerTimeout) {
			c.ended.Add(1)
		}
		return fmt.Errorf("command: ended: %w", why) // whatever it says: it was not asked to finish
	}
	switch {
	case cmd.ProcessState.ExitCode() == tempFail:
		return fmt.Errorf("%w: command: %w", consumer.Requeue, err)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return fmt.Errorf("command: %w", err)
	}
	return nil
}

// finish tells whether all commands were let finish.
func (c *command) finish(context.Context) error {
	switch n := c.ended.Load(); n {
	case 0:
		return nil
	case 1:
		return errors.New("stopped before a command had finished; its message goes back to the queue")
	default:
		return fmt.Errorf("stopped before %d commands had finished; their messages go back to the queue", n)
	}
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

// environment is ours, without the URL and its password, and with the message's properties.
func environment(ours []string, d *consumer.Delivery) []string {
	env := slices.DeleteFunc(ours, func(v string) bool { return strings.HasPrefix(v, urlVariable+"=") })
	timestamp := ""
	if !d.Timestamp.IsZero() {
		timestamp = d.Timestamp.UTC().Format(time.RFC3339)
	}
	for _, property := range [][2]string{
		{"QUEUE", d.Queue},
		{"EXCHANGE", d.Exchange},
		{"ROUTING_KEY", d.RoutingKey},
		{"REDELIVERED", strconv.FormatBool(d.Redelivered)},
		{"MESSAGE_ID", d.MessageID},
		{"CORRELATION_ID", d.CorrelationID},
		{"REPLY_TO", d.ReplyTo},
		{"CONTENT_TYPE", d.ContentType},
		{"CONTENT_ENCODING", d.ContentEncoding},
		{"TYPE", d.Type},
		{"APP_ID", d.AppID},
		{"TIMESTAMP", timestamp},
		{"ATTEMPT", strconv.Itoa(consumer.Attempts(d) + 1)},
	} {
		// An environment cannot hold NUL; no message may make its command impossible to start.
		env = append(env, "EVERHOP_"+property[0]+"="+strings.ReplaceAll(property[1], "\x00", ""))
	}
	return env
}
