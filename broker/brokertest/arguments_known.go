package brokertest

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
)

// segmentSize may not be above maxSegment, which RabbitMQ says in other words than of the rest.
const (
	segmentSize = "x-stream-max-segment-size-bytes"
	maxSegment  = 3_000_000_000
)

// crash is what is wrong with an argument over which RabbitMQ fails, instead of refusing it.
const crash = "crash"

// everyArgument, in the order in which RabbitMQ checks and compares them, but that the type comes first. Those that are
// not here are refused: a test that sets one expects something to come of it. Of those that RabbitMQ needs for what
// this broker has not, such as disks and other nodes, nothing comes.
var everyArgument = []argument{
	{name: "x-queue-type", kinds: allKinds, read: readQueueType},
	{name: "x-expires", kinds: classic | quorum, read: func(l *limits, v any) string {
		milliseconds, problem := count(v, math.MaxUint32)
		l.lease = time.Duration(milliseconds) * time.Millisecond
		if problem == "" && milliseconds == 0 {
			return "{value_zero,0}"
		}
		return problem
	}},
	{name: "x-message-ttl", kinds: classic | quorum, read: func(l *limits, v any) string {
		milliseconds, problem := count(v, math.MaxUint32)
		l.ttl = time.Duration(milliseconds) * time.Millisecond
		return problem
	}},
	{name: "x-dead-letter-exchange", kinds: classic | quorum, read: func(l *limits, v any) (problem string) {
		l.deadExchange, l.deadLetters = v.(string)
		return unlessOK(l.deadLetters, v)
	}},
	{name: "x-dead-letter-routing-key", kinds: classic | quorum, read: func(l *limits, v any) string {
		key, ok := v.(string)
		l.deadKey = &key
		if ok && !l.deadLetters {
			return "routing_key_but_no_dlx_defined"
		}
		return unlessOK(ok, v)
	}},
	{name: "x-dead-letter-strategy", kinds: quorum,
		read: oneOf(always("invalid_dlx_strategy"), "at-most-once", "at-least-once")},
	{name: "x-max-length", kinds: classic | quorum, read: func(l *limits, v any) string {
		most, problem := count(v, math.MaxInt64)
		l.maxLength = int(most)
		return problem
	}},
	{name: "x-max-length-bytes", kinds: allKinds, read: func(l *limits, v any) string {
		most, problem := count(v, math.MaxInt64)
		if l.kind != stream { // which forgets whole segments only
			l.maxBytes = int(most)
		}
		return problem
	}},
	{name: "x-max-in-memory-length", kinds: quorum, read: counted},
	{name: "x-max-in-memory-bytes", kinds: quorum, read: counted},
	{name: "x-max-priority", kinds: classic, read: func(l *limits, v any) string {
		most, problem := count(v, math.MaxInt64)
		if problem == "" && most > math.MaxUint8 {
			return fmt.Sprintf("{max_value_exceeded,%d}", most)
		}
		l.maxPriority = int(most)
		return problem
	}},
	{name: "x-overflow", kinds: classic | quorum, read: func(l *limits, v any) string {
		mode, ok := v.(string)
		l.overflow(mode)
		if ok && mode != "drop-head" && mode != "reject-publish" && mode != "reject-publish-dlx" {
			return "invalid_overflow"
		}
		return unlessOK(ok, v)
	}},
	{name: "x-queue-mode", kinds: classic, where: versions.HasLazyQueues,
		read: oneOf(func(mode string) string { return fmt.Sprintf("\"unsupported queue mode '%s'\"", mode) }, "default", "lazy")},
	{name: "x-queue-mode", kinds: classic, unless: versions.HasLazyQueues},
	{name: "x-queue-version", kinds: classic, where: versions.HasLazyQueues, read: queueVersion(1)},
	{name: "x-queue-version", kinds: classic, unless: versions.HasLazyQueues, read: queueVersion(2)},
	{name: "x-single-active-consumer", kinds: classic | quorum, read: func(l *limits, v any) (problem string) {
		var ok bool
		l.singleActive, ok = v.(bool)
		return unlessOK(ok, v)
	}},
	{name: consumerTimeout, kinds: allKinds, where: versions.TimesOutQueues, unasked: true, read: readPatience},
	{name: consumerTimeout, kinds: quorum, where: versions.ChecksTimeouts, read: readPatience},
	{name: "x-consumer-disconnected-timeout", kinds: quorum, where: versions.ChecksTimeouts, read: counted},
	{name: "x-quorum-initial-group-size", kinds: quorum, read: aboveZero},
	{name: "x-max-age", kinds: stream, read: func(_ *limits, v any) string {
		text, ok := v.(string)
		if _, problem := age(text); ok && problem != "" {
			return problem
		}
		return unlessOK(ok, v)
	}},
	{name: segmentSize, kinds: stream, read: counted},
	{name: "x-stream-filter-size-bytes", kinds: stream, where: versions.ChecksTimeouts, read: counted},
	{name: "x-initial-cluster-size", kinds: stream, read: aboveZero},
	{name: leaderLocator, kinds: quorum | stream, read: readLocator},
	{name: leaderLocator, kinds: classic, where: versions.LocatesClassic, read: readLocator},
	{name: masterLocator, kinds: classic},
	{name: deliveryLimit, kinds: quorum, unless: versions.DefaultLimit, read: readLimit},
	{name: deliveryLimit, kinds: quorum, where: versions.DefaultLimit, read: readLimitOrNone},
}

const (
	consumerTimeout = "x-consumer-timeout"
	deliveryLimit   = "x-delivery-limit"
	leaderLocator   = "x-queue-leader-locator"
	masterLocator   = "x-queue-master-locator"
)

var errMasterLocator = refuse(internalError, "Feature `queue_master_locator` is deprecated.\n"+
	"By default, this feature is not permitted anymore.\nThe feature will be removed from a future major RabbitMQ version, "+
	"regardless of the configuration; actual version to be determined.\nTo continue using this feature when it is not permitted by default")

var readLocator = oneOf(always("invalid_queue_locator_arg"), "client-local", "balanced", "random", "least-leaders")

func always(text string) func(string) string { return func(string) string { return text } }

// overflow is what a queue that is full does.
func (l *limits) overflow(mode string) {
	l.overflows = true
	l.deadRejects = mode == "reject-publish-dlx" && l.kind != quorum // which drops the head then
	l.rejectPublish = mode == "reject-publish" || l.deadRejects
}

func readPatience(l *limits, v any) string {
	milliseconds, problem := count(v, math.MaxUint32)
	if problem == "" {
		l.patience = time.Duration(milliseconds) * time.Millisecond
	}
	return problem
}

func readLimit(l *limits, v any) string {
	most, problem := count(v, math.MaxInt32)
	l.deliveryLimit = int(most)
	return problem
}

// readLimitOrNone takes what is negative for no limit.
func readLimitOrNone(l *limits, v any) string {
	if most, ok := integer(v); ok && most < 0 {
		l.deliveryLimit = unlimited
		return ""
	}
	return readLimit(l, v)
}

func aboveZero(_ *limits, v any) string {
	n, problem := count(v, math.MaxInt64)
	if problem == "" && n == 0 {
		return "{value_zero,0}"
	}
	return problem
}

// queueVersion takes the versions of queues from least up to 2.
func queueVersion(least int64) func(*limits, any) string {
	return func(_ *limits, v any) string {
		n, problem := count(v, math.MaxInt64)
		if problem == "" && (n < least || n > 2) {
			return fmt.Sprintf("\"unsupported queue version '%d'\"", n)
		}
		return problem
	}
}

var ages = regexp.MustCompile(`^([0-9]*)(.*)`)

// age reads a time such as 7D.
func age(text string) (time.Duration, string) {
	const day = 24 * time.Hour
	parts := ages.FindStringSubmatch(text)
	unit := map[string]time.Duration{"Y": 365 * day, "M": 30 * day, "D": day, "h": time.Hour, "m": time.Minute, "s": time.Second}[parts[2]]
	n, err := strconv.ParseInt(parts[1], 10, 32)
	if parts[1] == "" {
		return 0, crash
	}
	if err != nil || n == 0 || unit == 0 {
		return 0, "invalid_max_age"
	}
	return time.Duration(n) * unit, ""
}
