package brokertest

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// A stream is a queue that keeps what it has delivered: each consumer reads all of it, from where it likes. The log
// does not forget: RabbitMQ forgets whole segments, of half a gigabyte.

// logged is a message of a stream, and when it came.
type logged struct {
	*entry
	at time.Time
}

// offsetHeader is the header in which a stream says where a message is, and the argument with which a consumer says
// where it begins.
const offsetHeader = "x-stream-offset"

func (q *queue) append(m *message) {
	q.touch()
	e := &entry{message: m}
	q.log = append(q.log, logged{e, q.now})
	q.pushBack(e)
}

// read delivers to each consumer what it has not read, as far as it has room.
func (q *queue) read() {
	for _, c := range slices.Clone(q.consumers) { // a fault at a delivery may end some
		for slices.Contains(q.consumers, c) && c.offset < len(q.log) && c.hasRoom() {
			c.deliver(q.log[c.offset].entry)
			c.offset++
		}
	}
}

// located is a message's properties with its offset.
func located(p wire.Properties, offset int) wire.Properties {
	p.Headers = wire.Clone(p.Headers)
	if p.Headers == nil {
		p.Headers = wire.Table{}
	}
	p.Headers[offsetHeader] = int64(offset)
	return p
}

// readable refuses consumers that a stream cannot have.
func (ch *channel) readable(q *queue, noAck bool) error {
	s := q.host.server
	called := "'" + q.called() + "'"
	if s.has(versions.NamesStreams) {
		called = "stream " + q.called()
	}
	switch {
	case ch.prefetch == 0:
		return refuse(preconditionFailed, "consumer prefetch count is not set for %s", called)
	case noAck && s.has(versions.NamesStreams):
		return refuse(notImplemented, "automatic acknowledgement not supported by %s", called)
	case noAck:
		return refuse(notImplemented, "automatic acknowledgement not supported by stream queues %s", q.called())
	}
	return nil
}

// called is a queue in RabbitMQ's words.
func (q *queue) called() string { return fmt.Sprintf("queue '%s' in vhost '%s'", q.name, q.host.name) }

// begin is the offset that a consumer wants to begin at: the first or the last message, the next one, an offset, which
// may be to come, or the first message after a time or an age.
func (q *queue) begin(value any) (offset int, problem string) {
	since := func(at time.Time) (int, string) {
		return sort.Search(len(q.log), func(i int) bool { return !q.log[i].at.Before(at) }), ""
	}
	switch v := value.(type) {
	case nil:
		return len(q.log), ""
	case time.Time:
		return since(v)
	case string:
		switch v {
		case "first":
			return 0, ""
		case "last":
			return max(len(q.log)-1, 0), ""
		case "next":
			return len(q.log), ""
		}
		age, problem := age(v)
		if problem == crash && !q.host.server.has(versions.ReadsAges) {
			return 0, problem
		}
		if problem != "" {
			return 0, "{invalid_stream_offset_arg,{longstr," + erlang(v, q.host.server.has(versions.PrintsUnicode)) + "}}"
		}
		return since(time.Now().Add(-age))
	}
	n, ok := integer(value)
	if !ok {
		return 0, crash
	}
	return int(max(n, 0)), ""
}

// streamRefuses tells whether a nack or a reject is about a message of a stream, which some versions do not take. Others
// take it for an ack.
func (ch *channel) streamRefuses(tag uint64, multiple bool) error {
	if ch.connection.server.has(versions.StreamsAreDeaf) {
		return nil
	}
	for _, d := range ch.unacked.open {
		if d.queue.kind == stream && (d.tag == tag || multiple && (d.tag < tag || tag == 0)) {
			return refuse(notImplemented, "basic.nack and basic.reject not supported by stream queues %s", d.queue.called())
		}
	}
	return nil
}
