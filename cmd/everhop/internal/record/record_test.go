package record

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/consumer"
)

func TestWrite(t *testing.T) {
	millis := time.Unix(1735787045000, 0) // milliseconds, taken for seconds
	tests := []struct {
		name string
		d    consumer.Delivery
		want string
	}{
		{"nothing set", consumer.Delivery{},
			`{"body":"","queue":"","exchange":"","routing_key":"","redelivered":false,"message_id":"","headers":{},"timestamp":null}`},
		{"everything set", consumer.Delivery{
			Body: []byte("<b>\n"), Queue: "q", Exchange: "x", RoutingKey: "k", Redelivered: true, MessageID: "m",
			Headers: map[string]any{"n": int64(1)}, Timestamp: time.Unix(1735787045, 0)},
			`{"body":"<b>\n","queue":"q","exchange":"x","routing_key":"k","redelivered":true,"message_id":"m","headers":{"n":1},"timestamp":"2025-01-02T03:04:05Z"}`},
		{"all properties", consumer.Delivery{
			ContentType: "t", ContentEncoding: "e", DeliveryMode: 2, Priority: 3, CorrelationID: "c", ReplyTo: "r",
			Expiration: "1000", Type: "y", UserID: "u", AppID: "a"},
			`{"body":"","queue":"","exchange":"","routing_key":"","redelivered":false,"message_id":"","headers":{},"timestamp":null,"content_type":"t","content_encoding":"e","delivery_mode":2,"priority":3,"correlation_id":"c","reply_to":"r","expiration":"1000","type":"y","user_id":"u","app_id":"a"}`},
		{"text that is not UTF-8", consumer.Delivery{MessageID: "\xff", Headers: map[string]any{"\xfe": "\xfd", "s": "base64:"}},
			`{"body":"","queue":"","exchange":"","routing_key":"","redelivered":false,"message_id":"base64:/w==","headers":{"base64:/g==":"base64:/Q==","s":"base64:YmFzZTY0Og=="},"timestamp":null}`},
		{"not UTF-8", consumer.Delivery{Body: []byte{0xff}},
			`{"body_base64":"/w==","queue":"","exchange":"","routing_key":"","redelivered":false,"message_id":"","headers":{},"timestamp":null}`},
		{"nested headers and far years", consumer.Delivery{Timestamp: millis, Headers: map[string]any{
			"death": []any{map[string]any{"time": millis, "raw": []byte("text"), "bytes": []byte{0xff}}}}},
			`{"body":"","queue":"","exchange":"","routing_key":"","redelivered":false,"message_id":"","headers":{"death":[{"bytes":"/w==","raw":"text","time":"56974-11-25T20:03:20Z"}]},"timestamp":"56974-11-25T20:03:20Z","header_types":{"death":{"0":{"bytes":"base64","raw":"bytes","time":"timestamp"}}}}`},
		{"numbers that JSON does not have", consumer.Delivery{Headers: map[string]any{
			"a": math.NaN(), "b": float32(math.Inf(1)), "c": []any{math.Inf(-1), float32(math.NaN())}, "d": 0.5, "e": float32(0.1)}},
			`{"body":"","queue":"","exchange":"","routing_key":"","redelivered":false,"message_id":"","headers":{"a":"NaN","b":"Infinity","c":["-Infinity","NaN"],"d":0.5,"e":0.1},"timestamp":null,"header_types":{"a":"float64","b":"float32","c":{"0":"float64","1":"float32"},"e":"float32"}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var line bytes.Buffer
			if err := Write(&line, &tt.d); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want+"\n", line.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The consumer retries or parks a message with the headers that it came with.
func TestWriteLeavesHeaders(t *testing.T) {
	headers := func() map[string]any {
		return map[string]any{
			"bytes":    []byte("text"),
			"infinite": math.Inf(1),
			"table":    map[string]any{"bytes": []byte("text"), "time": time.Unix(1, 0)},
			"array":    []any{[]byte("text"), math.Inf(1), map[string]any{"time": time.Unix(1, 0)}},
		}
	}
	d := consumer.Delivery{Headers: headers()}
	if err := Write(new(bytes.Buffer), &d); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(headers(), d.Headers); diff != "" {
		t.Error(diff)
	}
}
