package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/parked"
)

// parkedFlags are those that all commands below `everhop parked` have: which messages are meant.
type parkedFlags struct {
	url     urlFlag
	access  access
	error   *regexp.Regexp
	since   time.Time
	from    string
	id      string
	headers []string
	count   int // 0: no limit
}

func (f *parkedFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	f.url.add(cmd)
	f.access.add(cmd)
	flags.Var(pattern(&f.error), "error", "only messages whose error matches, such as 'timeout|refused'; (?i) before it ignores case")
	flags.Var(since(&f.since), "since", "only messages that failed last at that time or later, or in that time before now")
	flags.Var(name(&f.from, "QUEUE"), "from-queue", "only messages that came from that queue")
	flags.StringVar(&f.id, "id", "", "only the message with that `ID`")
	flags.StringArrayVar(&f.headers, "header", nil, "only messages with that header, `NAME=VALUE`; may be repeated, and all must match")
	usage := "how many messages (default all)"
	if f.count > 0 {
		usage = "how many messages"
	}
	flags.Var(number(&f.count, noMost), "count", usage)
	for _, flag := range []string{"error", "since", "from-queue", "id", "header", "count"} {
		complete(cmd, flag)
	}
}

// config is what the flags say of a queue.
func (f *parkedFlags) config(cmd *cobra.Command, queue string) (parked.Config, error) {
	filter := parked.Filter{Error: f.error, Since: f.since, From: f.from, ID: f.id}
	for _, header := range f.headers {
		name, value, ok := strings.Cut(header, "=")
		if !ok || name == "" {
			return parked.Config{}, wrongUsage(cmd, fmt.Errorf("--header: %q: expected NAME=VALUE", header))
		}
		if filter.Headers == nil {
			filter.Headers = map[string]string{}
		}
		filter.Headers[name] = value
	}
	config, err := browsing(cmd, f.url, f.access, queue)
	config.Filter, config.Count = filter, f.count
	return config, err
}

// browsing is what all commands need that look into a queue.
func browsing(cmd *cobra.Command, url urlFlag, access access, queue string) (parked.Config, error) {
	urls, endpoints, err := url.endpoints()
	if err == nil {
		err = broker.CheckName(queue)
	}
	if err == nil {
		err = access.check(cmd, urls)
	}
	if err != nil {
		return parked.Config{}, wrongUsage(cmd, err)
	}
	config := parked.Config{
		URLs: urls, Credentials: access.credentials(urls), TLS: access.secured(), User: userOf(urls),
		Queue: queue, Name: "everhop " + cmd.Name(),
	}
	return config, errors.Join(checkFiles(endpoints), access.checkFiles())
}

// whileHeld does work that holds messages. After a signal they go back, which may take some seconds; after a second one the
// broker takes them back when the process is gone.
func whileHeld(cmd *cobra.Command, work func(ctx context.Context) error) error {
	return untilSignal(cmd, func(cause error) {
		cmd.PrintErrf("%v: stopping; what is on its way is waited for, and messages are given back. A second signal ends it at once.\n", cause)
	}, work)
}

// browseHint says what to do about an error that ended a look.
func browseHint(err error) error {
	var failure *broker.Error
	switch {
	case !errors.As(err, &failure):
	case failure.Class == broker.NotFound:
		return fmt.Errorf("%w; check the name of the queue", err)
	case failure.Class == broker.Auth && failure.Queue != "":
		return fmt.Errorf("%w; to count messages takes the permission to configure the queue from RabbitMQ 4.3 on: give it with rabbitmqctl set_permissions, or use another user", err)
	default:
		if hint := hintOn(err); hint != "" {
			return fmt.Errorf("%w; %s", err, hint)
		}
	}
	return err
}

// pattern accepts what package regexp does.
func pattern(target **regexp.Regexp) value[*regexp.Regexp] {
	return value[*regexp.Regexp]{target, "REGEXP", "a regular expression (https://pkg.go.dev/regexp/syntax)",
		func(text string) (*regexp.Regexp, bool) {
			re, err := regexp.Compile(text)
			return re, err == nil
		}}
}

// since accepts a time, or how long it is ago.
func since(target *time.Time) value[time.Time] {
	return value[time.Time]{target, "TIME|AGE", "a time such as 2026-01-31T12:00:00Z, or an age such as 90s or 2h",
		func(text string) (time.Time, bool) {
			if ago, err := time.ParseDuration(text); err == nil {
				return time.Now().Add(-ago), ago > 0
			}
			at, err := time.Parse(time.RFC3339, text)
			return at, err == nil
		}}
}
