package consumer

import (
	"fmt"
	"maps"
	"sync/atomic"
	"time"
)

// Stream says that a subscription's queue is a stream, and where to begin. A stream keeps its messages
// whatever becomes of them: nothing can be put back into it or dead-lettered from it. What is not
// acknowledged stays, and after a revival it goes on behind the last message up to which all were handled.
// See https://www.rabbitmq.com/docs/streams#consuming.
type Stream struct {
	// Offset is "first", "last", "next", an int or int64 (the offset of a message), a time.Time, or an age
	// such as "2h". Defaults to "next": what is published from now on.
	//
	// As long as nothing has been received, a revival or Resume begins anew there: with "next", what was
	// published meanwhile is passed over; with an offset or a time it is not.
	Offset any
}

const streamOffset = "x-stream-offset" // the argument of basic.consume, and the header of each delivery

func (s *Stream) problem() string {
	switch offset := s.Offset.(type) {
	case nil, time.Time:
	case string:
		if offset == "" {
			return `"" is no offset; leave it out for "next"`
		}
	case int:
		if offset < 0 {
			return fmt.Sprintf("%d is negative", offset)
		}
	case int64:
		if offset < 0 {
			return fmt.Sprintf("%d is negative", offset)
		}
	default:
		return fmt.Sprintf("a %T is no offset: string, int, int64 or time.Time", s.Offset)
	}
	return ""
}

// consumeArguments are those of basic.consume. Where a stream begins is always among them: a queue of another type
// refuses that, and what is passed over in a stream would be lost there.
func (s Subscription) consumeArguments() map[string]any {
	if s.kind() != kindStream {
		return s.Arguments
	}
	arguments := map[string]any{streamOffset: "next"}
	if s.Stream != nil && s.Stream.Offset != nil {
		arguments[streamOffset] = s.Stream.Offset
	}
	maps.Copy(arguments, s.Arguments)
	return arguments
}

// queueKind is whether a queue is a stream or a quorum queue, as far as that is known: it cannot be asked for.
type queueKind struct {
	declared string // x-queue-type, or ""
	v        atomic.Int32
	quorum   atomic.Bool // a message has come back, and a count of that with it
}

const (
	kindUnknown int32 = iota
	kindLooksLikeStream
	kindStream
	kindQueue
)

// name is x-queue-type of the queue, or "" as long as that is not known.
func (k *queueKind) name() string {
	switch {
	case k.isStream():
		return "stream"
	case k.quorum.Load():
		return "quorum"
	}
	return k.declared
}

// declaredType is x-queue-type of the queue as it is declared, or "" where the virtual host decides. What exists may
// be another one.
func (s Subscription) declaredType() string {
	switch declare := s.Declare; {
	case declare == nil:
		return ""
	case !declare.Durable, declare.Exclusive, declare.AutoDelete: // which others cannot be
		return "classic"
	default:
		kind, _ := declare.Arguments["x-queue-type"].(string)
		return kind
	}
}

// kind is what the subscription says of its queue.
func (s Subscription) kind() int32 {
	declared := s.declaredType()
	switch {
	case s.Stream != nil, declared == "stream":
		return kindStream
	case declared != "" && (s.Queue == "" || s.Declare.Strict): // nothing else is consumed
		return kindQueue
	}
	return kindUnknown
}

func (k *queueKind) isStream() bool {
	v := k.v.Load()
	return v == kindStream || v == kindLooksLikeStream
}

// see learns from a delivery. All those of a stream have the header, but so may a message that somebody has
// copied from a stream into another queue: one without it settles that.
func (k *queueKind) see(d *Delivery) {
	if d.Redelivered && !k.quorum.Load() {
		_, delivered := d.Headers[deliveryCount]
		_, acquired := d.Headers["x-acquired-count"]
		if delivered || acquired {
			k.quorum.Store(true)
		}
	}
	v := k.v.Load()
	if v == kindStream || v == kindQueue || d.Unreadable != nil {
		return
	}
	if _, ok := d.Headers[streamOffset]; ok {
		k.v.CompareAndSwap(kindUnknown, kindLooksLikeStream)
	} else {
		k.v.Store(kindQueue)
	}
}

// doubt says that the broker has refused to begin at an offset. It returns false if the caller had said that
// it is a stream.
func (k *queueKind) doubt() bool { return k.v.CompareAndSwap(kindLooksLikeStream, kindQueue) }

// isSaid tells whether the caller has said that it is a stream: only then may a message be acknowledged that
// would be rejected elsewhere, because only a stream keeps it.
func (k *queueKind) isSaid() bool { return k.v.Load() == kindStream }

// onStream puts what a stream can do in the place of what it cannot. If it only looks like one, nothing is done
// by which another queue would lose the message.
func (o outcome) onStream(said bool, pause time.Duration) outcome {
	switch {
	case o.verdict == putBack, o.verdict == requeued && !o.failed: // else the consumer stops or pauses
		o.verdict, o.pause = again, pause
	case o.verdict == rejected && (o.failed || !said): // somebody will want to see it
		o.verdict = parked
	case o.verdict == rejected:
		o.verdict = passedOver
	case o.verdict == delayed, o.verdict == postponed: // in place, since a copy would come back to the end of the stream
		o.verdict = again
	}
	return o
}
