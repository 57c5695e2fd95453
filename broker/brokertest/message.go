package brokertest

import (
	"fmt"
	"slices"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

// The delivery modes. What has another one is transient, too.
const transient, persistent = 1, 2

// Message is one in a queue: its body, and its properties under their names in AMQP.
type Message struct {
	Body    []byte
	Headers map[string]any // with nested maps and slices as map[string]any and []any

	ContentType, ContentEncoding                  string
	CorrelationID, ReplyTo, Expiration, MessageID string
	Type, UserID, AppID                           string
	Priority                                      uint8
	Timestamp                                     time.Time
	Transient                                     bool   // lost when the broker restarts, unless a quorum queue holds it
	Exchange, RoutingKey                          string // what it was published with; only Messages tells
	Redelivered                                   bool   // it was delivered before; only Messages tells
}

// PublishMessage puts a message into a queue, as Publish does, through the
// default exchange. It also fails when a header is of a type that AMQP does not have, and when Expiration
// is not a number of milliseconds.
func (v *VirtualHost) PublishMessage(queue string, m Message) error {
	headers := wire.Clone(m.Headers)
	if err := wire.Validate(headers); err != nil {
		return fmt.Errorf("brokertest: publish: headers: %w", err)
	}
	ttl, err := expiration(m.Expiration)
	if err != nil {
		return fmt.Errorf("brokertest: publish: %w", err)
	}
	properties := wire.Properties{
		Headers: headers, DeliveryMode: persistent, Priority: m.Priority, Timestamp: m.Timestamp,
		ContentType: m.ContentType, ContentEncoding: m.ContentEncoding,
		CorrelationID: m.CorrelationID, ReplyTo: m.ReplyTo, Expiration: m.Expiration, MessageID: m.MessageID,
		Type: m.Type, UserID: m.UserID, AppID: m.AppID,
	}
	if m.Transient {
		properties.DeliveryMode = transient
	}
	return v.put(queue, &message{key: queue, properties: properties, body: slices.Clone(m.Body), ttl: ttl})
}

// Publish puts persistent messages into a queue, without a connection. It fails
// if there is no such queue, at the first message that a full queue refuses, and when the server is closed.
func (v *VirtualHost) Publish(queue string, bodies ...string) error {
	messages := make([]*message, len(bodies))
	for i, body := range bodies {
		messages[i] = &message{key: queue, properties: wire.Properties{DeliveryMode: persistent}, body: []byte(body), ttl: noTTL}
	}
	return v.put(queue, messages...)
}

func (v *VirtualHost) put(queue string, messages ...*message) error {
	v.server.mu.Lock()
	defer v.server.unlock()
	h, err := v.find()
	if err != nil {
		return err
	}
	q := h.queues[queue]
	if q == nil {
		return fmt.Errorf("brokertest: publish: %w", h.missing("queue", queue))
	}
	for _, m := range messages {
		if !q.publish(m, false) {
			return fmt.Errorf("brokertest: publish: queue '%s' is full", queue)
		}
	}
	return nil
}

// Messages are those in a queue that wait for a consumer, in their order. They
// stay where they are. There are none in a queue that does not exist.
func (v *VirtualHost) Messages(queue string) []Message {
	v.server.mu.Lock()
	defer v.server.mu.Unlock()
	q := v.queue(queue)
	if q == nil {
		return nil
	}
	messages := make([]Message, 0, q.ready.Len())
	for at := q.ready.Front(); at != nil; at = at.Next() {
		e := at.Value.(*entry)
		p := e.properties
		messages = append(messages, Message{
			Body: slices.Clone(e.body), Headers: wire.Clone(p.Headers),
			ContentType: p.ContentType, ContentEncoding: p.ContentEncoding,
			CorrelationID: p.CorrelationID, ReplyTo: p.ReplyTo, Expiration: p.Expiration, MessageID: p.MessageID,
			Type: p.Type, UserID: p.UserID, AppID: p.AppID,
			Priority: p.Priority, Timestamp: p.Timestamp, Transient: !e.persistent(),
			Exchange: e.exchange, RoutingKey: e.key, Redelivered: e.redelivered,
		})
	}
	return messages
}
