package brokertest

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A reader of a stream that is gone amid a delivery takes no other one with it.
func TestStreamReaderIsLost(t *testing.T) {
	s := NewServer(t)
	ok(t, s.DeclareQueue("s", map[string]any{"x-queue-type": "stream"}))
	read := func() <-chan amqp.Delivery {
		t.Helper()
		conn, err := amqp.Dial(s.URL())
		ok(t, err)
		t.Cleanup(func() { conn.Close() })
		ch, err := conn.Channel()
		ok(t, err)
		ok(t, ch.Qos(10, 0, false))
		deliveries, err := ch.Consume("s", "", false, false, false, false, amqp.Table{"x-stream-offset": "first"})
		ok(t, err)
		return deliveries
	}
	first, second := read(), read()
	s.Inject(OnMethod("basic.deliver", 1), Reset())
	ok(t, s.Publish("s", "a", "b"))
	for _, want := range []string{"a", "b"} {
		if d := <-second; string(d.Body) != want {
			t.Errorf("%q, want %q", d.Body, want)
		}
	}
	for range first { // until it is closed
	}
}
