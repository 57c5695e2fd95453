package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/rabbittest"
)

const (
	// oneAckEnv makes the test binary be the loop that everhop is measured against: URL QUEUE COUNT.
	oneAckEnv = "EVERHOP_TEST_ONE_ACK"
	// leastSpeedup is how many times as fast as that loop everhop has to be.
	leastSpeedup = 1.2
	benchBody    = 256
)

// BenchmarkConsumeOutput compares `everhop consume --output body` into a pipe with a loop over amqp091-go
// that does nothing but acknowledge, one message after another. They take turns at one queue, each in a
// process of its own, from its start to its end. EVERHOP_BENCH_MESSAGES and EVERHOP_BENCH_ROUNDS say how
// much is measured, EVERHOP_BENCH_PREFETCH with which prefetch.
func BenchmarkConsumeOutput(b *testing.B) {
	messages, rounds := benchSetting(b, "MESSAGES", 200_000), benchSetting(b, "ROUNDS", 3)
	prefetch := strconv.Itoa(benchSetting(b, "PREFETCH", 256))
	node := rabbittest.Shared(b)
	queue := newQueue(b)
	program := filepath.Join(b.TempDir(), "everhop")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	count := strconv.Itoa(messages)
	contestants := []struct {
		args  []string
		env   string
		bytes int // that it writes
	}{
		{[]string{os.Args[0]}, oneAckEnv + "=" + strings.Join([]string{node.URL(), queue, count, prefetch}, " "), 0},
		{[]string{program, "consume", "--queue", queue, "--output", "body", "--prefetch", prefetch, "--count", count},
			urlVariable + "=" + node.URL(), messages * (benchBody + 1)},
	}
	var table strings.Builder
	table.WriteString("| round | one ack each, amqp091-go | everhop consume | ratio |\n|---|---|---|---|\n")
	var ratios []float64
	for b.Loop() {
		for round := range rounds {
			var rates [2]float64
			for i := range contestants {
				i = (i + round) % 2 // neither is always first
				c := contestants[i]
				publishMany(b, queue, slices.Repeat([]string{strings.Repeat("x", benchBody)}, messages))
				cmd := exec.Command(c.args[0], c.args[1:]...)
				cmd.Env = append(os.Environ(), c.env)
				rates[i] = float64(messages) / timed(b, cmd, c.bytes).Seconds()
				holds(b, queue, 0)
			}
			ratios = append(ratios, rates[1]/rates[0])
			fmt.Fprintf(&table, "| %d | %.0f/s | %.0f/s | %.2f |\n", round+1, rates[0], rates[1], rates[1]/rates[0])
		}
	}
	slices.Sort(ratios)
	median := ratios[len(ratios)/2]
	fmt.Printf("\n%d messages of %d bytes, prefetch %s:\n\n%s| median | | | %.2f |\n\n", messages, benchBody, prefetch, &table, median)
	b.ReportMetric(median, "ratio")
	if median < leastSpeedup {
		b.Errorf("everhop consume is %.2f times as fast as one ack each, and should be %v times", median, leastSpeedup)
	}
}

func benchSetting(b *testing.B, name string, otherwise int) int {
	b.Helper()
	text := os.Getenv("EVERHOP_BENCH_" + name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("EVERHOP_BENCH_%s=%s: expected a whole number, 1 or more", name, text)
	}
	return n
}

// timed runs a program that writes so many bytes into a pipe, from its start to its end.
func timed(b *testing.B, cmd *exec.Cmd, want int) time.Duration {
	b.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	got, _ := io.Copy(io.Discard, stdout)
	if err := cmd.Wait(); err != nil || got != int64(want) {
		b.Fatalf("%v: %v, %d bytes, want %d; standard error:\n%s", cmd.Args, err, got, want, &stderr)
	}
	return time.Since(begin)
}

// oneAck is the loop.
func oneAck(setting string) error {
	var url, queue string
	var count, prefetch int
	if _, err := fmt.Sscan(setting, &url, &queue, &count, &prefetch); err != nil {
		return err
	}
	connection, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.Qos(prefetch, 0, false); err != nil {
		return err
	}
	deliveries, err := channel.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for range count {
		d, open := <-deliveries
		if !open {
			return amqp.ErrClosed
		}
		if err := d.Ack(false); err != nil {
			return err
		}
	}
	return connection.Close() // which RabbitMQ answers when it has the acknowledgements
}
