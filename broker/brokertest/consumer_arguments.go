package brokertest

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// consumerArgument is one that consumers of queues of some kinds may have.
type consumerArgument struct {
	kinds  kind
	where  versions.Feature // of the versions that have it; "" is all
	unless versions.Feature // of those that do not
	read   func(c *consumer, value any) (problem string)
}

// consumerArguments are those that are known. Nothing comes of those that have no read: a broker that fails over is not
// played here, and a filter of a stream may let all pass, as it may with RabbitMQ.
var consumerArguments = map[string]consumerArgument{
	"x-priority": {kinds: classic | quorum, read: func(c *consumer, v any) string {
		var ok bool
		if c.priority, ok = integer(v); !ok {
			return "\"expected integer, got " + typeName(v) + "\""
		}
		return ""
	}},
	consumerTimeout: {kinds: quorum, where: versions.ChecksTimeouts, read: func(c *consumer, v any) string {
		milliseconds, problem := count(v, math.MaxUint32)
		c.patience = time.Duration(milliseconds) * time.Millisecond
		return problem
	}},
	offsetHeader: {kinds: stream, read: func(c *consumer, v any) (problem string) {
		c.offset, problem = c.queue.begin(v)
		return problem
	}},
	"x-cancel-on-ha-failover": {kinds: classic, unless: versions.NamesTypes, read: func(_ *consumer, v any) string {
		if _, ok := v.(bool); !ok {
			return "{unacceptable_type," + typeName(v) + "}"
		}
		return ""
	}},
	"x-stream-filter":           {kinds: stream, where: versions.NamesTypes},
	"x-stream-match-unfiltered": {kinds: stream, where: versions.NamesTypes},
}

// readArguments takes over what the consumer was asked for with.
func (c *consumer) readArguments(arguments wire.Table) error {
	q := c.queue
	server := q.host.server
	c.patience = noTTL
	c.offset = len(q.log)
	invalid := func(name, format string, args ...any) error {
		return refuse(preconditionFailed, "invalid arg '%s' for queue '%s' in vhost '%s'"+format, append([]any{name, q.name, q.host.name}, args...)...)
	}
	var misplaced error
	for _, name := range slices.Sorted(maps.Keys(arguments)) {
		a, known := consumerArguments[name]
		switch {
		case !known, a.where != "" && !server.has(a.where), a.unless != "" && server.has(a.unless):
			if err := server.unknown("basic.consume", name); err != nil {
				return err
			}
		case a.kinds&q.kind == 0:
			misplaced = invalid(name, " of queue type rabbit_%s_queue", q.kind)
		case a.read != nil:
			switch problem := a.read(c, arguments[name]); problem {
			case "":
			case crash:
				return refuse(internalError, "")
			default:
				return invalid(name, ": %s", problem)
			}
		}
	}
	return misplaced
}
