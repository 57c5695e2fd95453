package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

var timestamp = regexp.MustCompile(`"timestamp":"20[-0-9]+T[:0-9]+Z"`)

func TestConsumeOutput(t *testing.T) {
	tests := []struct {
		output string
		want   []string
	}{
		{"body", []string{"plain\n", "\n", "\xff\x00\n"}},
		{"jsonl", []string{
			`{"body":"plain","queue":"QUEUE","exchange":"","routing_key":"QUEUE","redelivered":false,"message_id":"m1","headers":{"list":["a",1],"n":7,"raw":"text","s":"<&>"},"timestamp":"T","header_types":{"list":{"1":"int32"},"raw":"bytes"},"delivery_mode":2}` + "\n",
			`{"body":"","queue":"QUEUE","exchange":"","routing_key":"QUEUE","redelivered":false,"message_id":"m2","headers":{},"timestamp":"T","delivery_mode":2}` + "\n",
			`{"body_base64":"/wA=","queue":"QUEUE","exchange":"","routing_key":"QUEUE","redelivered":false,"message_id":"m3","headers":{},"timestamp":"T","delivery_mode":2}` + "\n",
		}},
		{"none", []string{""}},
	}
	for _, tt := range tests {
		t.Run(tt.output, func(t *testing.T) {
			queue := newQueue(t)
			publishOne(t, broker.Message{RoutingKey: queue, MessageID: "m1", Body: []byte("plain"), Headers: map[string]any{
				"s": "<&>", "n": int64(7), "raw": []byte("text"), "list": []any{"a", int32(1)},
			}})
			publishOne(t, broker.Message{RoutingKey: queue, MessageID: "m2"})
			publishOne(t, broker.Message{RoutingKey: queue, MessageID: "m3", Body: []byte("\xff\x00")})

			p := everhop(t, 0, "", "consume", "--queue", queue, "--count", "3", "--output", tt.output)
			got := timestamp.ReplaceAllString(p.stdout.String(), `"timestamp":"T"`)
			got = strings.ReplaceAll(got, queue, "QUEUE")
			if diff := cmp.Diff(strings.Join(tt.want, ""), got); diff != "" {
				t.Error(diff)
			}
			holds(t, queue, 0)
		})
	}
}

func TestConsumeCount(t *testing.T) {
	bodies := strings.Fields("1 2 3 4 5 6 7 8 9 10")
	for _, concurrency := range []string{"1", "4"} {
		t.Run(concurrency, func(t *testing.T) {
			queue := newQueue(t, bodies...)
			p := everhop(t, 0, "", "consume", "--queue", queue, "--count", "6", "--concurrency", concurrency, "--prefetch", "10")
			if got := strings.Count(p.stdout.String(), "\n"); got != 6 {
				t.Errorf("%d messages were written, want 6", got)
			}
			holds(t, queue, 4)
			if strings.Contains(p.stderr.String(), `"level":"warn"`) {
				t.Errorf("what is beyond --count is no failure:\n%s", &p.stderr)
			}
		})
	}
}

// Messages of all lengths, and more than one write takes: each is a line, and all are out at the end.
func TestConsumeWholeLines(t *testing.T) {
	want := make([]string, 300)
	for i := range want {
		want[i] = strings.Repeat(fmt.Sprintf("%d,", i), 1+i*7)
	}
	for _, flags := range []string{"--concurrency 8", "--concurrency 3 --prefetch 200", "--prefetch 1"} {
		t.Run(flags, func(t *testing.T) {
			queue := newQueue(t, want...)
			p := everhop(t, 0, "", append(strings.Fields("consume --count 300 --queue "+queue), strings.Fields(flags)...)...)
			got := strings.Split(strings.TrimSuffix(p.stdout.String(), "\n"), "\n")
			if strings.Contains(flags, "--concurrency") { // otherwise the order is the queue's
				slices.SortFunc(got, func(a, b string) int { return len(a) - len(b) })
			}
			if !slices.Equal(want, got) {
				t.Errorf("%d lines are not those published", len(got))
			}
			holds(t, queue, 0)
		})
	}
}

func TestConsumeDeclares(t *testing.T) {
	queue := "everhop." + t.Name()
	p := prepare(t, "consume", "--queue", queue, "--declare", "--count", "1").start()
	p.logs(`"trigger":"Connected"`)
	publishOne(t, broker.Message{RoutingKey: queue, Body: []byte("first")})
	p.wait(0)
	if got := p.stdout.String(); got != "first\n" {
		t.Errorf("standard output %q", got)
	}
}

func TestConsumeSurvivesReset(t *testing.T) {
	proxy := newProxy(t)
	queue := newQueue(t)
	p := prepare(t, "consume", "--queue", queue, "--count", "2", "--url", proxy.URL(rabbittest.Shared(t).URL())).start()
	p.logs(`"trigger":"Connected"`)
	publishOne(t, broker.Message{RoutingKey: queue, Body: []byte("before")})
	rabbittest.Eventually(t, patience, "the first message", func() bool { return p.stdout.String() == "before\n" })
	holds(t, queue, 0)
	proxy.Reset()
	p.logs(`"trigger":"Revived"`)
	publishOne(t, broker.Message{RoutingKey: queue, Body: []byte("after")})
	p.wait(0)
	if got := p.stdout.String(); got != "before\nafter\n" {
		t.Errorf("standard output %q", got)
	}
}

func TestConsumeLogsJSON(t *testing.T) {
	p := everhop(t, 0, "", "consume", "--queue", newQueue(t, "1"), "--count", "1")
	lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	for _, line := range lines {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		stamp, _ := fields["time"].(string)
		if !strings.HasSuffix(stamp, "Z") || fields["level"] == nil || fields["message"] == nil {
			t.Errorf("no time in UTC, level or message: %s", line)
		}
	}
	if !strings.Contains(p.stderr.String(), `"from":"Consuming","to":"Disconnected"`) {
		t.Errorf("no stop in\n%s", &p.stderr)
	}
}

func TestConsumeLogsConsole(t *testing.T) {
	p := everhop(t, 0, "", "consume", "--queue", newQueue(t, "1"), "--count", "1", "--log-format", "console")
	want := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3} INF Connecting -> Consuming: Connected endpoint=[\d.:]+ gen=1( in_state_ms=\d+)?$`)
	if got := p.stderr.String(); !want.MatchString(got) || strings.Contains(got, "\x1b") {
		t.Errorf("standard error:\n%s", got)
	}
}

// The reader is gone before the first message: all of them stay in the queue.
func TestConsumeBrokenPipe(t *testing.T) {
	queue := newQueue(t, "1", "2", "3")
	prepare(t, "consume", "--queue", queue, "--concurrency", "2", "--log-level", "warn").withoutReader()
	holds(t, queue, 3)
}

// The reader goes after the first message, like head -1. On Linux that is noticed at once, elsewhere
// by the next message.
func TestConsumeHead(t *testing.T) {
	queue := newQueue(t, "first")
	p := prepare(t, "consume", "--queue", queue, "--log-level", "warn")
	read := p.startPiped()
	if line, err := bufio.NewReader(read).ReadString('\n'); line != "first\n" {
		t.Fatalf("%q, %v", line, err)
	}
	holds(t, queue, 0)
	read.Close()
	if runtime.GOOS == "linux" {
		p.wait(0)
		publishOne(t, broker.Message{RoutingKey: queue, Body: []byte("second")})
	} else {
		publishOne(t, broker.Message{RoutingKey: queue, Body: []byte("second")})
		p.wait(0)
	}
	if noise := p.stderr.String(); noise != "" {
		t.Errorf("noise: %s", noise)
	}
	holds(t, queue, 1)
}

func TestConsumeFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("needs /dev/full, which only Linux has: ", err)
	}
	defer full.Close()
	queue := newQueue(t, "1")
	p := prepare(t, "consume", "--queue", queue)
	p.cmd.Stdout = full
	p.start().wait(1)
	if !strings.Contains(p.stderr.String(), "everhop: standard output: write ") {
		t.Errorf("standard error:\n%s", &p.stderr)
	}
	holds(t, queue, 1)
}

func TestConsumeSIGTERMIdle(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p := prepare(t, "consume", "--queue", newQueue(t)).start()
		p.logs(`"trigger":"Connected"`)
		p.signal(s)
		p.wait(0)
		p.logs(`"to":"Disconnected","in_state_ms"`)
		_, after, found := strings.Cut(p.stderr.String(), s.String()+": stopping; a second signal stops at once")
		if !found || !strings.Contains(after, `"message":"stopped"`) {
			t.Errorf("the stop is not announced, or not before the end:\n%s", &p.stderr)
		}
	}
}

// The reader of standard output is stuck, and so is the handler that writes.
func TestConsumeSecondSignalLeavesHandler(t *testing.T) {
	const size = 1 << 20 // more than a pipe holds
	queue := newQueue(t, strings.Repeat("x", size))
	p := prepare(t, "consume", "--queue", queue)
	read := p.startPiped()
	if _, err := read.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGTERM)
	p.logs("stopping")
	p.signal(syscall.SIGTERM)
	p.wait(1)
	p.logs("everhop: stopped before every handler had finished")
	holds(t, queue, 1)
}

// It has stopped in order when its reader had enough, and not when it could not write.
func TestConsumeStopped(t *testing.T) {
	tests := []struct {
		name    string
		stdout  writerFunc
		flags   string
		status  int
		stopped bool
	}{
		{"written", func(p []byte) (int, error) { return len(p), nil }, "", 0, true},
		{"reader gone", func([]byte) (int, error) { return 0, syscall.EPIPE }, "", 0, true},
		{"full disk", func([]byte) (int, error) { return 0, syscall.ENOSPC }, "", 1, false},
		{"not written", nil, "--exec true --output none", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := oneQueue(t, "1")
			var stderr transcript
			args := strings.Fields("consume --count 1 --queue q --url " + server.URL() + " " + tt.flags)
			status := run(t.Context(), args, nil, tt.stdout, &stderr)
			if got := stderr.String(); status != tt.status || strings.Contains(got, `"message":"stopped"`) != tt.stopped {
				t.Errorf("exit status %d, want %d\n%s", status, tt.status, got)
			}
		})
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
