package consumer

import (
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/everhop/everhop/broker"
)

// Headers of a message that was published again because its handler failed: to be retried after a delay, or into a
// parking queue. One that was saved (HeaderSaved) has HeaderExchange, HeaderRoutingKey and HeaderUserID. If they fit
// into no frame together with the message's own, only HeaderAttempts, HeaderQueue, HeaderOriginQueue, HeaderParkingQueue,
// HeaderExchange, HeaderRoutingKey, HeaderExpiration and HeaderUserID are added; if that is too much, a message is parked
// with those of them that it came with.
const (
	// HeaderAttempts is how often the handler has been called for the message so far (int64); see [Attempts].
	// Take it off a message that is moved back from the parking queue, or its next failure parks it again.
	HeaderAttempts = "x-everhop-attempts"
	// HeaderError is the text of the last failure: valid UTF-8, at most 1 KiB, without the middle of what is longer.
	HeaderError = "x-everhop-error"
	// HeaderFirstFailed and HeaderLastFailed are when the handler failed first and last (timestamp, so in
	// seconds).
	HeaderFirstFailed = "x-everhop-first-failed"
	HeaderLastFailed  = "x-everhop-last-failed"
	// HeaderQueue is the queue from which the message was consumed.
	HeaderQueue = "x-everhop-queue"
	// HeaderOriginQueue is the queue from which a message was consumed before a consumer of the parking queue (see
	// [IsParked]) has got it, and parked it again: then HeaderQueue is the parking queue. It is written once, and taken off
	// when the message fails in a queue that is none: somebody has moved it there, and that is where it comes from then.
	HeaderOriginQueue = "x-everhop-origin-queue"
	// HeaderParkingQueue is the parking queue into which the message was published last, whatever its name.
	HeaderParkingQueue = "x-everhop-parking-queue"
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

// ours are the headers that are added, and for whom.
var ours = []struct {
	name      string
	essential bool // without it the message cannot be brought back to where it was, or is tried for ever
}{
	{HeaderAttempts, true}, {HeaderQueue, true}, {HeaderExchange, true}, {HeaderRoutingKey, true}, {HeaderExpiration, true}, {HeaderUserID, true},
	{HeaderOriginQueue, true}, {HeaderParkingQueue, true},
	{HeaderError, false}, {HeaderFirstFailed, false}, {HeaderLastFailed, false}, {HeaderHost, false}, {HeaderSaved, false},
	// HeaderRaw and HeaderCC are not added, but in place of others.
}

// notOurs is what becomes of the headers that brokers add, and of those on which they act, when a message is published
// again. What is not here is kept, whoever it is from: to lose what an application needs would be worse than to pass
// on what a broker once said, and on no other of its words a broker acts. So x-received-from of a federation is kept,
// x-shovelled, x-delay, and x-opt-*, the annotations of AMQP 1.0.
var notOurs = []struct {
	name string // * at the end stands for anything
	fate fate
}{
	// RabbitMQ drops a message that dead-letters into a queue in which it died before, unless it was
	// rejected on the way (https://www.rabbitmq.com/docs/dlx#dead-letter-cycle); x-death is how it knows.
	{"x-death", dropped},
	// These two say where it came from, and have no bearing on where it goes. RabbitMQ writes them anew when it
	// dies without an x-death: so after a delay they tell of the delay queue.
	{"x-first-death-*", kept},
	{"x-last-death-*", kept}, // from 3.13 on
	// The original's place in its queue, which the copy does not have.
	{deliveryCount, dropped},      // a quorum queue
	{"x-acquired-count", dropped}, // a quorum queue, from 4.3 on
	{streamOffset, dropped},       // a stream
	// The broker would send copies to its routing keys again. It takes BCC off itself.
	{"CC", renamed}, // HeaderCC
	// It was for the publisher of the copy that came back.
	{broker.HeaderPublishID, dropped},
}

type fate int

const (
	kept fate = iota
	dropped
	renamed
)

func fateOf(header string) fate {
	for _, row := range notOurs {
		if prefix, all := strings.CutSuffix(row.name, "*"); row.name == header || all && strings.HasPrefix(header, prefix) {
			return row.fate
		}
	}
	return kept
}

// detail is how much a message that is published again is told. It is less than all where that fits into no frame.
type detail int

const (
	everything detail = iota
	essentials
	nothingNew
)

func (much detail) String() string {
	return [...]string{"all of ours", "few of ours", "no new ones of ours"}[much]
}

// maxErrorText is how many bytes of an error go into HeaderError.
const maxErrorText = 1 << 10

// Attempts is how often the handler was called for this message before, as its header says: counted are
// the calls after which it was tried again in place, delayed or parked, not those after which it was put
// back or its connection was lost. It is 0 when there is no such header, or one that is not a number, and when it
// counts the calls for another queue (HeaderQueue): from there somebody has published the message on, headers and all.
func Attempts(d *Delivery) int {
	if of, said := d.Headers[HeaderQueue].(string); said && of != d.Queue {
		return 0
	}
	n, _ := integer(d.Headers[HeaderAttempts])
	return max(0, n)
}

// headers are the delivery's, as far as they are kept, and ours: what tells of a failure.
func (r *republisher) headers(d *Delivery, why failure, much detail) map[string]any {
	h := carried(d)
	r.tell(h, d, why)
	for _, our := range ours {
		if much == everything || much == essentials && our.essential {
			continue
		}
		delete(h, our.name)
		if had, there := d.Headers[our.name]; there && our.essential && d.Unreadable == nil { // there was room for it
			h[our.name] = had
		}
	}
	return h
}

// carried are the delivery's headers, as far as they are kept.
func carried(d *Delivery) map[string]any {
	if d.Unreadable != nil {
		return map[string]any{HeaderRaw: d.Unreadable.RawHeader}
	}
	return CarriedHeaders(d.Headers)
}

// CarriedHeaders are those of a delivery that go along when its message is published again, be it by a consumer or by
// a program that moves messages: without x-death and others that a broker has added and would take for its own, and
// with HeaderCC for CC. The table is the caller's; what is in it is shared.
func CarriedHeaders(headers map[string]any) map[string]any {
	h := make(map[string]any, len(headers)+len(ours))
	for name, value := range headers {
		switch fateOf(name) {
		case kept:
			h[name] = value
		case renamed:
			h[HeaderCC] = value
		}
	}
	return h
}

// tellOrigin adds where the message was published to, and by whom. What an earlier round says goes before.
func tellOrigin(h map[string]any, d *Delivery) {
	earlier(h, HeaderExchange, d.Exchange)
	earlier(h, HeaderRoutingKey, d.RoutingKey)
	if d.UserID != "" {
		h[HeaderUserID] = d.UserID
	}
}

func earlier(h map[string]any, name string, value any) {
	if _, there := h[name]; !there {
		h[name] = value
	}
}

// tell adds ours.
func (r *republisher) tell(h map[string]any, d *Delivery, why failure) {
	tellOrigin(h, d)
	if why.attempts > Attempts(d) { // its handler has had it
		delete(h, HeaderSaved)
	}
	tellCounted(h, d, why)
	if why.parkedIn != "" {
		h[HeaderParkingQueue] = why.parkedIn
	}
	h[HeaderLastFailed] = why.last
	h[HeaderError] = errorText(why.reason)
	h[HeaderHost] = r.host
	if d.Expiration != "" {
		h[HeaderExpiration] = d.Expiration
	}
}

// tellCounted adds what counts: how often it has failed, since when, and in which queue.
func tellCounted(h map[string]any, d *Delivery, why failure) {
	if !IsParked(d.Headers, d.Queue) {
		delete(h, HeaderOriginQueue)
	} else if origin, said := h[HeaderQueue].(string); said && origin != d.Queue {
		earlier(h, HeaderOriginQueue, origin)
	}
	earlier(h, HeaderFirstFailed, why.first)
	h[HeaderAttempts], h[HeaderQueue] = int64(why.attempts), d.Queue
}

// next is the delivery for its next turn here, which knows of those before.
func (f *failure) next() *Delivery {
	d := *f.delivery
	d.Headers = maps.Clone(d.Headers)
	if d.Headers == nil {
		d.Headers = map[string]any{}
	}
	tellCounted(d.Headers, f.delivery, *f)
	return &d
}

// errorText leaves out what is in the middle, if need be: an error begins with what failed, and ends with why.
func errorText(text string) string {
	const gap = " ... "
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= maxErrorText {
		return text
	}
	begin, end := maxErrorText/2-len(gap), len(text)-maxErrorText/2
	for !utf8.RuneStart(text[begin]) {
		begin--
	}
	for !utf8.RuneStart(text[end]) {
		end++
	}
	return text[:begin] + gap + text[end:]
}
