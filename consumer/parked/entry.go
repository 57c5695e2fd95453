package parked

import (
	"cmp"
	"strings"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

// Entry is a message that waits in a parking or dead-letter queue, and what is known about how it came there.
type Entry struct {
	// Message is as it was delivered, with its id, headers and body.
	Message *broker.Delivery
	// Error says why: the text of the last failure if a consumer of Everhop has parked it, several lines with what a
	// command wrote to its standard error; else the reason that the broker gives, such as "rejected"; "" if neither is
	// known.
	Error string
	// From is the queue from which it came, and to which [Retry] publishes it; "" if that is not known.
	From string
	// Times is how often it has failed: calls of its handler, or deaths. 0 if that is not known.
	Times int
	// First and Last are when it failed; zero if that is not known.
	First, Last time.Time
}

// NewEntry reads what the headers of a message tell.
func NewEntry(d *broker.Delivery) *Entry {
	e := &Entry{Message: d}
	e.readOurs(d.Headers)
	e.readDeaths(d.Headers)
	if e.From == "" {
		e.From = text(d.Headers, "x-first-death-queue")
	}
	if e.Error == "" {
		e.Error = text(d.Headers, "x-first-death-reason")
	}
	if d.Unreadable != nil && e.Error == "" {
		e.Error = d.Unreadable.Error()
	}
	return e
}

// readOurs reads what a consumer of Everhop has added.
func (e *Entry) readOurs(headers map[string]any) {
	e.Error = text(headers, consumer.HeaderError)
	e.Times = number(headers, consumer.HeaderAttempts)
	e.First, _ = headers[consumer.HeaderFirstFailed].(time.Time)
	e.Last, _ = headers[consumer.HeaderLastFailed].(time.Time)
	// The latter is the parking queue, if it was consumed from there and parked again.
	e.From = cmp.Or(text(headers, consumer.HeaderOriginQueue), text(headers, consumer.HeaderQueue))
}

// readDeaths reads x-death: a table for each queue and reason, the latest first. What ours have said goes before, if the
// message died in the queue that they are about, or in the parking queue, from which it has only gone on. Otherwise somebody
// has moved it since.
func (e *Entry) readDeaths(headers map[string]any) {
	deaths, _ := headers["x-death"].([]any)
	var times int
	var reason, from string
	moved := true
	var first, last time.Time
	for _, death := range deaths {
		d, ok := death.(map[string]any)
		if !ok {
			continue
		}
		times += number(d, "count")
		queue := text(d, "queue")
		from = cmp.Or(from, queue)
		moved = moved && queue != text(headers, consumer.HeaderQueue) && !consumer.IsParked(headers, queue)
		reason = cmp.Or(reason, text(d, "reason"))
		if at, ok := d["time"].(time.Time); ok { // of the first death for that reason
			if first.IsZero() || at.Before(first) {
				first = at
			}
			if at.After(last) {
				last = at
			}
		}
	}
	if from != "" && moved {
		*e = Entry{Message: e.Message}
	}
	e.Error, e.From, e.Times = cmp.Or(e.Error, reason), cmp.Or(e.From, from), cmp.Or(e.Times, times)
	if e.First.IsZero() {
		e.First = first
	}
	if e.Last.IsZero() {
		e.Last = last
	}
}

// Headline is the first line of the error.
func (e *Entry) Headline() string {
	line, _, _ := strings.Cut(strings.TrimSpace(e.Error), "\n")
	return strings.TrimSpace(line)
}

func text(table map[string]any, name string) string {
	switch v := table[name].(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

func number(table map[string]any, name string) int {
	switch v := table[name].(type) {
	case int64:
		return int(v)
	case int32:
		return int(v)
	case int16:
		return int(v)
	case int8:
		return int(v)
	case uint8:
		return int(v)
	case uint16:
		return int(v)
	case uint32:
		return int(v)
	}
	return 0
}
