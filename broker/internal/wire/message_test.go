package wire

import (
	"bytes"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// message, messageProperties and longBody are the same message in the words of either side.
func message() amqp.Publishing {
	return amqp.Publishing{
		Headers: amqp.Table{
			"bool": true, "int8": int8(-1), "uint8": uint8(255), "int16": int16(-2), "uint16": uint16(65535),
			"int": 7, "int32": int32(-3), "uint32": uint32(4294967295), "int64": int64(-4),
			"float32": float32(0.5), "float64": -0.25, "decimal": amqp.Decimal{Scale: 2, Value: -12345},
			"string": "text", "bytes": []byte{0, 1}, "time": time.Unix(1700000000, 999), "nil": nil,
			"array": []any{int32(1), "two", amqp.Table{"three": nil}}, "table": amqp.Table{"inner": amqp.Table{"a": true}},
		},
		ContentType: "text/plain", ContentEncoding: "utf-8", DeliveryMode: amqp.Persistent, Priority: 9,
		CorrelationId: "correlation", ReplyTo: "reply", Expiration: "1000", MessageId: "message",
		Timestamp: time.Unix(1600000000, 999), Type: "type", UserId: "guest", AppId: "app",
		Body: longBody(),
	}
}

func messageProperties() Properties {
	return Properties{
		Headers: Table{
			"bool": true, "int8": int8(-1), "uint8": uint8(255), "int16": int16(-2), "uint16": uint16(65535),
			"int": int32(7), "int32": int32(-3), "uint32": uint32(4294967295), "int64": int64(-4),
			"float32": float32(0.5), "float64": -0.25, "decimal": Decimal{Scale: 2, Value: -12345},
			"string": "text", "bytes": []byte{0, 1}, "time": time.Unix(1700000000, 0).UTC(), "nil": nil,
			"array": []any{int32(1), "two", Table{"three": nil}}, "table": Table{"inner": Table{"a": true}},
		},
		ContentType: "text/plain", ContentEncoding: "utf-8", DeliveryMode: 2, Priority: 9,
		CorrelationID: "correlation", ReplyTo: "reply", Expiration: "1000", MessageID: "message",
		Timestamp: time.Unix(1600000000, 0).UTC(), Type: "type", UserID: "guest", AppID: "app",
	}
}

func longBody() []byte { return bytes.Repeat([]byte("0123456789"), 1000) } // three frames of the least size
