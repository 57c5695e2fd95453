package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/consumer"
)

func TestFormatJSON(t *testing.T) {
	millis := time.Unix(1735787045000, 0) // milliseconds, taken for seconds
	tests := []struct {
		name string
		d    consumer.Delivery
		want string
	}{
		{"nothing set", consumer.Delivery{},
			`{"body":"","exchange":"","routing_key":"","redelivered":false,"message_id":"","headers":{},"timestamp":null}`},
		{"everything set", consumer.Delivery{
			Body: []byte("<b>\n"), Exchange: "x", RoutingKey: "k", Redelivered: true, MessageID: "m",
			Headers: map[string]any{"n": int32(1)}, Timestamp: time.Unix(1735787045, 0)},
			`{"body":"<b>\n","exchange":"x","routing_key":"k","redelivered":true,"message_id":"m","headers":{"n":1},"timestamp":"2025-01-02T03:04:05Z"}`},
		{"not UTF-8", consumer.Delivery{Body: []byte{0xff}},
			`{"body_base64":"/w==","exchange":"","routing_key":"","redelivered":false,"message_id":"","headers":{},"timestamp":null}`},
		{"nested headers and far years", consumer.Delivery{Timestamp: millis, Headers: map[string]any{
			"death": []any{map[string]any{"time": millis, "raw": []byte("text"), "bytes": []byte{0xff}}}}},
			`{"body":"","exchange":"","routing_key":"","redelivered":false,"message_id":"","headers":{"death":[{"bytes":"/w==","raw":"text","time":"56974-11-25T20:03:20Z"}]},"timestamp":"56974-11-25T20:03:20Z"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var line bytes.Buffer
			if err := formatJSON(&line, &tt.d); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want+"\n", line.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
