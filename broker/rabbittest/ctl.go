package rabbittest

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Ctl runs rabbitmqctl against this node and returns its standard output. It starts an Erlang machine each time, which takes
// 0.5 s or more, and a minute on a machine that is very busy: Call and Eval take milliseconds. The error contains all output.
func (n *Node) Ctl(ctx context.Context, args ...string) (string, error) {
	return n.run(ctx, "", n.tools.ctl, args...)
}

// StopApp stops RabbitMQ inside the node and leaves the Erlang machine running:
// clients see connection.close with code 320, then refused connections.
func (n *Node) StopApp(ctx context.Context) error {
	return n.Call(ctx, "rabbit:stop")
}

// StartApp undoes StopApp and waits until the node is ready again.
func (n *Node) StartApp(ctx context.Context) error {
	if err := n.Call(ctx, "rabbit:start"); err != nil {
		return err
	}
	return n.await(ctx, nil)
}

// CloseConnections has the broker close all AMQP connections with code 320 and
// the given reason.
func (n *Node) CloseConnections(ctx context.Context, reason string) error {
	return n.expect(ctx, "[rabbit_networking:close_connection(C, "+octets(reason)+") || C <- rabbit_networking:connections()], ok.")
}

// The shares of the machine's memory from which on there is an alarm: always one,
// and RabbitMQ 3's default.
const alarmingWatermark, usualWatermark = "0", "0.4"

// AlarmsKnown is Erlang for Eval, to follow what raises or clears an alarm. Raising
// only sends a message to the process rabbit_alarm. Once that has answered this
// question, which comes after the message, it has told all connections of the node.
const AlarmsKnown = "gen_event:which_handlers(rabbit_alarm), ok."

// MemoryAlarm raises the node's memory alarm, or clears it. What is published to
// the node after its return meets the alarm, or no longer meets it; other nodes of
// a cluster, and clients, learn of it later.
func (n *Node) MemoryAlarm(ctx context.Context, on bool) error {
	watermark := usualWatermark
	if on {
		watermark = alarmingWatermark
	}
	return n.expect(ctx, "ok = vm_memory_monitor:set_vm_memory_high_watermark("+watermark+"), "+AlarmsKnown)
}

// run runs one of RabbitMQ's tools in the node's environment, with stdin as its
// input.
func (n *Node) run(ctx context.Context, stdin, tool string, args ...string) (string, error) {
	if n.foreign {
		return "", errForeignNode
	}
	cmd := n.tools.command(n.layout, tool, args...)
	cmd.Stdin = strings.NewReader(stdin)
	stdout, err := output(ctx, cmd)
	if err != nil {
		err = fmt.Errorf("rabbittest: %s %s: %w", filepath.Base(tool), strings.Join(args, " "), err)
	}
	return stdout, err
}

// output runs a command and returns its standard output; the error contains all output. When ctx ends, the
// command and its children are killed.
func output(ctx context.Context, cmd *exec.Cmd) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	p, err := launch(cmd)
	if err != nil {
		return "", err
	}
	select {
	case <-p.done:
		err = p.err
	case <-ctx.Done():
		p.kill()
		err = ctx.Err() // rather than "signal: killed"
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s%s", err, &stdout, &stderr)
	}
	return stdout.String(), err
}
