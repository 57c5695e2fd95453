//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
)

// mostExec is how many times as long as amqp-consume `everhop consume --exec` may take, each as it is by default, beyond the
// doubt of the measurement.
const mostExec = 1.0

// BenchmarkConsumeExec compares `everhop consume --exec cat` with `amqp-consume cat` of amqp-tools, from their start to their
// end: both as they are by default, and both with one unacknowledged message. They take turns at one queue.
// EVERHOP_BENCH_MESSAGES and EVERHOP_BENCH_ROUNDS say how much is measured.
func BenchmarkConsumeExec(b *testing.B) {
	if _, err := exec.LookPath("amqp-consume"); err != nil {
		b.Skip("needs amqp-consume (on Debian: apt-get install amqp-tools)")
	}
	messages, rounds := benchSetting(b, "MESSAGES", 1500), benchSetting(b, "ROUNDS", 7)
	node := rabbittest.Shared(b)
	queue := newQueue(b)
	program := filepath.Join(b.TempDir(), "everhop")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	theirs := []string{"amqp-consume", "--url", strings.TrimSuffix(node.URL(), "/"), "--queue", queue, "--count", strconv.Itoa(messages)}
	ours := []string{program, "consume", "--queue", queue, "--count", strconv.Itoa(messages), "--exec", "cat"}
	contestants := []struct {
		name    string
		args    []string
		against int // whose time its time is divided by
		times   []float64
	}{
		{name: "amqp-consume cat", args: append(slices.Clone(theirs), "cat"), against: 0},
		{name: "everhop consume --exec cat", args: ours, against: 0},
		{name: "amqp-consume --prefetch-count 1 cat", args: append(slices.Clone(theirs), "--prefetch-count", "1", "cat"), against: 2},
		{name: "everhop consume --prefetch 1 --exec cat", args: append(slices.Clone(ours), "--prefetch", "1"), against: 2},
	}
	body := strings.Repeat("x", benchBody)
	for b.Loop() {
		for round := range rounds {
			for i := range contestants {
				c := &contestants[(i+round)%len(contestants)] // none is always first
				publishMany(b, queue, slices.Repeat([]string{body}, messages))
				c.times = append(c.times, timedToNowhere(b, c.args, node.URL()).Seconds())
				holds(b, queue, 0)
			}
		}
	}
	fmt.Printf("\n%d messages of %d bytes, the medians of %d rounds:\n\n| | time | ratio |\n|---|--:|--:|\n", messages, benchBody, len(contestants[0].times))
	for _, c := range contestants {
		ratios := make([]float64, len(c.times))
		for round, t := range c.times {
			ratios[round] = t / contestants[c.against].times[round]
		}
		ratio, doubt := middleOf(ratios)
		middle, _ := middleOf(slices.Clone(c.times))
		fmt.Printf("| %s | %.2f s | %.2f ± %.2f |\n", c.name, middle, ratio, doubt)
		if c.against == 0 && ratio-2*doubt > mostExec {
			b.Errorf("%s takes %.2f ± %.2f times as long as %s, and may take %v", c.name, ratio, doubt, contestants[c.against].name, mostExec)
		}
	}
	fmt.Println()
}

// timedToNowhere runs a program whose standard output nobody reads.
func timedToNowhere(b *testing.B, args []string, url string) time.Duration {
	b.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), urlVariable+"="+url)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("%v: %v; standard error:\n%s", args, err, &stderr)
	}
	return time.Since(begin)
}
