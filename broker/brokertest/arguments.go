package brokertest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

const unlimited = -1

// limits are what a queue's arguments, and its policy, ask for.
type limits struct {
	kind
	singleActive  bool
	lease         time.Duration // after which it is deleted when nobody uses it; 0 for none
	ttl           time.Duration // noTTL for none
	maxLength     int           // or unlimited
	maxBytes      int           // of bodies, or unlimited
	maxPriority   int           // 0: there are none
	overflows     bool          // x-overflow is given
	rejectPublish bool          // when full, instead of dropping from the head
	deadRejects   bool          // and what was rejected is a dead letter
	deliveryLimit int           // or unlimited
	patience      time.Duration // with an acknowledgement; noTTL for any
	deadLetters   bool          // there is an exchange for them; its name may be empty
	deadExchange  string
	deadKey       *string // nil: that of the message
}

// kind is a type of queues, or several.
type kind uint8

const (
	classic kind = 1 << iota
	quorum
	stream

	allKinds = classic | quorum | stream
)

func (k kind) String() string {
	return map[kind]string{classic: "classic", quorum: "quorum", stream: "stream"}[k]
}

// argument is one that queues of some kinds may be declared with.
type argument struct {
	name    string
	kinds   kind
	where   versions.Feature // of the versions that have it so; "" is all
	unless  versions.Feature // of those that have it in another way
	unasked bool             // it is neither checked nor compared
	// read takes the value over, or says what is wrong with it in RabbitMQ's words; nil takes anything.
	read func(l *limits, value any) (problem string)
}

// knownArguments are those that the server's version knows.
func (s *Server) knownArguments() (known []argument) {
	for _, a := range everyArgument {
		if (a.where == "" || s.has(a.where)) && (a.unless == "" || !s.has(a.unless)) {
			known = append(known, a)
		}
	}
	return known
}

func readQueueType(l *limits, v any) string {
	name, ok := v.(string)
	if !ok {
		return unlessOK(ok, v)
	}
	for _, k := range []kind{classic, quorum, stream} {
		if k.String() == name {
			l.kind = k
			return ""
		}
	}
	return fmt.Sprintf("\"unsupported queue type '%s'\"", name)
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

// counted reads an integer of which nothing comes.
func counted(_ *limits, v any) string {
	_, problem := count(v, math.MaxInt64)
	return problem
}

// oneOf reads a text of which nothing comes.
func oneOf(otherwise func(text string) string, texts ...string) func(*limits, any) string {
	return func(_ *limits, v any) string {
		text, ok := v.(string)
		if ok && !slices.Contains(texts, text) {
			return otherwise(text)
		}
		return unlessOK(ok, v)
	}
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

// kindsOf are the kinds of queues that have an argument, of the server's version; none if it does not know it.
func (s *Server) kindsOf(name string) (kinds kind) {
	for _, a := range s.known {
		if a.name == name {
			kinds |= a.kinds
		}
	}
	return kinds
}

// knowArguments refuses arguments of a declaration that are not known here.
func (h *virtualHost) knowArguments(d declaration) error {
	for _, name := range slices.Sorted(maps.Keys(d.arguments)) {
		if h.server.kindsOf(name) == 0 {
			if err := h.server.unknown("queue.declare", name); err != nil {
				return err
			}
		}
	}
	return nil
}

// readArguments makes limits of a declaration.
func (h *virtualHost) readArguments(queue string, d declaration) (limits, error) {
	l := limits{kind: classic, ttl: noTTL, maxLength: unlimited, maxBytes: unlimited, deliveryLimit: unlimited, patience: noTTL}
	known := h.server.known
	invalid := func(name, format string, args ...any) error {
		return refuse(preconditionFailed, "invalid arg '%s' for queue '%s' in vhost '%s'"+format, append([]any{name, queue, h.name}, args...)...)
	}
	for _, a := range known {
		value, given := d.arguments[a.name]
		if !given || a.kinds&l.kind == 0 || a.read == nil {
			continue
		}
		if problem := a.read(&l, value); problem != "" && !a.unasked {
			switch {
			case a.name == "x-dead-letter-exchange": // the one with words of its own
				return l, refuse(preconditionFailed, "invalid type '%s' for arg '%s' in queue '%s' in vhost '%s'", typeName(value), a.name, queue, h.name)
			case problem == crash && !h.server.has(versions.ReadsAges):
				return l, refuse(internalError, "")
			case problem == crash:
				return l, invalid(a.name, ": invalid_max_age")
			}
			return l, invalid(a.name, ": %s", problem)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.arguments)) {
		if kinds := h.server.kindsOf(name); kinds != 0 && kinds&l.kind == 0 {
			return l, invalid(name, " of queue type rabbit_%s_queue", l.kind)
		}
	}
	if property := l.notForReplicated(d); property != "" {
		return l, refuse(preconditionFailed, "invalid property '%s' for queue '%s' in vhost '%s'", property, queue, h.name)
	}
	if _, given := d.arguments[masterLocator]; given && h.server.has(versions.RefusesMasters) {
		return l, errMasterLocator
	}
	if size, _ := integer(d.arguments[segmentSize]); l.kind == stream && size > maxSegment {
		return l, refuse(preconditionFailed, "Exceeded max value for x-stream-max-segment-size-bytes")
	}
	return l, nil
}

// notForReplicated names what a quorum queue and a stream cannot be.
func (l limits) notForReplicated(d declaration) string {
	switch {
	case l.kind == classic:
	case d.autoDelete:
		return "auto-delete"
	case d.owner != nil:
		return "exclusive-owner"
	case !d.durable:
		return "non-durable"
	}
	return ""
}
