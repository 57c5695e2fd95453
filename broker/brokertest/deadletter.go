package brokertest

import (
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// deadLetter routes an entry that the queue gives up to the dead-letter exchange, if there is one.
// Without one, or without a queue behind it, the message is gone.
func (q *queue) deadLetter(e *entry, reason string) {
	if !q.deadLetters {
		return
	}
	x := q.host.exchanges[q.deadExchange]
	if x == nil {
		return
	}
	msg := &message{
		exchange:   q.deadExchange,
		key:        e.key,
		properties: e.properties,
		body:       e.body,
		ttl:        noTTL, // or it would expire there at once, too
	}
	if q.deadKey != nil {
		msg.key = *q.deadKey
	}
	deaths := q.deaths(e, reason)
	headers := wire.Table{"x-death": deaths}
	for name, value := range e.properties.Headers {
		if name != "x-death" {
			headers[name] = value
		}
	}
	if headers["x-first-death-reason"] == nil {
		headers["x-first-death-reason"] = reason
		headers["x-first-death-queue"] = q.name
		headers["x-first-death-exchange"] = e.exchange
	}
	if q.host.server.has(versions.LastDeath) {
		headers["x-last-death-reason"] = reason
		headers["x-last-death-queue"] = q.name
		headers["x-last-death-exchange"] = e.exchange
	}
	msg.properties.Headers = headers
	msg.properties.Expiration = ""
	failed := e.failed && q.host.server.has(versions.DeadRedelivered)
	for _, target := range x.route(msg) {
		if !cycle(target, deaths) {
			target.publish(msg, failed)
		}
	}
}

// deaths is the message's x-death header with one death more, the last one first. Deaths in the same
// queue for the same reason are counted in one place.
func (q *queue) deaths(e *entry, reason string) []any {
	death := wire.Table{
		"count":        int64(1),
		"reason":       reason,
		"queue":        q.name,
		"time":         time.Now().UTC().Truncate(time.Second),
		"exchange":     e.exchange,
		"routing-keys": []any{e.key},
	}
	if e.properties.Expiration != "" {
		death["original-expiration"] = e.properties.Expiration
	}
	deaths := []any{death}
	before, _ := e.properties.Headers["x-death"].([]any)
	for _, value := range before {
		old, ok := value.(wire.Table)
		if ok && old["queue"] == q.name && old["reason"] == reason {
			old = wire.Clone(old)
			times, _ := integer(old["count"])
			old["count"] = times + 1
			deaths[0] = old
			continue
		}
		deaths = append(deaths, value)
	}
	return deaths
}

// cycle tells whether the message was in the target before, and nobody has rejected it since: it would
// go round for ever.
func cycle(target *queue, deaths []any) bool {
	for _, value := range deaths {
		death, ok := value.(wire.Table)
		if !ok || death["reason"] == "rejected" {
			return false
		}
		if death["queue"] == target.name {
			return true
		}
	}
	return false
}

// stamped is the entry's properties as they are delivered: a quorum queue says how often it has
// delivered the message before, and in some versions even that it has not.
func (q *queue) stamped(e *entry, got bool) wire.Properties {
	server := q.host.server
	counted := e.returns > 0 || got && server.has(versions.CountsFromZero)
	acquired := e.acquired > 0 && server.has(versions.Acquired)
	if !q.quorum || !counted && !acquired {
		return e.properties
	}
	properties := e.properties
	properties.Headers = wire.Clone(properties.Headers)
	if properties.Headers == nil {
		properties.Headers = wire.Table{}
	}
	if counted {
		properties.Headers["x-delivery-count"] = int64(e.returns)
	}
	if acquired {
		properties.Headers["x-acquired-count"] = int64(e.acquired)
	}
	return properties
}
