package record

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/everhop/everhop/consumer"
)

// fields are those of a message as a line of JSON. Everything down to the timestamp but the body is always there, the rest
// where it is set. Text that is not UTF-8 is written in base64 (see writeText).
type fields struct {
	Body            *string        `json:"body,omitempty"`
	BodyBase64      []byte         `json:"body_base64,omitempty"` // for bodies that are not UTF-8
	Queue           string         `json:"queue"`
	Exchange        string         `json:"exchange"`
	RoutingKey      string         `json:"routing_key"`
	Redelivered     bool           `json:"redelivered"`
	MessageID       string         `json:"message_id"`
	Headers         map[string]any `json:"headers"`
	Timestamp       *string        `json:"timestamp"`
	HeaderTypes     map[string]any `json:"header_types,omitempty"`
	ContentType     string         `json:"content_type,omitempty"`
	ContentEncoding string         `json:"content_encoding,omitempty"`
	DeliveryMode    uint8          `json:"delivery_mode,omitempty"`
	Priority        uint8          `json:"priority,omitempty"`
	CorrelationID   string         `json:"correlation_id,omitempty"`
	ReplyTo         string         `json:"reply_to,omitempty"`
	Expiration      string         `json:"expiration,omitempty"`
	Type            string         `json:"type,omitempty"`
	UserID          string         `json:"user_id,omitempty"`
	AppID           string         `json:"app_id,omitempty"`
}

// Write appends a message as a line. No message makes it fail.
func Write(line *bytes.Buffer, d *consumer.Delivery) error {
	r := fieldsOf(d)
	if utf8.Valid(d.Body) {
		body := string(d.Body)
		r.Body = &body
	} else {
		r.BodyBase64 = d.Body
	}
	return encode(line, r)
}

// fieldsOf are all but the body.
func fieldsOf(d *consumer.Delivery) fields {
	r := fields{
		Queue:           writeText(d.Queue),
		Exchange:        writeText(d.Exchange),
		RoutingKey:      writeText(d.RoutingKey),
		Redelivered:     d.Redelivered,
		MessageID:       writeText(d.MessageID),
		ContentType:     writeText(d.ContentType),
		ContentEncoding: writeText(d.ContentEncoding),
		DeliveryMode:    d.DeliveryMode,
		Priority:        d.Priority,
		CorrelationID:   writeText(d.CorrelationID),
		ReplyTo:         writeText(d.ReplyTo),
		Expiration:      writeText(d.Expiration),
		Type:            writeText(d.Type),
		UserID:          writeText(d.UserID),
		AppID:           writeText(d.AppID),
	}
	r.Headers, r.HeaderTypes = writeTable(d.Headers)
	if !d.Timestamp.IsZero() {
		text := Time(d.Timestamp)
		r.Timestamp = &text
	}
	return r
}

func encode(line *bytes.Buffer, v any) error {
	encoder := json.NewEncoder(line)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
