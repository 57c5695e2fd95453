package main

import (
	"bytes"
	"encoding/json"
	"math"
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
		Headers:     jsonTable(d.Headers),
	}
	if utf8.Valid(d.Body) {
		body := string(d.Body)
		r.Body = &body
	} else {
		r.BodyBase64 = d.Body
	}
	if !d.Timestamp.IsZero() {
		text := jsonTime(d.Timestamp)
		r.Timestamp = &text
	}
	encoder := json.NewEncoder(line)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(r)
}

// jsonValue gives a header's value a form that never fails: a message that could not be written would
// be poison. Bytes become text where they are text, and so do the numbers that JSON does not have. It
// copies: the consumer may publish the headers again.
func jsonValue(v any) any {
	switch v := v.(type) {
	case []byte:
		if utf8.Valid(v) {
			return string(v)
		}
	case time.Time:
		return jsonTime(v)
	case float32:
		if text, ok := notInJSON(float64(v)); ok {
			return text
		}
	case float64:
		if text, ok := notInJSON(v); ok {
			return text
		}
	case map[string]any:
		return jsonTable(v)
	case []any:
		values := make([]any, len(v))
		for i := range v {
			values[i] = jsonValue(v[i])
		}
		return values
	}
	return v
}

func jsonTable(t map[string]any) map[string]any {
	values := make(map[string]any, len(t))
	for name, v := range t {
		values[name] = jsonValue(v)
	}
	return values
}

// notInJSON is a number for which JSON has no form, by the name that JavaScript has for it.
func notInJSON(f float64) (name string, ok bool) {
	switch {
	case math.IsNaN(f):
		return "NaN", true
	case math.IsInf(f, 1):
		return "Infinity", true
	case math.IsInf(f, -1):
		return "-Infinity", true
	}
	return "", false
}

// jsonTime takes any year, as package json does not: some publishers send milliseconds where AMQP has
// seconds.
func jsonTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
