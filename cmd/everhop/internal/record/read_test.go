package record

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

// Whatever a message has comes back from the line that it was written as, also if a program has read every number as
// a float64 in between, as jq 1.6 does.
func TestRecordsLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDelivery().Draw(t, "delivery")
		line := lineOf(t, d)
		for _, line := range [][]byte{line, throughFloats(t, line)} {
			m, err := Read(line)
			if err != nil {
				t.Fatalf("%v\n%s", err, line)
			}
			if diff := cmp.Diff(messageOf(d), m, sameZero, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%s\n%s", diff, line)
			}
		}
	})
}

func lineOf(t interface{ Fatal(args ...any) }, d *consumer.Delivery) []byte {
	var line bytes.Buffer
	if err := Write(&line, d); err != nil {
		t.Fatal(err)
	}
	if n := bytes.IndexByte(line.Bytes(), '\n'); n != line.Len()-1 {
		t.Fatal("not one line: ", line.String())
	}
	return line.Bytes()
}

func throughFloats(t *rapid.T, line []byte) []byte {
	var v any
	if err := json.Unmarshal(line, &v); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// messageOf is the delivery, published with all that it has.
func messageOf(d *consumer.Delivery) broker.Message {
	return broker.Message{
		Exchange: d.Exchange, RoutingKey: d.RoutingKey, Body: d.Body, Headers: d.Headers,
		ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, Priority: d.Priority, CorrelationID: d.CorrelationID,
		ReplyTo: d.ReplyTo, Expiration: d.Expiration, MessageID: d.MessageID, NoMessageID: d.MessageID == "",
		Timestamp: d.Timestamp, NoTimestamp: d.Timestamp.IsZero(), Type: d.Type, UserID: d.UserID, AppID: d.AppID,
	}
}

func anyDelivery() *rapid.Generator[*consumer.Delivery] {
	return rapid.Custom(func(t *rapid.T) *consumer.Delivery {
		text := func(name string) string { return anyText().Draw(t, name) }
		d := &consumer.Delivery{
			Body: []byte(text("body")), Exchange: text("exchange"), RoutingKey: text("key"), MessageID: text("id"),
			ContentType: text("type"), ContentEncoding: text("encoding"), CorrelationID: text("correlation"),
			ReplyTo: text("reply"), Expiration: text("expiration"), Type: text("type"), UserID: text("user"), AppID: text("app"),
			Priority: rapid.Uint8().Draw(t, "priority"), DeliveryMode: rapid.Uint8().Draw(t, "mode"), Redelivered: rapid.Bool().Draw(t, "redelivered"),
			Headers: anyTable(3).Draw(t, "headers"),
		}
		if rapid.Bool().Draw(t, "timed") {
			d.Timestamp = anyTime().Draw(t, "time")
		}
		return d
	})
}

func anyText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), func(b []byte) string { return string(b) }),
		rapid.Map(rapid.StringN(0, 8, -1), func(s string) string { return inBase64 + s }),
		rapid.SampledFrom([]string{"", "int8", "base64", "base64:", "base64:YQ==", "NaN", "\ufffd", "\xff", "\u2028<&>\x00"}),
	)
}

func anyTime() *rapid.Generator[time.Time] {
	return rapid.Map(rapid.OneOf(rapid.Int64(), rapid.Int64Range(-1e11, 1e14)), func(n int64) time.Time { return time.Unix(n, 0) })
}

func anyTable(depth int) *rapid.Generator[map[string]any] {
	return rapid.MapOfN(anyText(), anyValue(depth), 0, 5)
}

func anyValue(depth int) *rapid.Generator[any] {
	values := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), anyText().AsAny(),
		rapid.Map(anyText(), func(s string) []byte { return []byte(s) }).AsAny(),
		rapid.Int8().AsAny(), rapid.Int16().AsAny(), rapid.Int32().AsAny(), rapid.Int64().AsAny(),
		rapid.Uint8().AsAny(), rapid.Uint16().AsAny(), rapid.Uint32().AsAny(),
		rapid.Float32().AsAny(), rapid.Float64().AsAny(),
		rapid.Map(rapid.Int64(), func(n int64) float64 { return float64(n) }).AsAny(),
		rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1)}).AsAny(),
		rapid.Custom(func(t *rapid.T) any {
			return broker.Decimal{Scale: rapid.Uint8().Draw(t, "scale"), Value: rapid.Int32().Draw(t, "value")}
		}),
		anyTime().AsAny(),
	}
	if depth > 0 {
		values = append(values, anyTable(depth-1).AsAny(), rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return anyValue(depth - 1) }), 0, 4).AsAny())
	}
	return rapid.OneOf(values...)
}

func TestRead(t *testing.T) {
	long := strings.Repeat("x", 200)
	const halfPair = `text with half a surrogate pair (\ud800 to \udfff), which no text in UTF-8 has`
	tests := []struct{ line, err string }{
		{`{"body":""}`, ""},
		{` {"body_base64":""} `, ""},
		{`{"body":"a","headers":null,"header_types":{"n":"int8"},"message_id":null,"timestamp":1735787045,"priority":255,"delivery_mode":1,"redelivered":true,"queue":"q"}`, ""},

		{`{"body":"\ud83d\ude00 \\ud800 \u00e9 \"","headers":{"\uD83D\uDE00":"\n"}}`, ""},
		{`{"body":"\ud83d"}`, halfPair},
		{`{"body":"\ude00\ud83d"}`, halfPair},
		{`{"body":"\ud83d\n\ude00"}`, halfPair},
		{`{"body":"","headers":{"a":"\\\uDC80"}}`, halfPair},

		{``, "not JSON: unexpected end of JSON input"},
		{`x`, "not JSON: invalid character 'x' looking for beginning of value, at byte 1"},
		{`{"body":"a"} {"body":"b"}`, "not JSON: invalid character '{' after top-level value, at byte 14"},
		{`["body"]`, "not an object"},
		{"{\"body\":\"\xff\"}", "not UTF-8"},
		{`{}`, "neither body nor body_base64"},
		{`null`, "neither body nor body_base64"},
		{`{"body":null}`, "neither body nor body_base64"},
		{`{"body":"a","body_base64":"YQ=="}`, "both body and body_base64"},
		{`{"body":{"a":1}}`, "body: expected text"},
		{`{"body_base64":"?"}`, "body_base64: expected base64"},
		{`{"body":"","routing_key":7}`, "routing_key: expected text"},
		{`{"body":"","reply_to":"base64:?"}`, `reply_to: "base64:?" has no base64 behind "base64:"`},
		{`{"body":"","priority":256}`, "priority: expected a whole number from 0 to 255"},
		{`{"body":"","priority":"1"}`, "priority: expected a whole number from 0 to 255"},
		{`{"body":"","timestamp":"soon"}`, "timestamp: expected a time such as 2026-01-31T12:00:00Z, or seconds since 1970"},
		{`{"body":"","headers":[]}`, "headers: expected an object"},
		{`{"body":"","headers":{"a":1},"header_types":"int8"}`, "header_types: expected an object"},
		{`{"body":"","headers":{"a":[{"b":1e99}]},"header_types":{"a":{"0":{"b":"int8"}}}}`, `headers["a"][0]["b"]: "1e99" is no int8`},
		{`{"body":"","Body":"","queues":"q"}`, `unknown: ["Body" "queues"]; 'everhop consume --help' tells what there is`},
		{`{"body":"","` + long + `":1}`, `unknown: ["` + long[:100] + `"]; 'everhop consume --help' tells what there is`},
	}
	for _, tt := range tests {
		_, err := Read([]byte(tt.line))
		if got := errorText(err); got != tt.err {
			t.Errorf("%s:\n%s, want\n%s", tt.line, got, tt.err)
		}
	}
}

// Tables may be nested as deep as nobody would.
func TestRecordOfDeepHeaders(t *testing.T) {
	var v any = int8(1)
	for range 4000 {
		v = []any{map[string]any{"a": v}}
	}
	d := &consumer.Delivery{Body: []byte{}, Headers: map[string]any{"deep": v}}
	m, err := Read(lineOf(t, d))
	if err != nil || !reflect.DeepEqual(m.Headers, d.Headers) {
		t.Errorf("%v", err)
	}
}

func BenchmarkRecord(b *testing.B) {
	d := &consumer.Delivery{Body: []byte(strings.Repeat("text ", 50)), RoutingKey: "orders", MessageID: "5SXXZ77WBN4U-1", ContentType: "text/plain",
		Timestamp: time.Unix(1735787045, 0), DeliveryMode: 2, Headers: map[string]any{"tenant": "a", "attempt": int32(1), "since": time.Unix(1735787045, 0)}}
	var line bytes.Buffer
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			line.Reset()
			if err := Write(&line, d); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Read(line.Bytes()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// What can be read is a message that a record can be made of, and it is the same again.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"body":"a","exchange":"x","routing_key":"k","headers":{"a":[1,{"t":"2026-01-31T12:00:00Z"}]},"header_types":{"a":{"1":{"t":"timestamp"}}}}`))
	f.Add([]byte(`{"body_base64":"/w==","timestamp":"56974-11-25T20:03:20Z","priority":3,"headers":{"base64:/w==":"1.50","f":7},"header_types":{"base64:/w==":"decimal","f":"float32"}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := Read(line)
		if err != nil {
			return
		}
		d := &consumer.Delivery{
			Body: m.Body, Exchange: m.Exchange, RoutingKey: m.RoutingKey, Headers: m.Headers, MessageID: m.MessageID, Timestamp: m.Timestamp,
			ContentType: m.ContentType, ContentEncoding: m.ContentEncoding, Priority: m.Priority, CorrelationID: m.CorrelationID,
			ReplyTo: m.ReplyTo, Expiration: m.Expiration, Type: m.Type, UserID: m.UserID, AppID: m.AppID,
		}
		again, err := Read(lineOf(t, d))
		if diff := cmp.Diff(m, again, sameZero, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}
