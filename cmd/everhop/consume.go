package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/cmd/everhop/internal/handlers"
	"github.com/everhop/everhop/cmd/everhop/internal/record"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/systemd"
	"github.com/everhop/everhop/fsm"
)

// consumption is what the flags of `everhop consume` say.
type consumption struct {
	url                   urlFlag
	access                access
	source                source
	ending                ending
	output                string
	null                  bool
	format                formatFlag
	handling              // by a command or a server; without one, messages go to standard output
	name                  string
	prefetch, concurrency int
	deliveryLimit         int
	prefetchBytes         byteSize      // 0: no limit
	count                 int           // 0: no limit
	every                 time.Duration // between two messages; 0: no limit
	dedup                 int           // how many ids are remembered
	keyHeader             string        // of messages whose order is kept; empty: of none
	reviveAttempts        int           // 0: no limit
	silence, probe        time.Duration // until the broker is probed, and until it counts as dead
	heartbeat             time.Duration
	grace                 time.Duration // for what is at hand when it stops
	outcomes              outcomes
	listen                string // empty: nowhere
	journal               journalFlags
	log                   logFlags
}

func newConsumption() *consumption {
	return &consumption{
		concurrency: 1,
		silence:     broker.DefaultDrainTimeout,
		probe:       broker.DefaultProbeTimeout,
		grace:       consumer.DefaultGracePeriod,
		name:        "everhop",
	}
}

// command sets f from its flags.
func (f *consumption) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "consume",
		Short: "Consume a queue to standard output, a command or a server",
		Long: `Consumes a queue until it is told to stop. When the connection breaks, it connects again and goes on.

A message is acknowledged when it has been written to standard output or, with --exec, when the command
has ended with exit status 0, or with --http, when the server has answered 2xx. A message may come more than once: if the connection breaks before the
broker has the acknowledgement, the broker delivers the message again. If a write fails, all messages of
that write come again, although some of them may have been written. On a terminal, control characters in
messages are shown as \b, \u009b and the like; everywhere else bodies are written byte for byte.

--output jsonl writes each message as a line of JSON, with all that it has: body, or body_base64 if that is not UTF-8;
queue, exchange, routing_key, redelivered, message_id, headers and timestamp; and where they are set content_type,
content_encoding, delivery_mode, priority, correlation_id, reply_to, expiration (milliseconds, as text), type,
user_id and app_id. Headers are as plain as JSON can write them. header_types says by the same names (in a list by
0, 1 and so on) which AMQP type each one has, unless that follows from the JSON: true, false, null, text, a table, a
list, a whole number for int64, one with a fraction for float64. Types are int8, int16, int32, uint8, uint16, uint32,
float32, decimal, timestamp, bytes, and base64 for bytes that are not UTF-8; float64 for what looks like an int64, NaN,
Infinity and -Infinity; int64 for one beyond 2^53, which is text. Any other text that is not UTF-8, names among them, is
"base64:" and its base64; so is text that itself begins with that. 'everhop publish --input jsonl' reads such lines.

--format writes a text for each message, and nothing else: no newline that is not in it. In it stand
  %s  the body              %q  the queue             %T  the timestamp, 2026-01-31T12:00:00Z
  %S  its length in bytes   %x  the exchange          %h  headers: NAME=VALUE,NAME=VALUE
  %i  the message_id        %k  the routing key       %r  whether it is redelivered: true or false
  %c  the content type      %o  the stream's offset   %%  a percent sign
What is not set is empty. \n, \t, \r, \0, \\ and \xHH (hexadecimal) are as in C.

Several queues (--queue a --queue b) are consumed over one connection. --concurrency, --prefetch and all other settings
are for each of them; --count and --max-rate count over all. Poison of each is parked in its own QUEUE.parked.

--bind without --queue consumes from a temporary queue, which ends with the connection: it has what is published from
now on, and an outage loses what comes meanwhile. Poison is put back there, unless --parking-queue says where to park it.

--until-empty stops when the queues hold nothing more and all that came is handled; that it asks over a second
connection. What other consumers have may still come back. After a lost connection it waits for two heartbeats: so long
the broker may keep what was not acknowledged. It is not for streams, which keep their messages: say with --stream-offset
that a queue is a stream, or it is taken for an empty queue until a message comes.

--idle-timeout counts while it consumes and nothing is being handled, and not during an outage.

--password-file and the --tls flags name files that are read at each connect: renew them, and nothing has to be
restarted. They go before what the URL has. A login that is refused is waited for then, as the file may be renewed.

--exec runs the command with sh -c for each message, --exec-argv a program with its arguments, which stand behind --,
without a shell. It gets the body on standard input, and the message's properties in its environment: EVERHOP_QUEUE,
EVERHOP_EXCHANGE, EVERHOP_ROUTING_KEY, EVERHOP_REDELIVERED (true or false), EVERHOP_MESSAGE_ID, EVERHOP_CORRELATION_ID,
EVERHOP_REPLY_TO, EVERHOP_CONTENT_TYPE, EVERHOP_CONTENT_ENCODING, EVERHOP_TYPE, EVERHOP_APP_ID, EVERHOP_USER_ID,
EVERHOP_TIMESTAMP, EVERHOP_EXPIRATION (milliseconds), EVERHOP_PRIORITY, EVERHOP_DELIVERY_MODE (2: persistent) and
EVERHOP_ATTEMPT: 1, and one more after each failure. It is 1 again after exit status 75, a stop or a lost
connection. The header x-tenant is EVERHOP_HEADER_X_TENANT: in capitals, with _ for all but letters and digits. Lists and
tables are JSON. Of headers that get the same name the first has it. A header of more than 4 KiB is left out, and so are
those that do not fit into 32 KiB in all; EVERHOP_HEADERS_LEFT_OUT counts them. File descriptor 3 has all of the
message, while the command runs, as the line that --output jsonl writes (not on Windows). It need not be read. The
command's outputs are pipes, which everhop copies to its own; with --concurrency, in whole lines. A message is
acknowledged when that is done.

With a command, no more messages are taken from the queue than are handled at once: none waits behind a slow command while
another consumer is free. So there is a round trip to the broker between two commands. A run that ends by itself (--count,
--until-empty, --idle-timeout) takes one message more, and has no such pause; --prefetch does the same for any run.

The exit status of the command decides what becomes of the message. 0 acknowledges it. 75 (EX_TEMPFAIL)
puts it back: the command is run for it again after a second, and for others meanwhile, however many are put back
(up to 1024). 65 (EX_DATAERR) says that trying again cannot help: the message is poison at once. Those of
--reject-status reject it: the broker dead-letters it, or drops it if the queue has no dead-letter exchange. Any other
is a failure. A command that runs longer than --timeout fails too: it gets SIGTERM, and a moment later SIGKILL. What it
has written to standard error last, up to 900 bytes, is in the log as the field stderr, and in the header x-everhop-error
of a parked message, behind the error. After a failure the command is run again, after a pause that grows.
With the default --attempts and --backoff that goes on for one to two minutes: what a command needs may be away
for a minute, and no message is parked. As long as a message is tried again, its place among --concurrency is
taken.

That the command cannot be started is not the message's failure: if there are no processes, files or memory left,
or if its exit status is 126 or 127, with which a shell says that a program cannot be run, is not there or has no
interpreter. It pauses then and logs an error, for 1 s at first, and for twice as long each next time, up to 30 s
(or the PAUSE of --breaker). Then one message is tried before the others. No attempt is counted, and others may
overtake the message. At the start it is an error if there is no shell, or no PROGRAM. So it is if COMMAND is a single one, without
any of ; & | ( ) and not in several lines, whose program is not there or cannot be run.

--http sends each message to a server: its body by POST, with its Content-Type and Content-Encoding, the headers
traceparent and tracestate, and the rest as X-Everhop-Queue, X-Everhop-Message-Id and so on, named as the variables of a
command are; the header x-tenant is X-Everhop-Header-X-Tenant. Their values are percent-encoded where they are not
printable ASCII, and % itself is, too. A header of more than 1 KiB is left out, and so are those that do not fit into
4 KiB in all; X-Everhop-Headers-Left-Out counts them. The status of the answer decides, whatever follows it. 2xx
acknowledges. 429 and 503 with Retry-After, in seconds or as a date, have the message come again after that time, from 1 s to
a day; after more than 5 s out of a queue QUEUE.retry.N, or, if there can be none, since the queue is a temporary one or its
name too long, after waiting in memory, for 22 minutes at most. Any other 4xx but 408, 425 and 429 says that trying again
cannot help: the message is poison at once. All else is a failure, as of a command: 5xx, no answer within --timeout, a
connection that breaks. So is a redirect, which is not followed: a body could get lost, or get to where it does not
belong. The begin of what the server says, up to 900 bytes, is in the log as the field answer, and in the header
x-everhop-error of a parked message, behind the error. That the server cannot be reached at all is not the message's
failure: it pauses then, as for a command that cannot be started. Proxies are those of HTTP_PROXY, HTTPS_PROXY and
NO_PROXY. User and password in the URL are sent as basic authentication, and shown nowhere.

A quorum queue drops a message that came back too often, because its connection was lost or its consumer was
stopped. Before that, everhop publishes it again to the end of its queue (see --delivery-limit).

A message that has failed 8 times (--attempts) is poison. By default it is parked: moved to the queue
QUEUE.parked, with the error in its headers. --poison dead-letter rejects it instead, and the broker drops
it if the queue has no dead-letter exchange. --poison put-back has it handled again, for ever. A parked
message keeps its number of failures in the header x-everhop-attempts; 'everhop parked retry' moves it back without
that. What is consumed from the queue in which it was parked is parked there again, whatever its name, unless
--parking-queue says otherwise.

A stream keeps its messages, whatever becomes of them. --stream-offset says that the queue is one, and where to
begin: at the first, last or next message (what is published from now on), at an offset, at a time such as
2026-01-31T12:00:00Z, or at an age such as 90s, 2h or 7D (s, m, h, D, M or Y). When the connection breaks, it goes
on behind the last message that was handled; the next everhop begins anew. Nothing is put back into a stream: the
command is run again instead, and poison is parked.

SIGINT, SIGTERM or SIGHUP stops it: it takes no more messages, and the ones it has may be finished for 20 s
(--grace). A second SIGINT or SIGTERM stops it at once. In both cases commands that still run get SIGTERM, and a
moment later SIGKILL; a write that its reader holds up is given up; and messages that are not finished go back to
the queue. It also stops when the reader of standard output has gone, as head does; that is no error. What a
command has written and nobody has read comes again then. Under nohup, SIGHUP is ignored. On Linux commands are
killed when everhop is killed; as the first process of a container, it waits for processes that they leave behind.

--journal keeps what happens to the connection from which it consumes in DIR. What happens to the other one, over which
messages are parked or saved, is in DIR/publisher: 'everhop replay DIR/publisher' tells of that.

--listen answers over HTTP: /livez and /readyz for probes, /status for 'everhop status', /metrics for Prometheus,
/events, and a page for a browser, which with --journal has what was before this process, too. Nobody is asked for a
password, and whoever gets there sees the names of queues and errors, but no message and no password. Readiness ends
first when it stops, and the answers last. As a service of systemd (Type=notify) it tells when it is ready, what it does,
and with WatchdogSec that it is alive. See cmd/everhop/contrib for systemd and Kubernetes.

EVERHOP_URL is used when --url is missing; several URLs in it are separated by blanks or commas. It is the
better place for a password. Commands have it in their environment, too.

Exit status, of everhop itself:
  0  stopped: by a signal, --count, --until-empty, --idle-timeout, or because the reader has gone; messages may have
     failed before
  1  gave up on the broker, could not open a file, could not write (to a full disk, say), or stopped before
     all was finished; with --journal-strict also when the journal is not whole
  2  wrong command line, no such command, or standard output closed
  3  the journal is damaged`,
		Example: `  everhop consume --url amqp://guest:guest@localhost/ --queue orders
  everhop consume --queue orders --exec ./handle.sh --concurrency 4
  everhop consume --queue orders --http http://localhost:8080/orders --concurrency 32 --timeout 30s
  everhop consume --queue orders --reject-status 3 --exec-argv -- python3 handle.py --verbose
  everhop consume --queue orders --exec ./handle.sh --timeout 30s --attempts 10 --poison dead-letter
  everhop consume --queue orders --exec ./handle.sh --journal /var/lib/orders/journal
  everhop consume --queue orders --exec ./handle.sh --listen 9090 & everhop status :9090 --watch
  everhop consume --queue orders --count 10 --output jsonl | jq .body
  everhop consume --queue events --stream-offset 2h --output jsonl
  everhop consume --queue a --queue b --until-empty --format '%q %k %s\n'
  everhop consume --bind 'events/user.#' --idle-timeout 1m
  everhop consume --url amqps://shop@broker/ --password-file /run/secrets/rabbitmq --tls-ca ca.pem --queue orders
  everhop consume --url amqp://node1/ --url amqp://node2/ --queue orders --declare --log-format json`,
		Args: f.takeWords,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.url.add(cmd)
	f.access.add(cmd)
	f.source.add(cmd)
	flags.Var(number(&f.count, noMost), "count", "stop after N messages; failed ones do not count (default no limit)")
	f.ending.add(cmd)
	flags.Var(maxRate(&f.every), "max-rate", "handle no more messages than that, all queues together (default no limit)")
	choose(cmd, &f.output, "output", "what to write to standard output (default body; with --exec and the like, none)", "body", "jsonl", "none")
	flags.BoolVar(&f.null, "null", false, "end bodies with NUL instead of a newline, for xargs -0 or 'everhop publish --null'")
	flags.Var(&f.format, "format", "write messages as FORMAT instead: %s is the body, %k the routing key; see above")
	f.addHandling(cmd)
	flags.Var(period(&f.grace, 24*time.Hour), "grace", "how long what has begun may take to finish when it stops; then commands are ended")
	f.outcomes.add(cmd)
	flags.Var(number(&f.concurrency, math.MaxUint16), "concurrency", "how many messages to handle at once; 1 keeps the order of the queue")
	flags.Var(name(&f.keyHeader, "NAME"), "key-header", "keep the order of messages that have the same value in this header; others are handled meanwhile")
	flags.Var(number(&f.dedup, noMost), "dedup", "remember the message_id of the last N handled messages, and acknowledge one that comes again without handling it (default none)")
	flags.Var(number(&f.prefetch, math.MaxUint16), "prefetch", "how many messages to have unacknowledged (default 64, or --concurrency if that is more; with a command, --concurrency, and one more in a run that ends by itself)")
	flags.Var(size(&f.prefetchBytes, 1), "prefetch-bytes", "how many bytes of messages may wait for a handler; of large ones fewer than --prefetch are asked for (default no limit)")
	flags.Var(limitOfDeliveries(&f.deliveryLimit), "delivery-limit", "how often a quorum queue lets a message come back before it drops it; 0 if it has no limit (default 20, from RabbitMQ 4.0 on)")
	flags.Var(period(&f.silence, time.Hour), "silence", "probe the broker when nothing has come in for so long")
	flags.Var(period(&f.probe, time.Hour), "probe-timeout", "how long it may take to answer before it counts as dead")
	flags.Var(seconds(&f.heartbeat, time.Second, math.MaxUint16*time.Second), "heartbeat", "AMQP heartbeat interval, the second line of defence (default that of the URL, or 10s)")
	flags.Var(number(&f.reviveAttempts, noMost), "max-revive-attempts", "give up when N attempts in a row to connect again have failed (default no limit)")
	flags.Var(name(&f.name, "NAME"), "name", "name in events and of the connection, to tell consumers apart")
	flags.Var(listenAddress(&f.listen), "listen", "answer there over HTTP: /livez, /readyz, /status, /events, /metrics, and a page; a port alone is one of 127.0.0.1 (default nowhere)")
	f.journal.add(cmd)
	f.log.add(cmd)
	for _, flag := range []string{"format", "grace", "count", "max-rate", "concurrency", "key-header", "dedup", "max-revive-attempts", "prefetch", "prefetch-bytes", "delivery-limit", "silence", "probe-timeout", "heartbeat", "name", "listen"} {
		complete(cmd, flag)
	}
	return cmd
}

// check returns what is wrong with the flags together.
func (f *consumption) check(cmd *cobra.Command) error {
	switch err := f.source.check(); {
	case err != nil:
		return err
	case cmd.Flags().Changed("key-header") && f.keyHeader == "":
		return errors.New("--key-header: empty")
	case f.keyHeader != "" && f.concurrency == 1:
		return errors.New("--key-header: with --concurrency 1, the order of all messages is kept")
	}
	if err := cmp.Or(f.handling.check(cmd, f.output), f.checkOutput(), f.ending.check(&f.source)); err != nil {
		return err
	}
	if s := f.subscription(); s.Breaker.Failures > 0 && s.Breaker.Failures <= s.Retry.Attempts*s.Concurrency {
		return fmt.Errorf("--breaker %v: a few bad messages could stop it for good; N must be more than --attempts times --concurrency, %d",
			f.outcomes.breaker, s.Retry.Attempts*s.Concurrency)
	}
	return errors.Join(f.outcomes.check(cmd, f.source.queues), f.journal.check(cmd))
}

func (f *consumption) run(cmd *cobra.Command) (result error) {
	urls, endpoints, err := f.url.endpoints()
	if err == nil {
		err = cmp.Or(f.access.check(cmd, urls), f.check(cmd))
	}
	if err != nil {
		return wrongUsage(cmd, err)
	}
	if err := errors.Join(checkFiles(endpoints), f.access.checkFiles()); err != nil {
		return err
	}

	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	if f.writes() {
		err = unusable(term.Behind(stdout))
	} else {
		err = f.lookUp()
	}
	if err != nil {
		return wrongUsage(cmd, err)
	}
	logger := f.log.logger(stderr)
	soft, hard, release := interruptible(cmd.Context(), stderr, func(cause error) {
		logger.Info().Msgf("%v: stopping; a second signal stops at once", cause)
	})
	defer release()
	ctx, stop := context.WithCancel(soft)
	defer stop()
	to := f.destination(stdout, stderr, stop)
	defer to.end()
	sub := f.subscription()
	sub.Handler, sub.Commit = to.handle, to.commit
	if f.every > 0 {
		sub.Handler = paced(ctx, f.every, sub.Handler)
	}
	if f.count > 0 {
		sub.Handler = limit(f.count, sub.Handler, stop, ctx.Done())
	}
	config := f.config(urls, sub, logger, stop)
	show := func(*consumer.Consumer) (end func()) { return func() {} }
	remember := func(string) {}
	if f.listen != "" {
		window, err := openWindow(f.listen, logger)
		if err != nil {
			return err
		}
		defer window.listener.Close() // again, unless something fails before it is shown
		window.observe(&config)
		show, remember = window.show, window.remember
	}
	finish, err := f.journal.forConsumer(&config, logger)
	if err != nil {
		return err
	}
	defer func() { result = errors.Join(result, finish()) }()
	if config.Journal != nil {
		remember(f.journal.dir)
	}
	c, err := consumer.New(config)
	if errors.Is(err, fsm.ErrVetoed) {
		return err
	}
	if err != nil {
		return wrongUsage(cmd, err) // everything else in it comes from the flags
	}
	if f.writes() || f.runs() {
		defer watchReader(term.Behind(stdout), stop)()
	}
	defer show(c)() // until all is finished: it can be seen how it stops
	untold, err := systemd.Start(c)
	if err != nil {
		logger.Warn().Err(err).Msg("systemd is not told how it goes")
	}
	defer untold()
	unwatched := f.watchEnding(ctx, c, endpoints, config, logger, stop)
	defer func() { result = errors.Join(result, unwatched()) }()
	return consume(ctx, hard, c, to, f.grace, logger)
}

// consume runs c until ctx ends, and stops it. What is not finished a grace period later, or when hard
// ends, is left, and that is an error.
func consume(ctx, hard context.Context, c *consumer.Consumer, to destination, grace time.Duration, logger zerolog.Logger) error {
	defer context.AfterFunc(hard, func() { _ = c.Stop(hard) })()
	stopping := make(chan time.Time, 1)
	defer context.AfterFunc(ctx, func() { stopping <- time.Now() })()
	if err := c.Run(ctx); err != nil {
		return err
	}
	since := <-stopping // ctx has ended: nothing else makes Run return nil
	finishing, over := context.WithDeadlineCause(hard, since.Add(grace), errGraceOver)
	defer over()
	err := to.finish(finishing)
	if err == nil || readerGone(err) {
		logger.Info().Uint64("handled", c.Stats().Acknowledged).Msg("stopped")
	}
	return err
}

var errGraceOver = errors.New("the grace period is over")

// writes tells whether messages go to standard output.
func (f *consumption) writes() bool { return !f.hands() && f.output != "none" }

// destination is where messages go.
type destination struct {
	handle consumer.Handler
	commit func(context.Context) error // before messages are acknowledged, unless it is nil
	finish func(context.Context) error // when the consumer has stopped
	end    func()                      // after all
}

// destination calls broken when nothing can be written any more.
func (f *consumption) destination(stdout, stderr io.Writer, broken func()) destination {
	out := &output{w: stdout, broken: broken}
	switch {
	case f.posts():
		p := handlers.NewPoster(f.http.URL, f.timeout, f.concurrency*max(1, len(f.source.queues)))
		return destination{handle: p.Handle, finish: p.Finish, end: p.End}
	case f.runs():
		cmd := handlers.NewCommand(handlers.CommandConfig{
			Plain: f.plain(), Words: f.words(), Reject: f.reject, Timeout: f.timeout,
			Lines: f.concurrency > 1 || len(f.source.queues) > 1, Stdout: standardOutput{term.Behind(stdout)}, Stderr: patient{term.Behind(stderr)},
			Broken: broken,
		})
		return destination{handle: cmd.Handle, finish: cmd.Finish, end: cmd.End}
	case f.output == "none":
		return destination{
			handle: func(context.Context, *consumer.Delivery) error { return nil },
			finish: func(context.Context) error { return nil },
			end:    func() {},
		}
	case f.output == "jsonl":
		out.format = record.Write
	case f.null:
		out.format = formatNull
	case f.format.parts != nil:
		out.format = f.format.write
	default:
		out.format = formatBody
	}
	return destination{out.handle, out.commit, out.finish, func() {}}
}
