package brokertest

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// What an error on a message's content is about.
const basicClass, publishMethod = 60, 40

// hugeBody is the largest max_message_size.
const hugeBody = 512 << 20

// incoming is a message of which not all frames have come.
type incoming struct {
	publish *wire.BasicPublish
	fate    fate
	header  *wire.Header
	size    uint64 // of what has come of the body
	body    []byte // not of one that is too large
}

// add takes a part of the body, and keeps it if the whole is to have no more than most bytes.
func (in *incoming) add(part []byte, most uint64) {
	in.size += uint64(len(part))
	switch {
	case in.header.BodySize > most:
	case len(in.body) == 0:
		in.body = part
	default:
		in.body = append(in.body, part...)
	}
}

// unexpected is what any other frame is now.
func (in *incoming) unexpected() error {
	if in.header == nil {
		return refuse(unexpectedFrame, "expected content header for class 60, got non content header frame instead")
	}
	return refuse(unexpectedFrame, "expected content body, got non content body frame instead")
}

// content takes a content header or a content body.
func (ch *channel) content(f wire.Frame) error {
	in, most := ch.incoming, ch.connection.server.maxMessage
	switch {
	case ch.closing:
		return nil
	case in.header == nil && f.Type != wire.FrameHeader, in.header != nil && f.Type != wire.FrameBody:
		return in.unexpected()
	case in.header == nil && !bytes.HasPrefix(f.Payload, []byte{0, basicClass}):
		return refuse(unexpectedFrame, "expected content header for class 60, got one for another instead")
	case in.header == nil:
		header, err := wire.ParseHeader(f.Payload)
		if err != nil {
			return unreadable(err)
		}
		if header.BodySize > hugeBody && ch.connection.server.has(versions.RefusesHuge) {
			return refuse(frameError, "content body size %d exceeds maximum allowed size %d", header.BodySize, hugeBody)
		}
		in.header = &header
	case in.size+uint64(len(f.Payload)) > in.header.BodySize:
		return refuse(frameError, "the body is longer than its header says, %d bytes", in.header.BodySize)
	default:
		in.add(f.Payload, most)
	}
	if in.size < in.header.BodySize {
		return nil
	}
	ch.incoming = nil
	if in.size > most { // RabbitMQ tells when it has all of it
		return refuse(preconditionFailed, "message size %d is larger than configured max size %d", in.size, most)
	}
	return ch.publish(&message{
		exchange:   in.publish.Exchange,
		key:        in.publish.RoutingKey,
		properties: in.header.Properties,
		body:       in.body,
	}, in.publish, in.fate)
}

// isUnreadable tells whether there is a number that is none, for which RabbitMQ's language has no form: it fails over it.
func isUnreadable(header any) bool {
	switch v := header.(type) {
	case float32:
		return isUnreadable(float64(v))
	case float64:
		return math.IsNaN(v) || math.IsInf(v, 0)
	case wire.Table:
		for _, inner := range v {
			if isUnreadable(inner) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, isUnreadable)
	}
	return false
}

// publish routes a message, and says what became of it.
func (ch *channel) publish(msg *message, m *wire.BasicPublish, f fate) error {
	c := ch.connection
	if m.Immediate {
		return refuse(notImplemented, "immediate=true")
	}
	host := ch.host()
	if err := ch.may(write, "exchange", m.Exchange); err != nil {
		return err
	}
	x, err := host.exchange(m.Exchange)
	if err != nil {
		return err
	}
	if x.internal {
		return refuse(accessRefused, "cannot publish to internal exchange '%s' in vhost '%s'", x.name, host.name)
	}
	if err := ch.mayUse(write, x, msg.key); err != nil {
		return err
	}
	if err := ch.address(msg); err != nil {
		return err
	}
	if isUnreadable(msg.properties.Headers) {
		return refuse(internalError, "")
	}
	if user := msg.properties.UserID; user != "" && user != c.user {
		return refuse(preconditionFailed, "user_id property set to '%s' but authenticated user was '%s'", user, c.user)
	}
	if msg.ttl, err = expiration(msg.properties.Expiration); err != nil {
		return err
	}
	if err := msg.copy(); err != nil {
		return err
	}
	if err := ch.mayCopy(x, msg); err != nil {
		return err
	}
	r := routed{message: msg, exchange: x, mandatory: m.Mandatory, fate: f}
	if f == routable {
		r.queues = x.route(msg)
	}
	if ch.tx != nil {
		if s := c.server; f == routable && x.name == "" && !s.has(versions.QueuesReplies) {
			s.reply(msg) // of which the transaction knows nothing
			r.replied = true
		}
		ch.tx.published = append(ch.tx.published, r)
		return nil
	}
	accepted := ch.enqueue(r)
	if ch.confirming {
		ch.confirm(accepted, r.queues)
	}
	return nil
}

// enqueue hands a message to where it goes, or back to the client if it goes nowhere and is not to.
func (ch *channel) enqueue(r routed) (accepted bool) {
	if r.fate == refused {
		return false
	}
	replied := r.fate == routable && !r.replied && r.exchange.name == "" && ch.connection.server.reply(r.message)
	if len(r.queues) == 0 && r.mandatory && !replied {
		ch.connection.sendContent(ch.id, &wire.BasicReturn{
			ReplyCode: noRoute, ReplyText: "NO_ROUTE", Exchange: r.exchange.name, RoutingKey: r.key,
		}, r.message, r.properties)
	}
	accepted = true
	for _, q := range r.queues {
		accepted = q.publish(r.message, false) && accepted
	}
	ch.sent(r.queues)
	return accepted
}

const noTTL = time.Duration(-1)

// expiration reads a message's own time to live, as strictly as RabbitMQ.
func expiration(text string) (time.Duration, error) {
	const most = 10 * 365 * 24 * time.Hour
	if text == "" {
		return noTTL, nil
	}
	digits := strings.TrimPrefix(strings.TrimPrefix(text, "+"), "-")
	end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
	milliseconds, err := strconv.ParseInt(text, 10, 64)
	switch {
	case end == 0 || digits == "":
		return 0, refuse(preconditionFailed, "invalid expiration '%s': no_integer", text)
	case end > 0:
		return 0, refuse(preconditionFailed, "invalid expiration '%s': {leftover_string,%q}", text, digits[end:])
	case err != nil || milliseconds > most.Milliseconds():
		return 0, refuse(preconditionFailed, "invalid expiration '%s': {value_too_large,%s}", text, text)
	case milliseconds < 0:
		return 0, refuse(preconditionFailed, "invalid expiration '%s': {value_negative,%d}", text, milliseconds)
	}
	return time.Duration(milliseconds) * time.Millisecond, nil
}
