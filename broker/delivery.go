package broker

import (
	"math"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Delivery is one message as the broker delivered it. The names are RabbitMQ's
// (https://www.rabbitmq.com/docs/publishers#message-properties). It belongs to whoever received it.
type Delivery struct {
	Body []byte
	// Headers are the application's and RabbitMQ's own (x-death, x-delivery-count). Tables within are
	// map[string]any, arrays []any.
	Headers map[string]any

	// Queue is where it was consumed from.
	Queue       string
	Exchange    string
	RoutingKey  string
	ConsumerTag string
	DeliveryTag uint64
	// Redelivered: it was delivered before, to this consumer or another, and not acknowledged.
	Redelivered bool
	// DeliveryMode is 2 for a persistent message. It and Priority stand here because the three share
	// a word: so a Delivery takes 320 bytes, which is what the allocator gives.
	DeliveryMode uint8
	Priority     uint8
	// StreamOffset is the header x-stream-offset, which tells a message's place in a stream.
	StreamOffset int64
	// Generation is the connection that delivered it.
	Generation uint64
	// ReceivedAt is when the connection had last read from the broker before Receive returned it, by the
	// clock of this process; it has a monotonic reading. The message came in then, or before that and
	// waited in memory while nobody called Receive.
	ReceivedAt time.Time

	ContentType     string
	ContentEncoding string
	CorrelationID   string
	ReplyTo         string
	// Expiration is the message's TTL in milliseconds, as text.
	Expiration string
	MessageID  string
	// Timestamp has seconds only; zero if the publisher set none.
	Timestamp time.Time
	Type      string
	UserID    string
	AppID     string
}

func newDelivery(d *amqp.Delivery, queue string, generation uint64, receivedAt time.Time) *Delivery {
	offset, _ := d.Headers["x-stream-offset"].(int64)
	return &Delivery{
		Body:            d.Body,
		Headers:         plain(d.Headers),
		Queue:           queue,
		Exchange:        d.Exchange,
		RoutingKey:      d.RoutingKey,
		ConsumerTag:     d.ConsumerTag,
		DeliveryTag:     d.DeliveryTag,
		Redelivered:     d.Redelivered,
		StreamOffset:    offset,
		Generation:      generation,
		ReceivedAt:      receivedAt,
		ContentType:     d.ContentType,
		ContentEncoding: d.ContentEncoding,
		DeliveryMode:    d.DeliveryMode,
		Priority:        d.Priority,
		CorrelationID:   d.CorrelationId,
		ReplyTo:         d.ReplyTo,
		Expiration:      d.Expiration,
		MessageID:       d.MessageId,
		Timestamp:       d.Timestamp,
		Type:            d.Type,
		UserID:          d.UserId,
		AppID:           d.AppId,
	}
}

// table is the other way round: amqp091-go takes its own type only, at every depth. It sends an int as 32
// bits, whatever is lost by that.
func table(m map[string]any) amqp.Table {
	if m == nil {
		return nil
	}
	t := make(amqp.Table, len(m))
	for k, v := range m {
		t[k] = tableValue(v)
	}
	return t
}

func tableValue(v any) any {
	switch v := v.(type) {
	case int:
		if v < math.MinInt32 || v > math.MaxInt32 {
			return int64(v)
		}
	case map[string]any:
		return table(v)
	case amqp.Table:
		return table(v)
	case []any:
		values := make([]any, len(v))
		for i := range v {
			values[i] = tableValue(v[i])
		}
		return values
	}
	return v
}

// plain strips amqp091-go's table type, at every depth, in place: the tables are the delivery's own.
func plain(t amqp.Table) map[string]any {
	for k, v := range t {
		t[k] = plainValue(v)
	}
	return t
}

func plainValue(v any) any {
	switch v := v.(type) {
	case amqp.Table:
		return plain(v)
	case []any:
		for i := range v {
			v[i] = plainValue(v[i])
		}
	}
	return v
}
