package brokertest

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

const unlimited = -1

// limits are what a queue's arguments ask for.
type limits struct {
	quorum        bool
	singleActive  bool
	lease         time.Duration // after which it is deleted when nobody uses it; 0 for none
	ttl           time.Duration // noTTL for none
	maxLength     int           // or unlimited
	rejectPublish bool          // when full, instead of dropping from the head
	deadRejects   bool          // and what was rejected is a dead letter
	deliveryLimit int           // or unlimited
	deadLetters   bool          // there is an exchange for them; its name may be empty
	deadExchange  string
	deadKey       *string // nil: that of the message
}

// argument is one that a queue may be declared with.
type argument struct {
	name string
	// read takes the value over, or says what is wrong with it in RabbitMQ's words.
	read       func(l *limits, value any) (problem string)
	quorumOnly bool // a classic queue cannot be declared with it
}

// arguments in the order in which RabbitMQ compares them. Those that are not here are refused: a test
// that sets one expects something to come of it.
var arguments = []argument{
	{name: "x-queue-type", read: readQueueType},
	{name: "x-expires", read: func(l *limits, v any) string {
		milliseconds, problem := count(v, math.MaxUint32)
		l.lease = time.Duration(milliseconds) * time.Millisecond
		if problem == "" && milliseconds == 0 {
			return "{value_zero,0}"
		}
		return problem
	}},
	{name: "x-message-ttl", read: func(l *limits, v any) string {
		milliseconds, problem := count(v, math.MaxUint32)
		l.ttl = time.Duration(milliseconds) * time.Millisecond
		return problem
	}},
	{name: "x-dead-letter-exchange", read: func(l *limits, v any) (problem string) {
		l.deadExchange, l.deadLetters = v.(string)
		return unlessOK(l.deadLetters, v)
	}},
	{name: "x-dead-letter-routing-key", read: func(l *limits, v any) string {
		key, ok := v.(string)
		l.deadKey = &key
		if ok && !l.deadLetters {
			return "routing_key_but_no_dlx_defined"
		}
		return unlessOK(ok, v)
	}},
	{name: "x-max-length", read: func(l *limits, v any) string {
		most, problem := count(v, math.MaxInt64)
		l.maxLength = int(most)
		return problem
	}},
	{name: "x-overflow", read: func(l *limits, v any) string {
		mode, ok := v.(string)
		l.deadRejects = mode == "reject-publish-dlx" && !l.quorum // which drops the head then
		l.rejectPublish = mode == "reject-publish" || l.deadRejects
		if ok && mode != "drop-head" && mode != "reject-publish" && mode != "reject-publish-dlx" {
			return "invalid_overflow"
		}
		return unlessOK(ok, v)
	}},
	{name: "x-single-active-consumer", read: func(l *limits, v any) (problem string) {
		var ok bool
		l.singleActive, ok = v.(bool)
		return unlessOK(ok, v)
	}},
	{name: "x-delivery-limit", quorumOnly: true, read: func(l *limits, v any) string {
		most, problem := count(v, math.MaxInt32)
		l.deliveryLimit = int(most)
		return problem
	}},
}

func readQueueType(l *limits, v any) string {
	kind, ok := v.(string)
	l.quorum = kind == "quorum"
	if ok && kind != "quorum" && kind != "classic" {
		return fmt.Sprintf("\"unsupported queue type '%s'\"", kind)
	}
	return unlessOK(ok, v)
}

func unlessOK(ok bool, v any) string {
	if ok {
		return ""
	}
	return "{unacceptable_type," + typeName(v) + "}"
}

// count reads an integer from 0 to most.
func count(v any, most int64) (n int64, problem string) {
	n, ok := integer(v)
	switch {
	case !ok:
		return 0, fmt.Sprintf("\"expected integer, got %s\"", typeName(v))
	case n < 0:
		return 0, fmt.Sprintf("{value_negative,%d}", n)
	case n > most:
		return 0, fmt.Sprintf("{value_too_large,%d}", n)
	}
	return n, ""
}

// value is the argument's in a table. A queue of type classic is what no type gives, too.
func (s *Server) value(a argument, t wire.Table) any {
	v := t[a.name]
	switch {
	case a.name != "x-queue-type":
	case s.has(versions.NamesTypes) && v == nil:
		return "classic"
	case !s.has(versions.NamesTypes) && v == "classic":
		return nil
	}
	return v
}

// knowArguments refuses arguments of a declaration that are not known here.
func (h *virtualHost) knowArguments(d declaration) error {
	for name := range d.arguments {
		if !slices.ContainsFunc(arguments, func(a argument) bool { return a.name == name }) {
			if err := h.server.unknown("queue.declare", name); err != nil {
				return err
			}
		}
	}
	if d.arguments["x-queue-type"] == "stream" {
		return refuse(notImplemented, "brokertest has no streams")
	}
	return nil
}

// readArguments makes limits of a declaration.
func (h *virtualHost) readArguments(queue string, d declaration) (limits, error) {
	l := limits{ttl: noTTL, maxLength: unlimited, deliveryLimit: unlimited}
	invalid := func(a argument, format string, args ...any) error {
		return refuse(preconditionFailed, "invalid arg '%s' for queue '%s' in vhost '%s'"+format, append([]any{a.name, queue, h.name}, args...)...)
	}
	for _, a := range arguments {
		value, given := d.arguments[a.name]
		if !given {
			continue
		}
		if a.quorumOnly && !l.quorum {
			return l, invalid(a, " of queue type rabbit_classic_queue")
		}
		if problem := a.read(&l, value); problem != "" {
			if a.name == "x-dead-letter-exchange" { // the one with words of its own
				return l, refuse(preconditionFailed, "invalid type '%s' for arg '%s' in queue '%s' in vhost '%s'", typeName(value), a.name, queue, h.name)
			}
			return l, invalid(a, ": %s", problem)
		}
	}
	if _, given := d.arguments["x-delivery-limit"]; l.quorum && !given {
		l.deliveryLimit = h.server.deliveryLimit()
	}
	if property := l.notForQuorum(d); property != "" {
		return l, refuse(preconditionFailed, "invalid property '%s' for queue '%s' in vhost '%s'", property, queue, h.name)
	}
	return l, nil
}

// notForQuorum names what a quorum queue cannot be.
func (l limits) notForQuorum(d declaration) string {
	switch {
	case !l.quorum:
	case d.autoDelete:
		return "auto-delete"
	case d.owner != nil:
		return "exclusive-owner"
	case !d.durable:
		return "non-durable"
	}
	return ""
}
