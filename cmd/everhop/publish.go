package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker"
)

// publication is what the flags of `everhop publish` say.
type publication struct {
	url                         urlFlag
	queue, exchange, routingKey string
}

func newPublish() *cobra.Command {
	var f publication
	cmd := &cobra.Command{
		Use:   "publish",
		Short: "Publish each line of standard input, with confirms",
		Long: fmt.Sprintf(`Publishes each line of standard input as a message, without its newline: persistent, mandatory, and
confirmed by the broker. The last line needs no newline. A line may be up to %d MiB long, if the broker
takes messages of that size (max_message_size).

It stops at the first line that the broker does not take (no queue is bound, or the queue is full), and
when the connection breaks. Then it says how many messages are confirmed, and which line is the first that
is not. Up to %d lines after that one may be in the queue all the same.

While the broker takes no messages because of an alarm (memory, disk), it waits. SIGINT, SIGTERM or SIGHUP
stops it: it reads no more and waits for the confirms that are missing. A second SIGINT or
SIGTERM stops it at once. Under nohup, SIGHUP is ignored.

EVERHOP_URL is used when --url is missing; several URLs in it are separated by blanks or commas. It is the
better place for a password.

Exit status: 0 when every line of the input is confirmed, 1 when not, 2 wrong command line.`, maxLine>>20, broker.MaxUnconfirmed),
		Example: `  seq 1000 | everhop publish --url amqp://guest:guest@localhost/ --queue orders
  everhop publish --exchange events --routing-key user.created < events.jsonl
  tail -n +301 orders.txt | everhop publish --queue orders     # line 301 was the first not confirmed`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.url.add(cmd)
	flags.Var(name(&f.queue, "QUEUE"), "queue", "queue to publish to, through the default exchange")
	flags.Var(name(&f.exchange, "EXCHANGE"), "exchange", "exchange to publish to")
	flags.Var(name(&f.routingKey, "KEY"), "routing-key", "routing key, with --exchange")
	for _, flag := range []string{"queue", "exchange", "routing-key"} {
		complete(cmd, flag)
	}
	return cmd
}

func (f *publication) run(cmd *cobra.Command) error {
	_, endpoints, err := f.url.endpoints()
	changed := cmd.Flags().Changed
	switch {
	case err != nil:
	case !changed("queue") && !changed("exchange"):
		err = errors.New("--queue or --exchange is missing")
	case changed("queue") && changed("exchange"):
		err = errors.New("--queue and --exchange: only one of them")
	case changed("queue") && f.queue == "":
		err = errors.New("--queue: empty")
	case changed("queue") && changed("routing-key"):
		err = errors.New("--routing-key: with --queue, it is the queue's name")
	}
	if err != nil {
		return wrongUsage(cmd, err)
	}
	if err := checkFiles(endpoints); err != nil {
		return err
	}
	message := broker.Message{Exchange: f.exchange, RoutingKey: f.routingKey + f.queue} // one of them is empty

	soft, hard, release := interruptible(cmd.Context(), cmd.ErrOrStderr(), nil)
	defer release()
	publisher, err := broker.OpenPublisher(soft, broker.Plan{Endpoints: endpoints, Name: "everhop"})
	if err != nil {
		return err
	}
	defer closePublisher(hard, publisher)

	var confirmed atomic.Int64
	stopProgress := showProgress(cmd.ErrOrStderr(), &confirmed, publisher.BlockedChanges())
	err = publishLines(soft, hard, publisher, message, cmd.InOrStdin(), &confirmed)
	stopProgress()
	if err != nil {
		return fmt.Errorf("%w; %s, line %d is the first that is not", err, messagesConfirmed(confirmed.Load()), confirmed.Load()+1)
	}
	cmd.PrintErrln(messagesConfirmed(confirmed.Load()))
	return nil
}

// sending is a line on its way to the broker.
type sending struct {
	confirm *broker.Confirm
	err     error // why it could not be sent
}

// publishLines publishes until the input or soft ends, or something fails, and waits for the confirms
// of what it has published. Without an error, all of the input is confirmed.
//
//	input ──► lines ──► publishEach ──► sent, in order ──► Wait
func publishLines(soft, hard context.Context, publisher *broker.Publisher, message broker.Message,
	input io.Reader, confirmed *atomic.Int64) error {
	ctx, stop := context.WithCancel(soft)
	defer stop()
	sent := make(chan sending, broker.MaxUnconfirmed)
	var inputErr error // to be read once sent is closed
	go func() {
		defer close(sent)
		inputErr = publishEach(ctx, hard, publisher, message, readLines(ctx, input, maxLine), sent)
	}()

	var failed error
	for s := range sent {
		if s.err == nil {
			s.err = s.confirm.Wait(hard)
		}
		switch {
		case failed != nil: // the first one says it
		case s.err == nil:
			confirmed.Add(1)
		default:
			failed = fmt.Errorf("line %d: %w", confirmed.Load()+1, s.err)
			stop()
		}
	}
	switch {
	case failed != nil:
		return failed
	case inputErr != nil && soft.Err() != nil:
		return fmt.Errorf("stopped before the end of the input: %w", context.Cause(soft))
	}
	return inputErr
}

// publishEach passes on what is sent, until a line cannot be; it returns nil at the end of the input.
func publishEach(ctx, hard context.Context, publisher *broker.Publisher, message broker.Message,
	lines *lines, sent chan<- sending) error {
	for {
		line, err := lines.next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		message.Body = line
		var s sending
		s.confirm, s.err = publisher.Publish(hard, message)
		sent <- s
		if s.err != nil {
			return nil // the error is in sent
		}
	}
}

// closePublisher says goodbye; when all is confirmed, whether the broker hears it does not matter.
func closePublisher(hard context.Context, publisher *broker.Publisher) {
	ctx, cancel := context.WithTimeout(hard, time.Second)
	defer cancel()
	_ = publisher.Close(ctx)
}
