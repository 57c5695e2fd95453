package brokertest

import (
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Times and ages are exact here; with RabbitMQ they are those of what was written together.
func TestStreamFromATime(t *testing.T) {
	for _, test := range []struct {
		offset any
		want   string // what comes first
	}{
		{"90m", "2"},
		{"1h", "2"},
		{"30m", "3"},
		{"1D", "1"},
		{time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC), "2"},
		{time.Date(2000, 1, 1, 1, 0, 1, 0, time.UTC), "3"},
		{time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), "1"},
		{int64(-7), "1"},
	} {
		synctest.Test(t, func(t *testing.T) { // which begins with the year 2000
			s := NewInMemoryServer(t)
			ok(t, s.DeclareQueue("s", map[string]any{"x-queue-type": "stream"}))
			ok(t, s.Publish("s", "1"))
			time.Sleep(time.Hour)
			ok(t, s.Publish("s", "2"))
			time.Sleep(time.Hour)
			ok(t, s.Publish("s", "3"))
			ch := openChannel(t, dial(t, s, "reader"))
			ok(t, ch.Qos(1, 0, false))
			deliveries, err := ch.Consume("s", "", false, false, false, false, amqp.Table{"x-stream-offset": test.offset})
			ok(t, err)
			if d := <-deliveries; string(d.Body) != test.want {
				t.Errorf("%v: began at %s, want %s", test.offset, d.Body, test.want)
			}
		})
	}
}

// A stream is on disk, whatever the delivery mode.
func TestStreamOutlivesARestart(t *testing.T) {
	s := NewServer(t)
	ok(t, s.DeclareQueue("s", map[string]any{"x-queue-type": "stream"}))
	ok(t, s.PublishMessage("s", Message{Transient: true, Body: []byte("1")}))
	s.StopApp()
	ok(t, s.StartApp())
	if got := s.Messages("s"); len(got) != 1 {
		t.Errorf("%d messages, want 1", len(got))
	}
}
