//go:build unix

package publish_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer/internal/contest"
	"github.com/everhop/everhop/consumer/publish"
)

// inFlight is how many messages await their confirm: of a publisher's window one queue gets half.
const inFlight = publish.DefaultWindow / 2

// many is how many goroutines wait for each of their messages.
const many = 64

// The contestants publish the same messages, and end when the last one is confirmed.
const (
	tuned     = "amqp091-go, deferred confirms"
	tunedMany = "amqp091-go, 64 goroutines"
	ours      = "Everhop, Send"
	oursMany  = "Everhop, Publish in 64 goroutines"
)

var contestants = []string{tuned, ours, tunedMany, oursMany}

// BenchmarkPublish measures how fast confirmed, persistent messages of 256 bytes are published, by one goroutine and by 64, and
// what that costs: by amqp091-go as a program would be tuned by hand, and by a Publisher. The contestants take turns; compare
// the ratios, which are taken within a round. It prints tables in Markdown:
//
//	go test -run '^$' -bench Publish -benchtime 1x -timeout 60m ./consumer/publish
//
// EVERHOP_BENCH_MESSAGES is how many messages each contestant has in each round, 100000 by default, EVERHOP_BENCH_ROUNDS the
// number of rounds, 5 by default. EVERHOP_BENCH_PROFILES is a directory for CPU profiles.
//
// It fails when Everhop is clearly slower, or takes clearly more CPU time, than it may.
func BenchmarkPublish(b *testing.B) {
	for _, kind := range []string{"classic", "quorum"} {
		b.Run(kind, func(b *testing.B) {
			node := rabbittest.Shared(b)
			scores := compete(b, node.URL(), kind, contest.Setting(b, "EVERHOP_BENCH_MESSAGES", 100_000), contest.Setting(b, "EVERHOP_BENCH_ROUNDS", 5))
			fmt.Printf("\nRabbitMQ %s, durable %s queue:\n\n%s\n", node.Version(), kind, table(scores))
			b.ReportMetric(0, "ns/op") // not the time of an operation: hide it
			for _, pair := range [][2]string{{ours, tuned}, {oursMany, tunedMany}} {
				if r := compare(scores, pair[0], pair[1], score.rate); r.Median+r.Doubt < 0.95 {
					b.Errorf("%s is %v times as fast as %s, and should be 0.95 times", pair[0], r, pair[1])
				}
				if r := compare(scores, pair[0], pair[1], score.cpu); r.Median-r.Doubt > 1.2 {
					b.Errorf("%s takes %v times the CPU time of %s, and 1.2 times is allowed", pair[0], r, pair[1])
				}
			}
		})
	}
}

// BenchmarkPublishLatency measures how long Publish takes at 1,000 messages a second, beside a program over amqp091-go that
// waits for each confirm.
func BenchmarkPublishLatency(b *testing.B) {
	node := rabbittest.Shared(b)
	rounds := contest.Setting(b, "EVERHOP_BENCH_ROUNDS", 5)
	took := map[string][][]time.Duration{}
	for _, kind := range []string{"classic", "quorum"} {
		for round := range rounds {
			names := []string{tuned, ours}
			if round%2 == 1 {
				slices.Reverse(names)
			}
			for _, name := range names {
				withPublishers(b, node.URL(), kind, func(g grounds) {
					took[kind+name] = append(took[kind+name], g.latencies(name, 2000))
				})
			}
		}
	}
	fmt.Printf("\nPublish until confirmed at 1,000 messages a second, %d rounds:\n\n| queue | | p50 | p99 |\n|---|---|--:|--:|\n", rounds)
	for _, kind := range []string{"classic", "quorum"} {
		for _, name := range []string{tuned, ours} {
			all := slices.Concat(took[kind+name]...)
			fmt.Printf("| %s | %s | %v | %v |\n", kind, name, contest.Percentile(all, 50).Round(time.Microsecond), contest.Percentile(all, 99).Round(time.Microsecond))
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, kind := range []string{"classic", "quorum"} {
		for _, p := range []int{50, 99} {
			var ratios []float64
			for round := range rounds {
				ratios = append(ratios, float64(contest.Percentile(took[kind+ours][round], p))/float64(contest.Percentile(took[kind+tuned][round], p)))
			}
			r := contest.RatioOf(ratios)
			b.ReportMetric(r.Median, fmt.Sprintf("x-p%d-%s", p, kind))
			if r.Median-2*r.Doubt > 1.2 {
				b.Errorf("%s, p%d: Everhop takes %v times as long", kind, p, r)
			}
		}
	}
}

// TestContestants has each of them do its work once, so that the figures are of what they say.
func TestContestants(t *testing.T) {
	t.Parallel()
	const messages = 2000
	server := brokertest.NewServer(t)
	for _, name := range contestants {
		withPublishers(t, server.URL(), "classic", func(g grounds) {
			s := g.play(name, messages)
			q, _ := server.Queue(g.queue)
			if q.Ready != messages || s.CPU <= 0 || s.Elapsed <= 0 || s.Mallocs == 0 {
				t.Errorf("%s: %d messages, %+v", name, q.Ready, s)
			}
		})
	}
	withPublishers(t, server.URL(), "classic", func(g grounds) {
		for _, name := range []string{tuned, ours} {
			if took := g.latencies(name, 20); len(took) != 20 || slices.Min(took) <= 0 {
				t.Errorf("%s: %v", name, took)
			}
		}
	})
}

// score is what a contestant's turn came to.
type score struct {
	Messages int
	Elapsed  time.Duration
	CPU      time.Duration // user and system, of this process
	Mallocs  uint64
}

func (s score) rate() float64        { return float64(s.Messages) / s.Elapsed.Seconds() }
func (s score) cpu() float64         { return float64(s.CPU) / float64(s.Messages) }
func (s score) allocations() float64 { return float64(s.Mallocs) / float64(s.Messages) }

// compete gives every contestant its turn in every round, each time in another order.
func compete(tb testing.TB, url, kind string, messages, rounds int) map[string][]score {
	tb.Helper()
	scores := map[string][]score{}
	for round := range rounds {
		for i := range contestants {
			i = (round + i) % len(contestants)
			if round%2 == 1 {
				i = len(contestants) - 1 - i
			}
			name := contestants[i]
			withPublishers(tb, url, kind, func(g grounds) {
				g.play(name, messages/20) // to warm up
				if dir := os.Getenv("EVERHOP_BENCH_PROFILES"); dir != "" {
					file, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s-%d-%d.prof", kind, i, round)))
					g.must(err)
					g.must(pprof.StartCPUProfile(file))
					defer file.Close()
					defer pprof.StopCPUProfile()
				}
				s := g.play(name, messages)
				tb.Logf("round %d, %s: %.0f msg/s, %.0f ns of CPU time per message", round+1, name, s.rate(), s.cpu())
				scores[name] = append(scores[name], s)
			})
		}
	}
	return scores
}

// grounds are where a turn takes place: a queue, and a publisher of either kind.
type grounds struct {
	testing.TB
	queue     string
	channel   *amqp.Channel
	publisher *publish.Publisher
}

func (g grounds) must(err error) {
	if err != nil {
		g.Helper()
		g.Fatal(err)
	}
}

// withPublishers makes a queue of its own, since that of an earlier turn is not empty.
func withPublishers(tb testing.TB, url, kind string, do func(grounds)) {
	tb.Helper()
	g := grounds{TB: tb, queue: fmt.Sprintf("publish.%d", time.Now().UnixNano())}
	connection, err := amqp.Dial(url)
	g.must(err)
	defer connection.Close()
	g.channel, err = connection.Channel()
	g.must(err)
	_, err = g.channel.QueueDeclare(g.queue, true, false, false, false, amqp.Table{"x-queue-type": kind})
	g.must(err)
	g.must(g.channel.Confirm(false))
	g.publisher, err = publish.New(publish.Config{URLs: []string{url}})
	g.must(err)
	ended := make(chan error, 1)
	go func() { ended <- g.publisher.Run(context.Background()) }()
	g.must(g.publisher.DeclareQueue(context.Background(), g.queue, broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-queue-type": kind}}))
	do(g)
	g.must(errors.Join(g.publisher.Stop(context.Background()), <-ended))
	_, err = g.channel.QueueDelete(g.queue, false, false, false)
	g.must(err)
}

func (g grounds) play(name string, messages int) score {
	g.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cpu, began := cpuTime(g), time.Now()
	switch name {
	case tuned:
		g.tuned(messages)
	case tunedMany:
		g.inMany(messages, g.tunedOne)
	case ours:
		for range messages {
			_, err := g.publisher.Send(context.Background(), &broker.Message{RoutingKey: g.queue, Body: body()})
			g.must(err)
		}
		g.must(g.publisher.Flush(context.Background()))
	case oursMany:
		g.inMany(messages, g.oursOne)
	}
	s := score{Messages: messages, Elapsed: time.Since(began), CPU: cpuTime(g) - cpu}
	runtime.ReadMemStats(&after)
	s.Mallocs = after.Mallocs - before.Mallocs
	if refused := g.publisher.Stats(); refused.Refused+refused.Unroutable > 0 {
		g.Errorf("%+v", refused)
	}
	return s
}

// body is one that each message has of its own, as those of a program do.
func body() []byte { return make([]byte, 256) }

func (g grounds) publishing() amqp.Publishing {
	return amqp.Publishing{DeliveryMode: amqp.Persistent, Timestamp: time.Now(), Body: body()}
}

// tuned keeps as many messages in flight as the window of a Publisher does, and waits for the oldest one.
func (g grounds) tuned(messages int) {
	window := make([]*amqp.DeferredConfirmation, inFlight)
	wait := func(c *amqp.DeferredConfirmation) {
		if c != nil && !c.Wait() {
			g.Error("a message was refused")
		}
	}
	for i := range messages {
		wait(window[i%inFlight])
		c, err := g.channel.PublishWithDeferredConfirm("", g.queue, true, false, g.publishing())
		g.must(err)
		window[i%inFlight] = c
	}
	for _, c := range window {
		wait(c)
	}
}

func (g grounds) tunedOne() {
	c, err := g.channel.PublishWithDeferredConfirm("", g.queue, true, false, g.publishing())
	if err != nil || !c.Wait() {
		g.Errorf("a message was refused: %v", err)
	}
}

func (g grounds) oursOne() {
	if err := g.publisher.Publish(context.Background(), &broker.Message{RoutingKey: g.queue, Body: body()}); err != nil {
		g.Error(err)
	}
}

func (g grounds) inMany(messages int, one func()) {
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			for n := i; n < messages; n += many {
				one()
			}
		})
	}
	all.Wait()
}

// latencies publishes 1,000 messages a second, and returns how long each took.
func (g grounds) latencies(name string, messages int) (took []time.Duration) {
	one := map[string]func(){tuned: g.tunedOne, ours: g.oursOne}[name]
	next := time.NewTicker(time.Millisecond)
	defer next.Stop()
	for range messages {
		<-next.C
		began := time.Now()
		one()
		took = append(took, time.Since(began))
	}
	return took
}

func cpuTime(g grounds) time.Duration {
	var usage syscall.Rusage
	g.must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func table(scores map[string][]score) string {
	var text strings.Builder
	text.WriteString("| | msg/s | of amqp091-go's | CPU s per million | of amqp091-go's | allocations per message |\n|---|--:|--:|--:|--:|--:|\n")
	for _, name := range contestants {
		other := tuned
		if name == oursMany || name == tunedMany {
			other = tunedMany
		}
		own := func(of func(score) float64) float64 {
			var values []float64
			for _, s := range scores[name] {
				values = append(values, of(s))
			}
			return contest.Median(values)
		}
		fmt.Fprintf(&text, "| %s | %.0f | %v | %.2f | %v | %.1f |\n", name, own(score.rate), compare(scores, name, other, score.rate),
			own(score.cpu)/1000, compare(scores, name, other, score.cpu), own(score.allocations))
	}
	fmt.Fprintf(&text, "\nMedians of %d rounds of %d messages, %s, %d cores. Behind a ratio stands its standard error.\n",
		len(scores[tuned]), scores[tuned][0].Messages, runtime.Version(), runtime.NumCPU())
	return text.String()
}

// compare takes the ratios within the rounds.
func compare(scores map[string][]score, name, to string, of func(score) float64) contest.Ratio {
	var ratios []float64
	for round := range scores[name] {
		ratios = append(ratios, of(scores[name][round])/of(scores[to][round]))
	}
	return contest.RatioOf(ratios)
}
