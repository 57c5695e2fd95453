package brokertest

import (
	"context"
	"net"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// BenchmarkMessage is a message's way through a client library: published, delivered and acknowledged, each
// with a frame of its own.
func BenchmarkMessage(b *testing.B) {
	for _, test := range []struct {
		name string
		conf Config
	}{{"tcp", Config{}}, {"memory", Config{InMemory: true}}} {
		b.Run(test.name, func(b *testing.B) {
			s, err := Start(test.conf)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(s.Close)
			config := amqp.Config{}
			if s.inMemory {
				config.Dial = func(n, a string) (net.Conn, error) { return s.Dial(context.Background(), n, a) }
			}
			conn, err := amqp.DialConfig(s.URL(), config)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { conn.CloseDeadline(time.Now().Add(time.Second)) })
			publisher, _ := conn.Channel()
			consumer, _ := conn.Channel()
			if err := s.DeclareQueue("q", nil); err != nil {
				b.Fatal(err)
			}
			_ = consumer.Qos(100, 0, false)
			deliveries, err := consumer.Consume("q", "", false, false, false, false, nil)
			if err != nil {
				b.Fatal(err)
			}
			body := make([]byte, 100)
			b.ResetTimer()
			go func() {
				for range b.N {
					_ = publisher.Publish("", "q", false, false, amqp.Publishing{Body: body})
				}
			}()
			for range b.N {
				if d := <-deliveries; d.Ack(false) != nil {
					b.Fatal("lost")
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}
