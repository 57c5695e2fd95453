package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

// value is a flag that knows what it accepts, and says so when it gets something else.
type value[T comparable] struct {
	target *T
	kind   string // in the help: "--prefetch N"
	want   string // "a whole number from 1 to 65535"
	parse  func(string) (T, bool)
}

func (v value[T]) Type() string { return v.kind }

// String is the default in the help, empty for none.
func (v value[T]) String() string {
	var zero T
	if v.target == nil || *v.target == zero {
		return ""
	}
	return fmt.Sprint(*v.target)
}

func (v value[T]) Set(text string) error {
	parsed, ok := v.parse(text)
	if !ok {
		return errors.New("expected " + v.want)
	}
	*v.target = parsed
	return nil
}

// noMost is for numbers without an upper limit.
const noMost = math.MaxInt

// number accepts whole numbers from 1 to most.
func number(target *int, most int) value[int] {
	want := fmt.Sprintf("a whole number from 1 to %d", most)
	if most == noMost {
		want = "a whole number, 1 or more"
	}
	return value[int]{target, "N", want,
		func(text string) (int, bool) {
			n, err := strconv.Atoi(text)
			return n, err == nil && n >= 1 && n <= most
		}}
}

// limitOfDeliveries accepts whole numbers; 0 is for none.
func limitOfDeliveries(target *int) value[int] {
	return value[int]{target, "N", "a whole number, 0 or more",
		func(text string) (int, bool) {
			n, err := strconv.Atoi(text)
			if n == 0 {
				return consumer.NoDeliveryLimit, err == nil
			}
			return n, err == nil && n > 0
		}}
}

// period accepts durations from a millisecond to most.
func period(target *time.Duration, most time.Duration) value[time.Duration] {
	return value[time.Duration]{target, "DURATION", fmt.Sprintf("a duration between 1ms and %.0fs, such as 1500ms or 10s", most.Seconds()),
		func(text string) (time.Duration, bool) {
			d, err := time.ParseDuration(text)
			return d, err == nil && d >= time.Millisecond && d <= most
		}}
}

// seconds accepts durations of least to most whole seconds, which is all that AMQP can say.
func seconds(target *time.Duration, least, most time.Duration) value[time.Duration] {
	return value[time.Duration]{target, "DURATION", fmt.Sprintf("whole seconds between %.0fs and %.0fs, such as 10s", least.Seconds(), most.Seconds()),
		func(text string) (time.Duration, bool) {
			d, err := time.ParseDuration(text)
			return d, err == nil && d%time.Second == 0 && d >= least && d <= most
		}}
}

// age is what RabbitMQ takes as one: it is counted from when the stream is read.
var age = regexp.MustCompile(`^[0-9]+[YMDhms]$`)

// streamOffset accepts what consumer.Stream does.
func streamOffset(target *any) value[any] {
	return value[any]{target, "first|last|next|N|TIME",
		"first, last, next, an offset, a time such as 2026-01-31T12:00:00Z, or an age such as 2h",
		func(text string) (any, bool) {
			if text == "first" || text == "last" || text == "next" || age.MatchString(text) {
				return text, true
			}
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				return n, n >= 0
			}
			at, err := time.Parse(time.RFC3339, text)
			return at, err == nil
		}}
}

// nameFlag is a flag for what the broker takes as a name.
type nameFlag struct{ value[string] }

// name accepts names of queues, exchanges and consumers, and routing keys.
func name(target *string, kind string) nameFlag {
	return nameFlag{value[string]{target: target, kind: kind}}
}

func (f nameFlag) Set(text string) error {
	*f.target = text
	return broker.CheckName(text)
}

// choose adds a flag with a few possible values, which the shell can complete.
func choose(cmd *cobra.Command, target *string, flag, usage string, choices ...string) {
	want := strings.Join(choices[:len(choices)-1], ", ") + " or " + choices[len(choices)-1]
	cmd.Flags().Var(value[string]{target, strings.Join(choices, "|"), want,
		func(text string) (string, bool) { return text, slices.Contains(choices, text) }}, flag, usage)
	complete(cmd, flag, choices...)
}

// complete offers the choices for a flag, and never the names of files.
func complete(cmd *cobra.Command, flag string, choices ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // a flag that does not exist: no test would pass
	}
}
