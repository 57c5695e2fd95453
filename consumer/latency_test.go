//go:build unix

package consumer_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// BenchmarkLatency measures the time from before a message is published until its handler has it, at 1,000
// messages per second, for a loop over amqp091-go and for Everhop, in turns. It prints a table in Markdown:
//
//	go test -run '^$' -bench Latency -benchtime 1x ./consumer
func BenchmarkLatency(b *testing.B) {
	const messages, rounds = 2000, 5
	url := rabbittest.Shared(b).URL()
	consume := map[string]func(testing.TB, string, string, func([]byte)) (stop func()){"one-ack": consumeBare, everhop1: consumeEverhop}
	names := []string{"one-ack", everhop1}
	took := map[string][]time.Duration{}
	for range rounds {
		for _, name := range names {
			queue := fmt.Sprintf("latency.%d", len(took["one-ack"])+len(took[everhop1]))
			took[name] = append(took[name], latencies(b, url, queue, messages, consume[name])...)
		}
		slices.Reverse(names)
	}
	slices.Sort(names)
	var text strings.Builder
	text.WriteString("| | p50 | p99 |\n|---|--:|--:|\n")
	for _, name := range names {
		all := took[name]
		slices.Sort(all)
		fmt.Fprintf(&text, "| %s | %v | %v |\n", name, all[len(all)/2].Round(time.Microsecond), all[len(all)*99/100].Round(time.Microsecond))
	}
	fmt.Printf("\nPublish to handler at 1,000 messages per second:\n\n%s\n", &text)
	b.ReportMetric(0, "ns/op")
}

// latencies publishes into a queue that is consumed, and returns how long each message took.
func latencies(b *testing.B, url, queue string, messages int, consume func(testing.TB, string, string, func([]byte)) func()) (took []time.Duration) {
	connection, err := amqp.Dial(url)
	if err != nil {
		b.Fatal(err)
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := channel.QueueDeclare(queue, false, false, false, false, nil); err != nil {
		b.Fatal(err)
	}
	defer channel.QueueDelete(queue, false, false, false)
	began, done := time.Now(), make(chan struct{})
	stop := consume(b, url, queue, func(body []byte) {
		took = append(took, time.Since(began)-time.Duration(binary.BigEndian.Uint64(body)))
		if len(took) == messages {
			close(done)
		}
	})
	defer stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range messages {
		<-tick.C
		body := binary.BigEndian.AppendUint64(nil, uint64(time.Since(began)))
		if err := channel.PublishWithContext(b.Context(), "", queue, false, false, amqp.Publishing{Body: body}); err != nil {
			b.Fatal(err)
		}
	}
	<-done
	return took
}

func consumeBare(tb testing.TB, url, queue string, handle func([]byte)) (stop func()) {
	connection, err := amqp.Dial(url)
	if err != nil {
		tb.Fatal(err)
	}
	channel, err := connection.Channel()
	if err != nil {
		tb.Fatal(err)
	}
	if err := channel.Qos(prefetch, 0, false); err != nil {
		tb.Fatal(err)
	}
	deliveries, err := channel.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		tb.Fatal(err)
	}
	go func() {
		for d := range deliveries {
			handle(d.Body)
			if err := d.Ack(false); err != nil {
				tb.Error(err)
			}
		}
	}()
	return func() { connection.Close() }
}

func consumeEverhop(tb testing.TB, url, queue string, handle func([]byte)) (stop func()) {
	c, err := consumer.New(consumer.Config{URLs: []string{url}, Subscriptions: []consumer.Subscription{{
		Queue: queue, Prefetch: prefetch,
		Handler: func(_ context.Context, d *consumer.Delivery) error { handle(d.Body); return nil },
	}}})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	}
}
