package broker_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

// A delivery can be published again as it is.
func TestPublishEveryProperty(t *testing.T) {
	queue, channel := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	m := broker.Message{
		RoutingKey: queue, Body: []byte("x"), Headers: map[string]any{"a": "b", "in": map[string]any{"list": []any{int32(1)}}},
		ContentType: "text/plain", ContentEncoding: "gzip", Priority: 7, CorrelationID: "correlation", ReplyTo: "answers",
		Expiration: "60000", MessageID: "id", Timestamp: time.Unix(1234567890, 0), Type: "type", UserID: "guest", AppID: "app",
	}
	want := amqp.Delivery{
		RoutingKey: queue, Body: m.Body, Headers: amqp.Table{"a": "b", "in": amqp.Table{"list": []any{int32(1)}}},
		ContentType: "text/plain", ContentEncoding: "gzip", Priority: 7, CorrelationId: "correlation", ReplyTo: "answers",
		Expiration: "60000", MessageId: "id", Timestamp: time.Unix(1234567890, 0), Type: "type", UserId: "guest", AppId: "app",
		DeliveryMode: amqp.Persistent, DeliveryTag: 1,
	}
	if err := send(t, p, m); err != nil {
		t.Fatal(err)
	}
	got, ok, err := channel.Get(queue, true)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if got.Acknowledger = nil; !reflect.DeepEqual(got, want) {
		t.Errorf("stored as %+v, want %+v", got, want)
	}
}

func TestPublishWhatCannotBeEncoded(t *testing.T) {
	cycle := map[string]any{}
	cycle["again"] = cycle
	queue, _ := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	for what, m := range map[string]broker.Message{
		"a struct in a header": {RoutingKey: queue, Headers: map[string]any{"a": struct{}{}}},
		"a long routing key":   {RoutingKey: strings.Repeat("k", 256)},
		"an endless header":    {RoutingKey: queue, Headers: cycle},
		"a long app id":        {RoutingKey: queue, AppID: strings.Repeat("a", 256)},
	} {
		if err := send(t, p, m); err == nil {
			t.Errorf("published %s", what)
		}
	}
	if err := send(t, p, broker.Message{RoutingKey: queue}); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// amqp091-go sends an int as 32 bits, and what does not fit into them would arrive as another number.
func TestPublishLargeNumbers(t *testing.T) {
	queue, channel := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	for _, n := range []int{0, -1, math.MaxInt32, math.MinInt32, math.MaxInt32 + 1, math.MinInt32 - 1, math.MaxInt64} {
		headers := map[string]any{"n": n, "in": []any{map[string]any{"n": n}}}
		if err := send(t, p, broker.Message{RoutingKey: queue, Headers: headers}); err != nil {
			t.Fatal(err)
		}
		d, ok, err := channel.Get(queue, true)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if want := fmt.Sprintf("map[in:[map[n:%d]] n:%d]", n, n); fmt.Sprint(d.Headers) != want {
			t.Errorf("got %v, want %s", d.Headers, want)
		}
	}
}

// A header frame cannot be divided: one that is too large is refused here, and harms no other message. RabbitMQ
// takes all that are not.
func TestPublishLargeHeaders(t *testing.T) {
	queue, channel := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	const frameMax = 131072 // RabbitMQ's default
	for _, test := range []struct {
		bytes int
		fits  bool
	}{{100, true}, {frameMax - 400, true}, {frameMax - 20, false}, {frameMax, false}, {4 * frameMax, false}} {
		err := send(t, p, broker.Message{RoutingKey: queue, Headers: map[string]any{"h": strings.Repeat("x", test.bytes)}})
		if test.fits && err != nil || !test.fits && !errors.Is(err, broker.ErrHeaderTooLarge) {
			t.Errorf("a header of %d bytes: %v", test.bytes, err)
		}
		if err := send(t, p, broker.Message{RoutingKey: queue, Body: []byte("beside")}); err != nil {
			t.Fatalf("behind a header of %d bytes: %v", test.bytes, err)
		}
	}
	for n := 0; ; n++ {
		if _, ok, err := channel.Get(queue, true); err != nil || !ok {
			if n != 7 || err != nil {
				t.Errorf("%d messages are there, %v; want 7", n, err)
			}
			break
		}
	}
}
