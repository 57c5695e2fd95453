package broker

import (
	"bytes"
	"encoding/binary"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/wire"
)

// reference is amqp091-go, consuming from a script on the other end of a pipe.
type reference struct {
	*testing.T
	near, far  net.Conn
	deliveries <-chan amqp.Delivery
	closed     chan *amqp.Error
}

func newReference(t *testing.T) *reference {
	r := &reference{T: t}
	r.near, r.far = net.Pipe()
	started := make(chan struct{})
	go r.serve(started)
	connection, err := amqp.Open(r.near, amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{}}, Heartbeat: -1})
	if err != nil {
		t.Fatal(err)
	}
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	r.closed = connection.NotifyClose(make(chan *amqp.Error, 1))
	if r.deliveries, err = channel.Consume("q", "tag", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	<-started
	return r
}

// serve answers until the consumer is there, and from then on reads only.
func (r *reference) serve(started chan<- struct{}) {
	frames := wire.NewReader(r.far)
	frames.SetLimit(131072)
	_, _ = frames.ProtocolHeader()
	say := func(channel uint16, m wire.Method) { _, _ = r.far.Write(method(nil, channel, m)) }
	say(0, &wire.ConnectionStart{VersionMinor: 9, Mechanisms: []byte("PLAIN"), Locales: []byte("en_US")})
	for {
		f, err := frames.Next()
		if err != nil {
			return
		}
		switch m, _ := wire.ParseMethod(f.Payload); m.(type) {
		case *wire.ConnectionStartOK:
			say(0, &wire.ConnectionTune{FrameMax: 131072})
		case *wire.ConnectionOpen:
			say(0, &wire.ConnectionOpenOK{})
		case *wire.ChannelOpen:
			say(1, &wire.ChannelOpenOK{})
		case *wire.BasicConsume:
			say(1, &wire.BasicConsumeOK{ConsumerTag: "tag"})
			close(started)
		}
	}
}

// read returns how amqp091-go reads the message, nil if it closes the connection.
func (r *reference) read(stream []byte) *amqp.Delivery {
	go func() { _, _ = r.far.Write(stream) }()
	select {
	case d, ok := <-r.deliveries:
		if !ok { // with the connection
			return nil
		}
		return &d
	case <-r.closed:
		return nil
	}
}

func (r *reference) close() {
	_ = r.near.Close()
	_ = r.far.Close()
}

// ofReference encodes what amqp091-go read, and ofOurs what we did: in the same way, types and all.
func ofReference(d *amqp.Delivery) []byte {
	return encoded(&Delivery{
		Body: d.Body, Headers: plain(d.Headers), Exchange: d.Exchange, RoutingKey: d.RoutingKey, ConsumerTag: d.ConsumerTag,
		DeliveryTag: d.DeliveryTag, Redelivered: d.Redelivered, DeliveryMode: d.DeliveryMode, Priority: d.Priority,
		ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, CorrelationID: d.CorrelationId, ReplyTo: d.ReplyTo,
		Expiration: d.Expiration, MessageID: d.MessageId, Timestamp: d.Timestamp, Type: d.Type, UserID: d.UserId, AppID: d.AppId,
	})
}

func encoded(d *Delivery) []byte {
	m := &wire.BasicDeliver{ConsumerTag: d.ConsumerTag, DeliveryTag: d.DeliveryTag, Redelivered: d.Redelivered,
		Exchange: d.Exchange, RoutingKey: d.RoutingKey}
	return wire.AppendContent(nil, 1, m, wire.Header{Properties: wire.Properties{
		Headers: d.Headers, DeliveryMode: d.DeliveryMode, Priority: d.Priority,
		ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, CorrelationID: d.CorrelationID, ReplyTo: d.ReplyTo,
		Expiration: d.Expiration, MessageID: d.MessageID, Timestamp: d.Timestamp, Type: d.Type, UserID: d.UserID, AppID: d.AppID,
	}}, d.Body, 0)
}

// plain strips amqp091-go's types, in place.
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
	case amqp.Decimal:
		return Decimal(v)
	case []any:
		for i := range v {
			v[i] = plainValue(v[i])
		}
	}
	return v
}

// TestDifferential reads what a publisher may send in the way of properties, and what none should.
func TestDifferential(t *testing.T) {
	for _, properties := range someProperties() {
		compareReading(t, properties, []byte("body"))
	}
}

func FuzzDifferential(f *testing.F) {
	for _, properties := range someProperties() {
		f.Add(properties, []byte("body"))
	}
	f.Fuzz(compareReading)
}

// compareReading has amqp091-go and us read one message of these properties, and another one behind it.
func compareReading(t *testing.T, properties, body []byte) {
	if len(properties)+len(body) > 100_000 {
		return
	}
	payload := binary.BigEndian.AppendUint64([]byte{0, 60, 0, 0}, uint64(len(body)))
	payload = append(payload, properties...)
	stream := method(nil, 1, &wire.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 7, Exchange: "x", RoutingKey: "key"})
	stream = wire.AppendFrame(stream, wire.Frame{Type: wire.FrameHeader, Channel: 1, Payload: payload})
	if len(body) > 0 {
		stream = wire.AppendFrame(stream, wire.Frame{Type: wire.FrameBody, Channel: 1, Payload: body})
	}
	r := newReference(t)
	defer r.close()
	theirs := r.read(slices.Clone(stream))

	d := newDemux(&feed{left: message(slices.Clone(stream), 1, &wire.BasicDeliver{DeliveryTag: 8}, "behind"), cut: whole})
	in := opened(d, 1<<26, 1)[0].inbox
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d.fill()
	for d.advance() {
	}
	d.publish()
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<10+128*uint64(len(stream)) {
		t.Errorf("%d bytes took %d", len(stream), used)
	}
	got := takenFrom(in)
	if len(got) != 2 || string(got[1].Body) != "behind" || got[1].MessageID != "behind" || got[1].Unreadable != nil {
		t.Fatalf("got %d deliveries, failure %v", len(got), d.failure)
	}
	ours := got[0]
	clear(d.buffer) // what is delivered is nobody else's memory
	switch {
	case ours.DeliveryTag != 7 || !bytes.Equal(ours.Body, body):
		t.Errorf("got %+v", ours)
	case ours.Unreadable != nil:
		if !bytes.Equal(ours.Unreadable.RawHeader, payload) {
			t.Errorf("raw header % x, want % x", ours.Unreadable.RawHeader, payload)
		}
		if theirs != nil && !endsAListTooEarly(properties) {
			t.Errorf("amqp091-go reads it, and we do not: %v", ours.Unreadable)
		}
	case theirs != nil && !bytes.Equal(ofReference(theirs), encoded(ours)):
		t.Errorf("amqp091-go reads\n%+v, we\n%+v", theirs, ours)
	}
}

// someProperties are flags and the properties behind them.
func someProperties() (all [][]byte) {
	add := func(p wire.Properties) {
		all = append(all, wire.AppendHeader(nil, wire.Header{Properties: p})[12:])
	}
	every := wire.Table{
		"nil": nil, "bool": true, "int8": int8(-8), "uint8": uint8(8), "int16": int16(-16), "uint16": uint16(16),
		"int32": int32(-32), "uint32": uint32(32), "int64": int64(-64), "float32": float32(0.5), "float64": -0.25,
		"decimal": Decimal{Scale: 2, Value: -12345}, "string": "text", "bytes": []byte{0, 1}, "time": time.Unix(1700000000, 0),
		"list": []any{int64(1), "two", wire.Table{"three": 3}, []any{}}, "table": wire.Table{"in": wire.Table{"deep": []any{nil}}},
	}
	add(wire.Properties{})
	add(wire.Properties{Headers: every})
	add(wire.Properties{Headers: wire.Table{}, DeliveryMode: 2, Priority: 9, ContentType: "a", ContentEncoding: "b",
		CorrelationID: "c", ReplyTo: "d", Expiration: "1", MessageID: "e", Timestamp: time.Unix(1, 0), Type: "f", UserID: "g",
		AppID: "h", ClusterID: "i"})
	for _, depth := range []int{30, 31, 32, 40, 10_001} {
		var v any = int64(1)
		for range depth {
			v = []any{v}
		}
		add(wire.Properties{Headers: wire.Table{"deep": v}, MessageID: "behind it"})
	}
	add(wire.Properties{Headers: wire.Table{"long": make([]any, 8192)}})
	add(wire.Properties{Headers: wire.Table{"long": make([]any, 20_000)}})
	add(wire.Properties{Headers: wire.Table{"text": strings.Repeat("x", 10_000)}})
	for _, raw := range []string{
		"", "\xff", "\xff\xff", "\x00\x01", "\x00\x02", "\x80\x00\x05abc", "\x20\x00\xff\xff\xff\xff", "\x20\x00\x00\x00\x00\x03\x01aZ",
		"\x20\x00\x00\x00\x00\x0b\x01aL\x00\x00\x00\x00\x00\x00\x00\x01", "\x00\x00behind the properties",
		"\x20\x00\x00\x00\x00\x08\x01aA\x00\x00\x00\x01I", "\x20\x00\x00\x00\x00\x0a\x01at\x01\x01at\x00\x00V",
		"\x20\x80\x00\x00\x00\x03\x01aZ\x02id",
	} {
		all = append(all, []byte(raw))
	}
	return all
}
