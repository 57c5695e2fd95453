package main

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
)

// publication is what the flags of `everhop publish` say.
type publication struct {
	url                         urlFlag
	access                      access
	queue, exchange, routingKey string
	input                       string
	null                        bool
	files                       []string
	from                        int
	every                       time.Duration // between two messages
	attempts                    int           // to revive; 0: no limit
	name                        string
	grace                       time.Duration // for confirms, when it is stopped
	journal                     journalFlags
	log                         logFlags
	properties                  properties
	given                       func(flag string) bool
}

func newPublication() *publication {
	return &publication{from: 1, grace: consumer.DefaultGracePeriod, name: "everhop-publish", log: logFlags{level: zerolog.LevelWarnValue}}
}

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
there is not set. queue, redelivered and delivery_mode mean nothing, and what consume never writes is an error.

These are not sent as they are: x-death, x-delivery-count, x-acquired-count and x-stream-offset, which brokers have
added and would take for their own, are left out. CC becomes the header x-everhop-cc, or copies would go out again.
user_id becomes x-everhop-user-id unless it is the user of the URL: the broker would refuse it. An expiration begins
anew. Take off x-everhop-attempts from messages that were parked, or their next failure parks them again.

What consume has written is acknowledged. So move a queue by way of a file, or the messages in the pipe are lost when
publish ends early.

--header and the properties are for every message, over what a record says.

When the connection breaks, it connects again and goes on: what was not confirmed is sent again, in order, before
anything newer. A message may be in the queue twice by that, with the same message_id (without one, the same header
x-everhop-publish-id). It waits as long as the broker is away, or takes no messages because of an alarm (memory, disk).
What it waits for is logged to standard error, and on a terminal a line shows how far it is. It begins to read when it
is connected for the first time. An error that waiting does not heal (a login that is refused, no such virtual host)
ends it then; later it is waited for, for 10 minutes.

It stops at the first line that the broker does not take (no queue is bound, the queue is full, no such exchange, no
permission, too large) or that is no record. Then it says how many messages are confirmed, and which line is the first
that is not: --from-line goes on there, with the same input. Lines behind that one were on their way, too: it says how
many of them are confirmed, and how many others may be in the queue.

SIGINT, SIGTERM or SIGHUP stops it: it reads no more, waits up to 20 s (--grace) for the confirms that are missing, and
says the same. A second SIGINT or SIGTERM stops it at once. Under nohup, SIGHUP is ignored.

--journal keeps what happens to the connection: 'everhop replay DIR' tells when and for how long it was lost, or the broker
took no messages, and why.

EVERHOP_URL is used when --url is missing; several URLs in it are separated by blanks or commas. It is the
better place for a password, and so is --password-file. That file and those of the --tls flags are read at each connect.
A login that is refused is waited for then, as the file may be renewed.

Exit status: 0 when all of the input is confirmed, 1 when not (with --journal-strict also when the journal is not
whole), 2 wrong command line, 3 the journal is damaged.`, maxBody>>20),
		Example: `  seq 1000 | everhop publish --url amqp://guest:guest@localhost/ --queue orders
  everhop publish --exchange events --routing-key user.created < events.txt
  everhop publish --queue orders --from-line 301 < orders.txt     # line 301 was the first not confirmed
  everhop publish --queue photos --content-type image/jpeg --file *.jpg
  everhop publish --queue orders --journal /var/lib/orders/published < orders.txt
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
	f.access.add(cmd)
	flags.Var(name(&f.queue, "QUEUE"), "queue", "queue to publish to, through the default exchange")
	flags.Var(name(&f.exchange, "EXCHANGE"), "exchange", "exchange to publish to")
	flags.Var(name(&f.routingKey, "KEY"), "routing-key", "routing key, with --exchange or for records")
	choose(cmd, &f.input, "input", "what is on a line: a body, or a message with its properties (default lines)", "lines", "jsonl")
	flags.BoolVar(&f.null, "null", false, "bodies end with NUL instead of a newline, as find -print0 has it")
	flags.StringArrayVar(&f.files, "file", nil, "a `FILE` whose content is a message; may be repeated, and more may follow")
	flags.Var(number(&f.from, noMost), "from-line", "begin with line N of the input; with --null it is message N, with --file file N")
	flags.Var(rate(&f.every), "rate", "publish no faster than that (default no limit)")
	flags.Var(number(&f.attempts, noMost), "max-revive-attempts", "give up when N attempts in a row to connect again have failed (default no limit)")
	flags.Var(period(&f.grace, 24*time.Hour), "grace", "how long to wait for confirms when it is stopped")
	flags.Var(name(&f.name, "NAME"), "name", "name in events and of the connection, to tell publishers apart")
	f.properties.add(cmd)
	f.journal.add(cmd)
	f.log.add(cmd)
	for _, flag := range []string{"queue", "exchange", "routing-key", "from-line", "rate", "max-revive-attempts", "grace", "name"} {
		complete(cmd, flag)
	}
	return cmd
}

// check returns what is wrong with the flags together.
func (f *publication) check(cmd *cobra.Command) error {
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
	return f.journal.check(cmd)
}

func (f *publication) run(cmd *cobra.Command) (result error) {
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
	in := f.source(userOf(urls), cmd.InOrStdin())

	stderr := cmd.ErrOrStderr()
	screen := newProgress(term.To(stderr))
	logger := f.log.logger(term.To(screen))
	soft, hard, release := interruptible(cmd.Context(), stderr, func(cause error) {
		logger.Info().Msgf("%v: stopping; a second signal stops at once", cause)
	})
	defer release()
	config := f.config(urls, logger)
	journal, err := f.journal.openIfWanted(f.journal.dir, history.Publisher(), logger)
	if err != nil {
		return err
	}
	if journal != nil {
		defer func() { result = errors.Join(result, journal.finish()) }()
		config.Journal = journal
	}
	confirmed, err := publishInput(soft, hard, config, in, &pace{every: f.every}, screen)
	if err != nil {
		return err
	}
	cmd.PrintErrln(messagesConfirmed(uint64(confirmed)))
	return nil
}
