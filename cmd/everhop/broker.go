package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/cmd/everhop/internal/operator"
)

// brokerFlags are what a broker for tests is started with.
type brokerFlags struct {
	addr, control, definitions, version, product string
	tls, strict                                  bool
}

func newBroker() *cobra.Command {
	f := brokerFlags{addr: "127.0.0.1:0", control: "127.0.0.1:0"}
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "Be a broker for tests, in any language, that breaks on command",
		Long: `Is an AMQP 0-9-1 broker that behaves as RabbitMQ does where a client can see it, and misbehaves on command. It is
FOR TESTS ONLY: it keeps nothing, and whoever reaches its control may do anything with it.

As soon as clients can connect, it prints one line to standard output:

  {"url":"amqp://guest:guest@127.0.0.1:40123/","control":"http://127.0.0.1:40124","version":"4.3"}

With --tls there is "ca" too, the certificate to trust, as PEM.

The control is HTTP with JSON:

  POST /faults      {"fault":"reset","at":{"method":"basic.ack","nth":3}}
                    The answer has an id. Without "at" it is at once. Moments are "connect":true, "frame":true,
                    "method":NAME, "received":BYTES and "sent":BYTES; "nth" counts from now on. They are narrowed by
                    "name" (of the connection), "connection" (its ID), "peer", "queue" and "vhost"; "again":true repeats.
  GET /faults/ID?wait=5s
                    Tells whether that was played, once it was or when the time is over.
  POST /actions     {"action":"publish","queue":"q","bodies":["1","2"]}
                    Does at once what an operator does.
  GET /api/connections and DELETE /api/connections/NAME, as RabbitMQ's management plugin has them
  GET /queues, /connections, /settlements, /ignored

Faults, and the fields that some have: reset, hang-up, close-connection and close-channel (code, text),
consumer-timeout, cancel-consumers, freeze (direction: both, to-client, from-client), thaw, delay (after: 1.5s),
drip (after: the pause between two bytes), limit (direction, count: bytes a second), stop-heartbeats, send (bytes, in
base64), garbage, split-frames, large-header, stop-in-body, block (text), unblock, drop, nack, unroute, withhold,
confirm-after (after), confirm-together (count), withhold-confirms, release-confirms, suspend-queue, resume-queue and
delete-queue (queue), end-connections-at (queue, text: a body), delete-exchange (exchange), unbind (exchange, key, queue,
arguments), set-password (user, password), delete-user (user), delete-vhost (vhost), refuse-connections, stop-app, alarm
(text), nothing. What cannot be played, ever, is answered with status 400 and an "error".

Actions, and the fields that some have, besides vhost: publish (queue, bodies), declare-queue (queue, arguments),
declare-exchange (exchange, type, arguments), bind (exchange, key, queue, arguments), add-vhost, set-policy and
set-operator-policy (policy: its name, pattern, apply-to, priority, definition), clear-policy and clear-operator-policy
(policy), set-permissions (user, configure, write, read), clear-permissions (user), set-topic-permissions (user, exchange,
write, read), clear-topic-permissions (user, exchange), start-app, accept-connections, clear-alarm (text: of one).

A field that is missing, and one that the fault or the action has not, is refused with status 400, too. These may be left
out: vhost (but of add-vhost and delete-vhost), key, arguments, direction, apply-to, priority, and text (but of
end-connections-at).

It ends with the process that has started it, when its standard input ends, which a terminal's does not, and after
SIGINT, SIGTERM or SIGHUP.

Exit status: 0 ended, 1 it could not begin, 2 wrong command line.`,
		Example: `  everhop broker
  everhop broker --addr 5672 --definitions definitions.json
  everhop broker --tls --behave-like 3.10
  curl -d '{"fault":"reset"}' http://127.0.0.1:40124/faults`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	cmd.Flags().Var(listenAddress(&f.addr), "addr", "where clients connect; port 0 is a free one")
	cmd.Flags().Var(listenAddress(&f.control), "control", "where the control listens")
	cmd.Flags().StringVar(&f.definitions, "definitions", "", "begin with what RabbitMQ has exported to `FILE`, as JSON")
	cmd.Flags().StringVar(&f.version, "behave-like", "", "the `VERSION` of RabbitMQ to behave like: 3.10, 4.0 or 4.3 (default the newest)")
	cmd.Flags().StringVar(&f.product, "product", "", "the `NAME` that clients are told (default \"Everhop brokertest\")")
	cmd.Flags().BoolVar(&f.tls, "tls", false, "speak TLS, with a certificate that is made now")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "refuse arguments that it does not know (default passes over them, as RabbitMQ does)")
	return cmd
}

// brokerReady is the line for who has started it.
type brokerReady struct {
	URL       string `json:"url"`
	Control   string `json:"control"`
	Version   string `json:"version"`
	Authority string `json:"ca,omitempty"`
}

func (f *brokerFlags) run(cmd *cobra.Command) (err error) {
	parent := os.Getppid() // before anybody is told that it is ready, and may end
	config := brokertest.Config{
		Addr: f.addr, TLS: f.tls, Version: f.version, Product: f.product, IgnoreUnknown: !f.strict,
	}
	if f.definitions != "" {
		if config.Definitions, err = os.ReadFile(f.definitions); err != nil {
			return fmt.Errorf("--definitions: %w", err)
		}
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server, err := brokertest.Start(config)
	if err != nil {
		return err
	}
	defer server.Close()
	listener, err := net.Listen("tcp", f.control)
	if err != nil {
		return fmt.Errorf("--control: %w", err)
	}
	control := &http.Server{Handler: operator.Handler(server), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- control.Serve(listener) }()
	defer func() {
		_ = control.Close()
		if failed := <-served; !errors.Is(failed, http.ErrServerClosed) {
			err = errors.Join(err, failed)
		}
	}()
	complain(cmd.ErrOrStderr(), "THIS BROKER IS FOR TESTS ONLY: it keeps nothing, and whoever reaches it may break it")
	err = json.NewEncoder(cmd.OutOrStdout()).Encode(brokerReady{
		URL: server.URL(), Control: "http://" + listener.Addr().String(),
		Version: server.Version(), Authority: string(server.AuthorityPEM()),
	})
	if err != nil {
		return err
	}
	go endWithInput(cmd.InOrStdin(), cancel)
	endWithParent(ctx, parent)
	return nil
}

// endWithInput calls end when the input ends, if that says anything: a terminal and /dev/null say nothing.
func endWithInput(input io.Reader, end func()) {
	if file, ok := input.(*os.File); ok {
		if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice != 0 || info.Mode().IsRegular() {
			return
		}
	}
	_, _ = io.Copy(io.Discard, input)
	end()
}

// parentPause is how often to look whether the parent is still there.
const parentPause = 200 * time.Millisecond

// endWithParent returns when ctx ends, or the process is no longer the parent's child.
func endWithParent(ctx context.Context, parent int) {
	tick := time.NewTicker(parentPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if os.Getppid() != parent {
				return
			}
		}
	}
}
