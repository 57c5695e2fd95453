package main

import (
	"bytes"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/everhop/everhop/consumer"
)

// record is a message as a line of JSON. Everything but the body is always there.
type record struct {
	Body        *string        `json:"body,omitempty"`
	BodyBase64  []byte         `json:"body_base64,omitempty"` // for bodies that are not UTF-8
	Exchange    string         `json:"exchange"`
	RoutingKey  string         `json:"routing_key"`
	Redelivered bool           `json:"redelivered"`
	MessageID   string         `json:"message_id"`
	Headers     map[string]any `json:"headers"`
	Timestamp   *string        `json:"timestamp"`
}

func formatJSON(line *bytes.Buffer, d *consumer.Delivery) error {
	r := record{
		Exchange:    d.Exchange,
		RoutingKey:  d.RoutingKey,
		Redelivered: d.Redelivered,
		MessageID:   d.MessageID,
		Headers:     make(map[string]any, len(d.Headers)),
	}
	if utf8.Valid(d.Body) {
		body := string(d.Body)
		r.Body = &body
	} else {
		r.BodyBase64 = d.Body
	}
	for name, v := range d.Headers {
		r.Headers[name] = jsonValue(v)
	}
	if !d.Timestamp.IsZero() {
		text := jsonTime(d.Timestamp)
		r.Timestamp = &text
	}
	encoder := json.NewEncoder(line)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(r)
}

// jsonValue gives header values a form that never fails: a message that could not be written would
// come again and again. Bytes become text where they are text.
func jsonValue(v any) any {
	switch v := v.(type) {
	case []byte:
		if utf8.Valid(v) {
			return string(v)
		}
	case time.Time:
		return jsonTime(v)
	case map[string]any:
		for name := range v {
			v[name] = jsonValue(v[name])
		}
	case []any:
		for i := range v {
			v[i] = jsonValue(v[i])
		}
	}
	return v
}

// jsonTime takes any year, as package json does not: some publishers send milliseconds where AMQP has
// seconds.
func jsonTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
