package main

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

// source is where consume has its messages from. Without a queue it is a temporary one, bound to exchanges.
type source struct {
	queues           queuesFlag
	bindings         bindingsFlag
	declare          bool
	declareType      string
	declareArguments headerFlag
	offset           any // in a stream; nil: it is not said to be one
	exclusive        bool
	priority         *int32 // nil: none
	arguments        headerFlag
}

func (f *source) add(cmd *cobra.Command) {
	f.declareArguments, f.arguments = headerFlag{}, headerFlag{}
	flags := cmd.Flags()
	flags.Var(&f.queues, "queue", "queue to consume; may be repeated, and the other settings are for each of them")
	flags.Var(&f.bindings, "bind", "bind an exchange to the queue; may be repeated; without --queue, to a temporary one")
	flags.BoolVar(&f.declare, "declare", false, "create the queue, durable, if it is missing (without this, wait for it)")
	choose(cmd, &f.declareType, "declare-type", "of which type to create it (default that of the virtual host)", "classic", "quorum", "stream")
	flags.Var(f.declareArguments, "declare-argument", "an argument to create it with, typed as --argument; may be repeated")
	flags.Var(streamOffset(&f.offset), "stream-offset", "the queue is a stream, to be read from there; with --declare, create a stream (default next, if it is one)")
	flags.BoolVar(&f.exclusive, "exclusive", false, "be the queue's only consumer, or wait until the others have gone")
	flags.Var(consumerPriority{&f.priority}, "priority", "of this consumer: those with a higher one get messages first (default 0)")
	flags.Var(f.arguments, "argument", "an argument of basic.consume, as text, or with a type: x-n:int=5 (int, float, bool or text); may be repeated")
	for _, flag := range []string{"queue", "bind", "declare-argument", "priority", "argument"} {
		complete(cmd, flag)
	}
	complete(cmd, "stream-offset", "first", "last", "next")
}

// isTemporary tells whether the queue is one that the broker names, and that ends with the connection.
func (f *source) isTemporary() bool { return len(f.queues) == 0 && len(f.bindings) > 0 }

// isStream tells whether the flags say that it is one.
func (f *source) isStream() bool {
	return f.offset != nil || f.declareType == "stream" || f.declareArguments["x-queue-type"] == "stream"
}

// check returns what is wrong with the flags together.
func (f *source) check() error {
	_, typed := f.declareArguments["x-queue-type"]
	switch {
	case len(f.queues) == 0 && len(f.bindings) == 0:
		return errors.New("--queue is missing")
	case f.isTemporary() && f.declare:
		return errors.New("--declare: --queue is missing; without one the queue is temporary, and created in any case")
	case !f.isTemporary() && len(f.bindings) > 0 && !f.declare:
		return errors.New("--bind: with --queue, only with --declare")
	case f.declareType != "" && !f.declare:
		return errors.New("--declare-type: only with --declare")
	case len(f.declareArguments) > 0 && !f.declare && !f.isTemporary():
		return errors.New("--declare-argument: only with --declare")
	case f.isTemporary() && typed:
		return errors.New("--declare-argument x-queue-type: a temporary queue is always classic")
	case f.isTemporary() && f.offset != nil:
		return errors.New("--stream-offset: a temporary queue is no stream")
	case f.declareType != "" && typed:
		return errors.New("--declare-argument x-queue-type: with --declare-type, it is said twice")
	case f.offset != nil && f.declareType != "" && f.declareType != "stream":
		return errors.New("--stream-offset: a queue of --declare-type " + f.declareType + " is no stream")
	case f.offset != nil && typed && f.declareArguments["x-queue-type"] != "stream":
		return errors.New("--stream-offset: a queue with that x-queue-type is no stream")
	case f.arguments["x-stream-offset"] != nil:
		return errors.New("--argument x-stream-offset: use --stream-offset")
	case f.arguments["x-priority"] != nil && f.priority != nil:
		return errors.New("--argument x-priority: with --priority, it is said twice")
	}
	return nil
}

// apply sets what is the same for each queue.
func (f *source) apply(s *consumer.Subscription) {
	s.Exclusive, s.Bindings = f.exclusive, f.bindings
	if len(f.arguments) > 0 || f.priority != nil {
		s.Arguments = maps.Clone(map[string]any(f.arguments))
	}
	if f.priority != nil {
		s.Arguments["x-priority"] = *f.priority
	}
	if f.offset != nil {
		s.Stream = &consumer.Stream{Offset: f.offset}
	}
	switch {
	case f.isTemporary(): // exclusive is enough: one that is deleted with its consumer would lose what comes meanwhile
		s.Declare = &broker.QueueOptions{Exclusive: true}
	case f.declare:
		s.Declare = &broker.QueueOptions{Durable: true}
	default:
		return
	}
	arguments := maps.Clone(map[string]any(f.declareArguments))
	if f.declareType != "" {
		arguments["x-queue-type"] = f.declareType
	} else if f.offset != nil {
		arguments["x-queue-type"] = "stream"
	}
	if len(arguments) > 0 {
		s.Declare.Arguments = arguments
	}
}

// each is a subscription to each queue.
func (f *source) each(s consumer.Subscription) []consumer.Subscription {
	if len(f.queues) == 0 {
		return []consumer.Subscription{s}
	}
	all := make([]consumer.Subscription, len(f.queues))
	for i, queue := range f.queues {
		all[i] = s
		all[i].Queue = queue
	}
	return all
}

// queuesFlag is --queue, which may be given several times.
type queuesFlag []string

func (queuesFlag) Type() string   { return "QUEUE" }
func (queuesFlag) String() string { return "" }

func (f *queuesFlag) Set(text string) error {
	if slices.Contains(*f, text) {
		return errors.New("it is there twice")
	}
	if text == "" {
		return errors.New("empty")
	}
	*f = append(*f, text)
	return broker.CheckName(text)
}

// bindingsFlag is --bind, which may be given several times.
type bindingsFlag []broker.Binding

func (bindingsFlag) Type() string   { return "EXCHANGE/KEY" }
func (bindingsFlag) String() string { return "" }

func (f *bindingsFlag) Set(text string) error {
	exchange, key, _ := strings.Cut(text, "/")
	if exchange == "" {
		return errors.New("expected EXCHANGE/KEY, such as events/user.#, or EXCHANGE for no key")
	}
	*f = append(*f, broker.Binding{Exchange: exchange, RoutingKey: key})
	return errors.Join(broker.CheckName(exchange), broker.CheckName(key))
}

// consumerPriority is --priority of consume: unlike that of a message it may be negative.
type consumerPriority struct{ target **int32 }

func (consumerPriority) Type() string   { return "N" }
func (consumerPriority) String() string { return "" }

func (f consumerPriority) Set(text string) error {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return errors.New("expected a whole number, such as 10 or -5")
	}
	priority := int32(n)
	*f.target = &priority
	return nil
}
