package broker

import (
	"errors"
	"fmt"
	"maps"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/wire"
)

// Message is what is published: always persistent and mandatory. The fields' names are RabbitMQ's, as those
// of [Delivery]. Exchange and RoutingKey are names (see [CheckName]), other texts have at most 255 bytes, and
// Headers holds what [QueueOptions].Arguments may. Body and Headers are read until Publish has returned, and
// not changed.
type Message struct {
	Exchange   string
	RoutingKey string
	Body       []byte
	Headers    map[string]any
	// ContentType, e.g. application/json.
	ContentType     string
	ContentEncoding string
	Priority        uint8
	CorrelationID   string
	ReplyTo         string
	// Expiration is the message's TTL in milliseconds, as text.
	Expiration string
	// MessageID defaults to one that is unique. It tells a returned message from the others.
	MessageID string
	// NoMessageID leaves the id out, as a message that is published again needs when it came without one.
	// HeaderPublishID tells it from the others then.
	NoMessageID bool
	// Timestamp has seconds only. Defaults to now.
	Timestamp time.Time
	// NoTimestamp leaves the timestamp out, as a message that is published again needs when it came
	// without one.
	NoTimestamp bool
	Type        string
	// UserID must be the user of the connection, or empty; else the broker closes the channel.
	UserID string
	AppID  string
}

// HeaderPublishID is the header of a message with NoMessageID: a text that is unique. It means nothing to whoever
// gets the message.
const HeaderPublishID = "x-everhop-publish-id"

// Identify gives a message without a MessageID one, or with NoMessageID a HeaderPublishID in a copy of its headers: an id
// that no other message has.
func (m *Message) Identify(id string) {
	switch {
	case m.MessageID != "":
	case m.NoMessageID:
		headers := make(map[string]any, len(m.Headers)+1) // the caller's stay as they are
		maps.Copy(headers, m.Headers)
		headers[HeaderPublishID] = id
		m.Headers = headers
	default:
		m.MessageID = id
	}
}

// Check names the field that AMQP cannot carry, and would break the connection if it was found amid a frame.
func (m *Message) Check() error {
	for _, f := range []struct {
		field, value string
		check        func(string) error
	}{
		{"Exchange", m.Exchange, CheckName}, {"RoutingKey", m.RoutingKey, CheckName},
		{"ContentType", m.ContentType, checkShortString}, {"ContentEncoding", m.ContentEncoding, checkShortString},
		{"CorrelationID", m.CorrelationID, checkShortString}, {"ReplyTo", m.ReplyTo, checkShortString},
		{"Expiration", m.Expiration, checkShortString}, {"MessageID", m.MessageID, checkShortString},
		{"Type", m.Type, checkShortString}, {"UserID", m.UserID, checkShortString}, {"AppID", m.AppID, checkShortString},
	} {
		if err := f.check(f.value); err != nil {
			return fmt.Errorf("broker: publish: %s: %w", f.field, err)
		}
	}
	if err := checkHeaders(m.Headers); err != nil {
		return fmt.Errorf("broker: publish: Headers%w", err)
	}
	return nil
}

// ErrHeaderTooLarge is returned by Publish for a message whose properties and headers are larger than a frame of
// the connection (frame_max): a header frame cannot be divided, and RabbitMQ would end the connection. Nothing
// was sent.
var ErrHeaderTooLarge = errors.New("broker: the headers do not fit into a frame")

// fits returns an ErrHeaderTooLarge if the header frame is larger than frameMax, which is in bytes; 0: no limit.
func (m *Message) fits(frameMax int) error {
	if len(m.Headers) == 0 || frameMax == 0 { // the properties always fit
		return nil
	}
	size := wire.FrameOverhead + len(wire.AppendHeader(nil, wire.Header{Properties: wire.Properties{
		ContentType: m.ContentType, ContentEncoding: m.ContentEncoding, Headers: m.Headers, DeliveryMode: amqp.Persistent,
		Priority: m.Priority, CorrelationID: m.CorrelationID, ReplyTo: m.ReplyTo, Expiration: m.Expiration,
		MessageID: m.MessageID, Timestamp: time.Now(), Type: m.Type, UserID: m.UserID, AppID: m.AppID,
	}}))
	if m.MessageID == "" {
		const idLater = 64 // it is not there yet
		size += idLater
	}
	if size > frameMax {
		return fmt.Errorf("%w: %d bytes, and the connection's frame_max is %d", ErrHeaderTooLarge, size, frameMax)
	}
	return nil
}

// publishing is the message as amqp091-go takes it.
func (m *Message) publishing() amqp.Publishing {
	timestamp := m.Timestamp
	switch {
	case m.NoTimestamp:
		timestamp = time.Time{}
	case timestamp.IsZero():
		timestamp = time.Now()
	}
	return amqp.Publishing{
		Headers:         table(m.Headers),
		ContentType:     m.ContentType,
		ContentEncoding: m.ContentEncoding,
		DeliveryMode:    amqp.Persistent,
		Priority:        m.Priority,
		CorrelationId:   m.CorrelationID,
		ReplyTo:         m.ReplyTo,
		Expiration:      m.Expiration,
		MessageId:       m.MessageID,
		Timestamp:       timestamp,
		Type:            m.Type,
		UserId:          m.UserID,
		AppId:           m.AppID,
		Body:            m.Body,
	}
}
