package consumer

import (
	"maps"
	"math"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Headers of a message that was published again because its handler failed: to be retried after a delay,
// or into a parking queue.
const (
	// HeaderAttempts is how often the handler has been called for the message so far (int64); see [Attempts].
	// Take it off a message that is moved back from the parking queue, or its next failure parks it again.
	HeaderAttempts = "x-everhop-attempts"
	// HeaderError is the text of the last failure: valid UTF-8, at most 1 KiB.
	HeaderError = "x-everhop-error"
	// HeaderFirstFailed and HeaderLastFailed are when the handler failed first and last (timestamp, so in
	// seconds).
	HeaderFirstFailed = "x-everhop-first-failed"
	HeaderLastFailed  = "x-everhop-last-failed"
	// HeaderQueue is the queue from which the message was consumed.
	HeaderQueue = "x-everhop-queue"
	// HeaderHost is the name of the host on which the handler failed last.
	HeaderHost = "x-everhop-host"
	// HeaderExchange and HeaderRoutingKey are what the message was published with before any of this.
	HeaderExchange   = "x-everhop-exchange"
	HeaderRoutingKey = "x-everhop-routing-key"
	// HeaderExpiration is the expiration property, which is taken off: a message that waits for a human or
	// for its next attempt must not vanish.
	HeaderExpiration = "x-everhop-expiration"
	// HeaderUserID is the user-id property, which is taken off: the broker refuses it from another user.
	HeaderUserID = "x-everhop-user-id"
	// HeaderRaw is the content header of a message that could not be read, as it came in (bytes), in place of its
	// headers; see broker.UnreadableError.
	HeaderRaw = "x-everhop-raw-header"
	// HeaderCC is the CC header, which is taken off: the broker would send copies to its routing keys again.
	HeaderCC = "x-everhop-cc"
)

const ourHeaders = 12 // at most are added

// maxErrorText is how many bytes of an error go into HeaderError.
const maxErrorText = 1 << 10

// Attempts is how often the handler was called for this message before, as its header says: counted are
// the calls after which it was tried again in place, delayed or parked, not those after which it was put
// back or its connection was lost. It is 0 when there is no such header, or one that is not a number.
func Attempts(d *Delivery) int {
	switch v := reflect.ValueOf(d.Headers[HeaderAttempts]); {
	case v.CanInt():
		return int(min(max(v.Int(), 0), math.MaxInt32))
	case v.CanUint():
		return int(min(v.Uint(), math.MaxInt32))
	}
	return 0
}

// headers are those of the message that is published again, with what tells of its failure.
func (r *republisher) headers(d *Delivery, why failure) map[string]any {
	h := carried(d)
	if _, there := h[HeaderFirstFailed]; !there { // what an earlier round says goes before
		h[HeaderFirstFailed] = why.first
	}
	h[HeaderLastFailed] = why.last
	h[HeaderAttempts] = int64(why.attempts)
	h[HeaderError] = errorText(why.reason)
	h[HeaderQueue] = d.Queue
	h[HeaderHost] = r.host
	if d.Expiration != "" {
		h[HeaderExpiration] = d.Expiration
	}
	return h
}

// carried are the delivery's headers without those that would hurt, and with what it would lose otherwise.
func carried(d *Delivery) map[string]any {
	h := make(map[string]any, len(d.Headers)+ourHeaders)
	if d.Unreadable != nil {
		h[HeaderRaw] = d.Unreadable.RawHeader
	} else {
		maps.Copy(h, d.Headers)
	}
	// RabbitMQ drops a message that dead-letters into a queue in which it died before, unless it was
	// rejected on the way (https://www.rabbitmq.com/docs/dlx#dead-letter-cycle); x-death is how it knows.
	// x-first-death-* stay, until RabbitMQ sees no x-death when the delay is over, and writes them anew.
	delete(h, "x-death")
	delete(h, "x-delivery-count") // these two are about the original's place in a quorum queue or a stream
	delete(h, "x-stream-offset")

	earlier := func(name string, value any) { // what an earlier round says goes before
		if _, there := h[name]; !there {
			h[name] = value
		}
	}
	earlier(HeaderExchange, d.Exchange)
	earlier(HeaderRoutingKey, d.RoutingKey)
	if d.UserID != "" {
		h[HeaderUserID] = d.UserID
	}
	if cc, there := h["CC"]; there {
		h[HeaderCC] = cc
		delete(h, "CC")
	}
	return h
}

func errorText(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= maxErrorText {
		return text
	}
	end := maxErrorText
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
