package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker"
)

// publication is what the flags of `everhop publish` say.
type publication struct {
	url                         urlFlag
	queue, exchange, routingKey string
	input                       string
	null                        bool
	files                       []string
	from                        int
	every                       time.Duration // between two messages
	properties                  properties
	given                       func(flag string) bool
}

func newPublication() *publication { return &publication{from: 1} }

// command sets f from its flags.
func (f *publication) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "publish [FILE]...",
		Short: "Publish lines, files or records, with confirms",
		Long: fmt.Sprintf(`Publishes each line of standard input as a message, without its newline: persistent, mandatory, and
confirmed by the broker. The last line needs no newline. With --null, NUL is between messages instead. With
--file each file is a message; further files may follow it. A message may be up to %d MiB long, if the
broker takes that size (max_message_size).

--input jsonl reads messages with all that they have, one on each line: what 'everhop consume --output jsonl' writes
(its help tells the form), or what jq -c makes of it. Each goes where it says, by exchange and routing_key, unless
--queue, --exchange or --routing-key say otherwise. body or body_base64 must be there; any other property that is not
there is not set. redelivered and delivery_mode mean nothing, and what consume never writes is an error.

These are not sent as they are: x-death, x-delivery-count, x-acquired-count and x-stream-offset, which brokers have
added and would take for their own, are left out. CC becomes the header x-everhop-cc, or copies would go out again.
user_id becomes x-everhop-user-id unless it is the user of the URL: the broker would refuse it. An expiration begins
anew. Take off x-everhop-attempts from messages that were parked, or their next failure parks them again.

What consume has written is acknowledged. So move a queue by way of a file, or the messages in the pipe are lost when
publish ends early.

--header and the properties are for every message, over what a record says.

It stops at the first line that the broker does not take (no queue is bound, or the queue is full) or that is no
record, and when the connection breaks. Then it says how many messages are confirmed, and which line is the first that
is not: --from-line goes on there, with the same input. Up to %d lines after that one may be in the queue all
the same.

While the broker takes no messages because of an alarm (memory, disk), it waits. SIGINT, SIGTERM or SIGHUP
stops it: it reads no more and waits for the confirms that are missing. A second SIGINT or
SIGTERM stops it at once. Under nohup, SIGHUP is ignored.

EVERHOP_URL is used when --url is missing; several URLs in it are separated by blanks or commas. It is the
better place for a password.

Exit status: 0 when all of the input is confirmed, 1 when not, 2 wrong command line.`, maxBody>>20, broker.MaxUnconfirmed),
		Example: `  seq 1000 | everhop publish --url amqp://guest:guest@localhost/ --queue orders
  everhop publish --exchange events --routing-key user.created < events.txt
  everhop publish --queue orders --from-line 301 < orders.txt     # line 301 was the first not confirmed
  everhop publish --queue photos --content-type image/jpeg --file *.jpg
  everhop publish --queue orders --header tenant=a --expiration 24h --rate 1000/s < orders.txt
  everhop consume --queue a --count 500 --output jsonl > moved.jsonl && everhop publish --input jsonl --queue b < moved.jsonl
  jq -c 'del(.headers["x-everhop-attempts"])' parked.jsonl | everhop publish --input jsonl --queue orders`,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("file") {
				return nil
			}
			return noArguments(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f.files = append(f.files, args...)
			return f.run(cmd)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.given = flags.Changed
	f.url.add(cmd)
	flags.Var(name(&f.queue, "QUEUE"), "queue", "queue to publish to, through the default exchange")
	flags.Var(name(&f.exchange, "EXCHANGE"), "exchange", "exchange to publish to")
	flags.Var(name(&f.routingKey, "KEY"), "routing-key", "routing key, with --exchange or for records")
	choose(cmd, &f.input, "input", "what is on a line: a body, or a message with its properties (default lines)", "lines", "jsonl")
	flags.BoolVar(&f.null, "null", false, "bodies end with NUL instead of a newline, as find -print0 has it")
	flags.StringArrayVar(&f.files, "file", nil, "a `FILE` whose content is a message; may be repeated, and more may follow")
	flags.Var(number(&f.from, noMost), "from-line", "begin with line N of the input; with --null it is message N, with --file file N")
	flags.Var(rate(&f.every), "rate", "publish no faster than that (default no limit)")
	f.properties.add(cmd)
	for _, flag := range []string{"queue", "exchange", "routing-key", "from-line", "rate"} {
		complete(cmd, flag)
	}
	return cmd
}

// check returns what is wrong with the flags together.
func (f *publication) check() error {
	records := f.input == "jsonl"
	switch {
	case !records && !f.given("queue") && !f.given("exchange"):
		return errors.New("--queue or --exchange is missing")
	case f.given("queue") && f.given("exchange"):
		return errors.New("--queue and --exchange: only one of them")
	case f.given("queue") && f.queue == "":
		return errors.New("--queue: empty")
	case f.given("queue") && f.given("routing-key"):
		return errors.New("--routing-key: with --queue, it is the queue's name")
	case records && f.null:
		return errors.New("--null: with --input jsonl, each line is a record")
	case f.given("file") && f.null:
		return errors.New("--null: with --file, each file is a message")
	case f.given("file") && f.given("input"):
		return errors.New("--input: with --file, each file is a message")
	}
	return nil
}

func (f *publication) run(cmd *cobra.Command) error {
	urls, endpoints, err := f.url.endpoints()
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return wrongUsage(cmd, err)
	}
	if err := checkFiles(endpoints); err != nil {
		return err
	}
	in := f.source(userOf(urls), cmd.InOrStdin())

	soft, hard, release := interruptible(cmd.Context(), cmd.ErrOrStderr(), nil)
	defer release()
	to, err := openPublisher(soft, endpoints)
	if err != nil {
		return withHint(err, f.exchange, "")
	}
	defer to.close(hard)

	var confirmed atomic.Int64
	stopProgress := showProgress(cmd.ErrOrStderr(), &confirmed, to.blocked)
	next, err := publishAll(soft, hard, to.send, in, &pace{every: f.every}, &confirmed)
	stopProgress()
	if err != nil {
		err = fmt.Errorf("%w; %s, %s is the first that is not", err, messagesConfirmed(confirmed.Load()), in.label(next))
		if next > 1 {
			err = fmt.Errorf("%w (--from-line %d goes on there)", err, next)
		}
		return err
	}
	cmd.PrintErrln(messagesConfirmed(confirmed.Load()))
	return nil
}

// publisher is all that this command needs of one.
type publisher struct {
	send    send
	blocked <-chan broker.Blocked
	close   func(hard context.Context)
}

// send passes a message on, and returns without waiting for its confirm.
type send func(context.Context, *broker.Message) (confirmation, error)

// confirmation is what is to come for a message; Wait returns nil when the broker has it.
type confirmation interface{ Wait(context.Context) error }

func openPublisher(ctx context.Context, endpoints []broker.Endpoint) (publisher, error) {
	p, err := broker.OpenPublisher(ctx, broker.Plan{Endpoints: endpoints, Name: "everhop"})
	if err != nil {
		return publisher{}, err
	}
	return publisher{
		send:    func(ctx context.Context, m *broker.Message) (confirmation, error) { return p.Publish(ctx, *m) },
		blocked: p.BlockedChanges(),
		close: func(hard context.Context) {
			// When all is confirmed, whether the broker hears a goodbye does not matter.
			ctx, cancel := context.WithTimeout(hard, time.Second)
			defer cancel()
			_ = p.Close(ctx)
		},
	}, nil
}
