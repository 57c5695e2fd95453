//go:build unix

package consumer_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer/internal/contest"
)

// BenchmarkThroughput measures how fast a backlog is consumed: by loops over amqp091-go, and by Everhop with
// handlers that do nothing. The contestants take turns, so that what else the machine does meets them all;
// compare the ratios, which are taken within a round, rather than the rates. It prints tables in Markdown:
//
//	go test -run '^$' -bench Throughput -benchtime 1x -timeout 60m ./consumer
//
// EVERHOP_BENCH_MESSAGES is the length of the backlog, 200000 by default, and EVERHOP_BENCH_ROUNDS how often
// each contestant gets one, 5 by default; on a busy machine more and shorter rounds tell more. On the in-process
// broker the client is the limit. EVERHOP_BENCH_PROFILES is a directory for CPU profiles.
//
// It fails when Everhop is slower than it has to be, by more than the rounds leave in doubt.
func BenchmarkThroughput(b *testing.B) {
	for _, place := range []struct {
		name  string
		open  func(testing.TB) *arena
		least map[string]float64 // what Everhop's rate must be, of others'
	}{
		{"classic", func(tb testing.TB) *arena { return onRabbitMQ(tb, "classic") }, map[string]float64{oneAck: 1.8, handTuned: 1.2}},
		{"quorum", func(tb testing.TB) *arena { return onRabbitMQ(tb, "quorum") }, nil},
		{"in-process", inProcess, map[string]float64{handTuned: 1.8}}, // where the client is the limit
	} {
		b.Run(place.name, func(b *testing.B) {
			a := place.open(b)
			var names []string
			for _, c := range contestants {
				names = append(names, c.name)
			}
			missing := ""
			if program, err := buildInC(b); err == nil {
				a.inC = program
				names = append(names, librabbitmq)
			} else {
				missing = fmt.Sprintf("\nThere is no row of %q: %v", librabbitmq, err)
			}
			s := a.compete(names)
			fmt.Printf("\n%s\n\n%s\n%s%s\n\n", a.title, s.table(names), s.conditions(a), missing)
			b.ReportMetric(0, "ns/op") // not the time of an operation: hide it
			for other, least := range place.least {
				if r := s.ratio(everhop1, other); r.Median+r.Doubt < least {
					b.Errorf("%s is %v times as fast as %s, and should be %v times", everhop1, r, other, least)
				}
			}
		})
	}
}

// What a message may cost.
const (
	mostAllocations = 2.5  // the Delivery, the body, and what the runtime does meanwhile: it has no id
	mostCPU         = 0.55 // of what it costs the hand-tuned loop
)

// BenchmarkOverhead measures what a message costs Everhop, with one handler at a time, beside a loop over amqp091-go
// that acknowledges 64 messages at once. The broker is the in-process one. Settings are BenchmarkThroughput's.
func BenchmarkOverhead(b *testing.B) {
	s := inProcess(b).compete([]string{handTuned, everhop1})
	own := func(of func(score) float64) float64 {
		return contest.Median(s.pairs(everhop1, everhop1, func(x, _ score) float64 { return of(x) }))
	}
	allocations := own(score.allocations)
	cpu := contest.Median(s.pairs(everhop1, handTuned, func(x, y score) float64 { return x.cpu() / y.cpu() }))
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(own(score.cpu), "cpu-ns/msg")
	b.ReportMetric(cpu, "of-hand-tuned-cpu")
	b.ReportMetric(allocations, "allocs/msg")
	if allocations > mostAllocations {
		b.Errorf("%.2f allocations per message, and %.1f are allowed", allocations, mostAllocations)
	}
	if cpu > mostCPU {
		b.Errorf("%.2f of the CPU time of the hand-tuned loop, and %.2f is allowed", cpu, mostCPU)
	}
}

// TestThroughputContestants has each contestant do its work once, on few messages, so that the benchmark's
// figures are of what it says.
func TestThroughputContestants(t *testing.T) {
	t.Parallel()
	const messages = 2000
	frames := map[string]int64{
		oneAck:              messages,
		"one-ack, Recovery": messages,
		handTuned:           (messages + batch - 1) / batch,
	}
	server := brokertest.NewServer(t)
	a := newArena(t, server.URL(), nil)
	a.frames = true
	settled := func() int64 {
		return int64(server.Count("basic.ack") + server.Count("basic.nack") + server.Count("basic.reject"))
	}
	for _, c := range contestants {
		before := settled()
		s := a.play(c.name, messages)
		if want, fixed := frames[c.name]; fixed && s.Acks != want {
			t.Errorf("%s: %d acknowledgement frames, want %d", c.name, s.Acks, want)
		}
		confirms := int64(messages) // of the publisher, by the same method
		if seen := settled() - before - confirms; s.Acks != seen {
			t.Errorf("%s: counted %d acknowledgement frames, the broker %d", c.name, s.Acks, seen)
		}
		if s.Elapsed <= 0 || s.CPU <= 0 || s.Mallocs == 0 || s.Bytes == 0 {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

// arena is a broker, and the kind of queue that is consumed from there.
type arena struct {
	testing.TB
	title    string
	url      string
	queue    amqp.Table // its arguments
	channel  *amqp.Channel
	confirms chan amqp.Confirmation
	heats    int
	inC      string // the contestant in C, if there is one
	broker   string // product and version
	frames   bool   // of Everhop are counted, too
	// forgets is how many acknowledgements may be lost when a connection is closed right behind them: those
	// that RabbitMQ's channel holds back from a busy quorum queue go with the channel.
	forgets int
}

func onRabbitMQ(tb testing.TB, queueType string) *arena {
	a := newArena(tb, rabbittest.Shared(tb).URL(), amqp.Table{"x-queue-type": queueType})
	a.title = "On RabbitMQ, durable " + queueType + " queue:"
	if queueType == "quorum" {
		a.forgets = prefetch
	}
	return a
}

func inProcess(tb testing.TB) *arena {
	a := newArena(tb, brokertest.NewServer(tb).URL(), nil)
	a.title = "On brokertest, in the process of the benchmark:"
	return a
}

func newArena(tb testing.TB, url string, queue amqp.Table) *arena {
	connection, err := amqp.Dial(url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { connection.Close() })
	channel, err := connection.Channel()
	if err != nil {
		tb.Fatal(err)
	}
	if err := channel.Confirm(false); err != nil {
		tb.Fatal(err)
	}
	return &arena{
		TB: tb, url: url, queue: queue, channel: channel,
		confirms: channel.NotifyPublish(make(chan amqp.Confirmation, 4096)),
		broker:   fmt.Sprintf("%v %v", connection.Properties["product"], connection.Properties["version"]),
	}
}

// compete gives every contestant its turn in every round, each time in another order.
func (a *arena) compete(names []string) scores {
	messages, rounds := contest.Setting(a, "EVERHOP_BENCH_MESSAGES", 200_000), contest.Setting(a, "EVERHOP_BENCH_ROUNDS", 5)
	all := scores{}
	for round := range rounds {
		for i := range names { // neither always first, nor always behind the same one
			i = (round + i) % len(names)
			if round%2 == 1 {
				i = len(names) - 1 - i
			}
			name := names[i]
			s := a.play(name, messages)
			a.Logf("round %d, %s: %.0f msg/s, %.0f ns of CPU time per message", round+1, name, s.rate(), s.cpu())
			all[name] = append(all[name], s)
		}
	}
	return all
}

// play fills a queue, has it consumed, and checks that every message was handled once and none came back.
func (a *arena) play(name string, messages int) score {
	a.Helper()
	a.heats++ // a queue of its own: a quorum queue's name is not free at once
	queue := fmt.Sprintf("throughput.%d", a.heats)
	if _, err := a.channel.QueueDeclare(queue, true, false, false, false, a.queue); err != nil {
		a.Fatal(err)
	}
	a.publish(queue, messages)
	h := heat{Contestant: name, URL: a.url, Queue: queue, Messages: messages, Frames: a.frames}
	if dir := os.Getenv("EVERHOP_BENCH_PROFILES"); dir != "" {
		h.Profile = filepath.Join(dir, fmt.Sprintf("%s-%d.prof", name, a.heats))
	}
	var s score
	if name == librabbitmq {
		s = a.playInC(h)
	} else {
		s = inChild[score](a, "TestContestant", h)
	}
	if s.Handled != messages {
		a.Errorf("%s: %d messages were handled, want %d", name, s.Handled, messages)
	}
	q, err := a.channel.QueueDeclarePassive(queue, true, false, false, false, a.queue)
	if err != nil {
		a.Fatal(err)
	}
	if s.Returned = q.Messages; s.Returned > a.forgets {
		a.Errorf("%s: %d messages came back", name, s.Returned)
	}
	if _, err := a.channel.QueueDelete(queue, false, false, false); err != nil {
		a.Fatal(err)
	}
	return s
}

// publish does not wait for one confirm before it sends the next message, but for all in the end.
func (a *arena) publish(queue string, messages int) {
	a.Helper()
	failed := make(chan error, 1)
	go func() {
		message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: make([]byte, 256)}
		for range messages {
			if err := a.channel.PublishWithContext(context.Background(), "", queue, false, false, message); err != nil {
				failed <- err
				return
			}
		}
	}()
	for range messages {
		select {
		case c := <-a.confirms:
			if !c.Ack {
				a.Fatal("a message was not confirmed")
			}
		case err := <-failed:
			a.Fatal(err)
		}
	}
}

func (s score) rate() float64        { return float64(s.Handled) / s.Elapsed.Seconds() }
func (s score) cpu() float64         { return s.per(float64(s.CPU)) }
func (s score) allocations() float64 { return s.per(float64(s.Mallocs)) }
func (s score) bytes() float64       { return s.per(float64(s.Bytes)) }
func (s score) frames() float64      { return s.per(float64(s.Acks)) }

func (s score) per(total float64) float64 { return total / float64(s.Handled) }

// scores are each contestant's, one a round.
type scores map[string][]score

// table has the medians over the rounds; a ratio is the median of the ratios within the rounds.
func (s scores) table(names []string) string {
	var text strings.Builder
	text.WriteString("| | msg/s | of one-ack | of hand-tuned | CPU s per million | allocations per message |" +
		" bytes per message | ack frames per message |\n|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, name := range names {
		of := func(f func(score) float64) float64 {
			return contest.Median(s.pairs(name, name, func(x, _ score) float64 { return f(x) }))
		}
		frames := ""
		if n := of(score.frames); n > 0 { // Everhop's are not counted here
			frames = fmt.Sprintf("%.3g", n)
		}
		fmt.Fprintf(&text, "| %s | %.0f | %v | %v | %.2f | %.1f | %.0f | %s |\n", name, of(score.rate),
			s.ratio(name, oneAck), s.ratio(name, handTuned), of(score.cpu)/1000, of(score.allocations), of(score.bytes), frames)
	}
	return text.String()
}

// conditions say under which the table holds.
func (s scores) conditions(a *arena) string {
	var rounds, messages, returned int
	var closed time.Duration
	for _, list := range s {
		rounds, messages = len(list), list[0].Handled
		for _, x := range list {
			closed = max(closed, x.Closed)
			returned = max(returned, x.Returned)
		}
	}
	text := fmt.Sprintf("Medians of %d rounds; %d persistent messages of 256 bytes, prefetch %d. The connection was"+
		" closed at most %v after the last message.", rounds, messages, prefetch, closed.Round(100*time.Microsecond))
	if rounds > 1 {
		text += " Behind a ratio stands its standard error."
	}
	if returned > 0 {
		text += fmt.Sprintf(" Up to %d messages came back then.", returned)
	}
	return fmt.Sprintf("%s\n%s, %s, %d cores (%s).", text, a.broker, runtime.Version(), runtime.NumCPU(), processor())
}

// processor is the model where Linux tells it, else the architecture.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// pairs combines two contestants' scores, round by round.
func (s scores) pairs(x, y string, f func(x, y score) float64) (values []float64) {
	for round := range s[x] {
		values = append(values, f(s[x][round], s[y][round]))
	}
	return values
}

// ratio is how many times as fast one is as another.
func (s scores) ratio(name, to string) contest.Ratio {
	return contest.RatioOf(s.pairs(name, to, func(x, y score) float64 { return x.rate() / y.rate() }))
}
