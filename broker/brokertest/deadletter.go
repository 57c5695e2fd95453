package brokertest

import (
	"fmt"
	"maps"
	"slices"
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
		cc:         e.cc,
		bcc:        e.bcc,
		properties: e.properties,
		body:       e.body,
		ttl:        noTTL, // or it would expire there at once, too
	}
	if q.deadKey != nil {
		msg.key, msg.cc, msg.bcc = *q.deadKey, nil, nil
	}
	before, first := q.host.server.deathsOf(e.message)
	msg.deaths = q.die(e, reason, before)
	headers := maps.Clone(e.properties.Headers)
	if headers == nil {
		headers = wire.Table{}
	}
	if q.deadKey != nil && !q.host.server.has(versions.KeepsCopies) {
		delete(headers, "CC")
	}
	headers["x-death"] = msg.deaths
	if first {
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
	if x.name == "" {
		q.host.server.reply(msg)
	}
	for _, target := range x.route(msg) {
		if target.kind == stream && !q.host.server.has(versions.StreamsTakeLetters) {
			continue
		}
		if !cycle(target, msg.deaths) {
			target.publish(msg, failed)
		}
	}
}

// deathsOf is the message's x-death before its next death, the last one first, and whether that is its first. Some
// versions take what anybody has published there for true; others go by what they know themselves.
func (s *Server) deathsOf(m *message) (deaths []any, first bool) {
	if s.has(versions.KnowsDeaths) {
		return m.deaths, m.deaths == nil
	}
	header, given := m.properties.Headers["x-death"]
	list, _ := header.([]any)
	return grouped(list), !given
}

// grouped counts deaths in the same queue for the same reason in one place. Where there are several, they come out in
// the opposite order, as they do there.
func grouped(deaths []any) (groups []any) {
	type place struct{ queue, reason string }
	if len(deaths) < 2 {
		return deaths
	}
	at := func(death wire.Table) place { return place{fmt.Sprint(death["queue"]), fmt.Sprint(death["reason"])} }
	times := make(map[place]int64)
	for _, value := range deaths {
		if death, ok := value.(wire.Table); ok {
			times[at(death)]++
		}
	}
	for _, value := range deaths {
		death, ok := value.(wire.Table)
		if !ok || times[at(death)] == 0 {
			continue // it is no death, or among those that there are
		}
		if _, counted := death["count"]; !counted {
			death = wire.Clone(death)
			death["count"] = times[at(death)]
		}
		times[at(death)] = 0
		groups = append(groups, death)
	}
	slices.Reverse(groups)
	return groups
}

// die is x-death with one death more.
func (q *queue) die(e *entry, reason string, before []any) []any {
	keys := []any{e.key}
	for _, key := range e.cc {
		keys = append(keys, key)
	}
	death := wire.Table{
		"count":        int64(1),
		"reason":       reason,
		"queue":        q.name,
		"time":         time.Now().UTC().Truncate(time.Second),
		"exchange":     e.exchange,
		"routing-keys": keys,
	}
	if e.properties.Expiration != "" {
		death["original-expiration"] = e.properties.Expiration
	}
	deaths := []any{death}
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
	if q.kind == stream {
		return e.properties
	}
	server := q.host.server
	counted := e.returns > 0 || got && server.has(versions.CountsFromZero)
	acquired := e.acquired > 0 && server.has(versions.Acquired)
	if q.kind != quorum || !counted && !acquired {
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
