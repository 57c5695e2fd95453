package broker

import (
	"errors"
	"math"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/wire"
)

// Decimal is a decimal number in a table: Value divided by Scale powers of ten.
type Decimal = wire.Decimal

// Delivery is one message as the broker delivered it. The names are RabbitMQ's
// (https://www.rabbitmq.com/docs/publishers#message-properties). It belongs to whoever received it.
type Delivery struct {
	Body []byte
	// Headers are the application's and RabbitMQ's own (x-death, x-delivery-count). A value is one of nil, bool,
	// int8, int16, int32, int64, uint8, uint16, uint32, float32, float64, string, []byte, time.Time, Decimal,
	// []any and map[string]any. Nil if there are none.
	Headers map[string]any
	// Unreadable is set when the message could not be read, and the rest of it is what could: a handler
	// should not be given it.
	Unreadable *UnreadableError

	// Queue is where it was consumed from.
	Queue       string
	Exchange    string
	RoutingKey  string
	ConsumerTag string
	DeliveryTag uint64
	// Redelivered: it was delivered before, to this consumer or another, and not acknowledged.
	Redelivered bool
	// DeliveryMode is 2 for a persistent message.
	DeliveryMode uint8
	Priority     uint8
	// StreamOffset is the header x-stream-offset, which tells a message's place in a stream.
	StreamOffset int64
	// Generation is the connection that delivered it.
	Generation uint64
	// ReceivedAt is when it came in, by the clock of this process; it has a monotonic reading. Since then it
	// may have waited in memory for somebody to call Receive.
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

// UnreadableError says why a message could not be read: its header is malformed, or it is larger than
// Plan.MaxMessageSize.
type UnreadableError struct {
	Err error
	// RawHeader is the payload of its content header frame, at most 64 KiB of one that is too large, and nil if
	// there was nothing wrong with it.
	RawHeader []byte
}

func (e *UnreadableError) Error() string { return "broker: unreadable message: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *UnreadableError) Unwrap() error { return e.Err }

// ErrTooLarge is the reason of an UnreadableError when a message is larger than Plan.MaxMessageSize. Its body was
// not kept.
var ErrTooLarge = errors.New("more than MaxMessageSize")

// table is for what is sent: amqp091-go takes its own type only, at every depth. It sends an int as 32
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
	case Decimal:
		return amqp.Decimal(v)
	case []any:
		values := make([]any, len(v))
		for i := range v {
			values[i] = tableValue(v[i])
		}
		return values
	}
	return v
}
