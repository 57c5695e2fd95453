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
	"github.com/everhop/everhop/consumer/internal/contest"
)

// BenchmarkLatency measures the time from before a message is published until its handler has it, at 1,000
// messages per second, for a loop over amqp091-go and for Everhop, in turns. It prints a table in Markdown:
//
//	go test -run '^$' -bench Latency -benchtime 1x ./consumer
//
// It fails when Everhop is clearly slower, in the median or in the slowest hundredth.
func BenchmarkLatency(b *testing.B) {
	const messages, rounds = 2000, 9
	url := rabbittest.Shared(b).URL()
	consume := map[string]func(testing.TB, string, string, func([]byte)) (stop func()){oneAck: consumeBare, everhop1: consumeEverhop}
	names := []string{oneAck, everhop1}
	took := map[string][][]time.Duration{} // by round
	for round := range rounds {
		for i, name := range names {
			queue := fmt.Sprintf("latency.%d.%d", round, i)
			took[name] = append(took[name], latencies(b, url, queue, messages, consume[name]))
		}
		slices.Reverse(names)
	}
	slices.Sort(names)
	var text strings.Builder
	text.WriteString("| | p50 | p99 |\n|---|--:|--:|\n")
	for _, name := range names {
		all := slices.Concat(took[name]...)
		fmt.Fprintf(&text, "| %s | %v | %v |\n", name, contest.Percentile(all, 50).Round(time.Microsecond), contest.Percentile(all, 99).Round(time.Microsecond))
	}
	fmt.Printf("\nPublish to handler at 1,000 messages per second, %d rounds:\n\n%s\n", rounds, &text)
	b.ReportMetric(0, "ns/op")
	for _, p := range []int{50, 99} {
		r := timesAsLong(took[everhop1], took[oneAck], p)
		b.ReportMetric(r.Median, fmt.Sprintf("x-p%d", p))
		if isClearlyMore(r) {
			b.Errorf("p%d: %s takes %v times as long as %s", p, everhop1, r, oneAck)
		}
	}
}

// timesAsLong compares a percentile within each round.
func timesAsLong(took, other [][]time.Duration, p int) contest.Ratio {
	var ratios []float64
	for round := range took {
		ratios = append(ratios, float64(contest.Percentile(took[round], p))/float64(contest.Percentile(other[round], p)))
	}
	return contest.RatioOf(ratios)
}

// isClearlyMore: a tenth more is nothing that anybody would notice, and the rest must be more than the rounds leave in
// doubt, with one chance in forty that it is not.
func isClearlyMore(r contest.Ratio) bool { return r.Median-2*r.Doubt > 1.1 }

func TestLatencyThatIsClearlyMore(t *testing.T) {
	rounds := func(p99s ...time.Duration) (all [][]time.Duration) { // in microseconds
		for _, p99 := range p99s {
			all = append(all, append(slices.Repeat([]time.Duration{300}, 197), p99, p99, p99))
		}
		return all
	}
	usual := rounds(1000, 1400, 900, 1100, 1000)
	for _, test := range []struct {
		name  string
		took  [][]time.Duration
		fails bool
	}{
		{"the same", usual, false},
		{"half", rounds(500, 700, 450, 550, 500), false},
		{"a tenth more", rounds(1090, 1500, 980, 1200, 1090), false},
		{"twice as much in one round", rounds(1000, 2800, 900, 1100, 1000), false},
		{"up and down", rounds(2500, 700, 1800, 600, 1500), false},
		{"half as much again", rounds(1500, 2000, 1400, 1700, 1500), true},
		{"three times as much, more or less", rounds(2500, 5000, 2500, 3500, 3000), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if r := timesAsLong(test.took, usual, 99); isClearlyMore(r) != test.fails {
				t.Errorf("%v times as long: fails %t", r, !test.fails)
			}
			if r := timesAsLong(test.took, usual, 50); isClearlyMore(r) {
				t.Errorf("the median is the same, and told as %v", r)
			}
		})
	}
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
