package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
)

func TestPublish(t *testing.T) {
	tests := []struct {
		name, stdin, stderr string
		count               int
		consumed            string
	}{
		{"nothing", "", "0 messages confirmed\n", 0, ""},
		{"one line", "a\n", "1 message confirmed\n", 1, "a\n"},
		{"last line without newline", "a\nb", "2 messages confirmed\n", 2, "a\nb\n"},
		{"empty lines and carriage returns", "\n\r\n", "2 messages confirmed\n", 2, "\n\r\n"},
		{"long line", strings.Repeat("x", 3<<20), "1 message confirmed\n", 1, strings.Repeat("x", 3<<20) + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			queue := newQueue(t)
			p := everhop(t, 0, tt.stdin, "publish", "--queue", queue)
			if got := p.stderr.String(); got != tt.stderr || p.stdout.String() != "" {
				t.Errorf("standard error %q, want %q; standard output %q", got, tt.stderr, &p.stdout)
			}
			holds(t, queue, tt.count)
			if tt.count > 0 {
				p = everhop(t, 0, "", "consume", "--queue", queue, "--count", strconv.Itoa(tt.count))
				if p.stdout.String() != tt.consumed {
					t.Error("what was consumed is not what was published")
				}
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	var lines strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&lines, "line %d of 2000\n", i+1)
	}
	queue := newQueue(t)
	everhop(t, 0, lines.String(), "publish", "--queue", queue).logs("2000 messages confirmed\n")
	p := everhop(t, 0, "", "consume", "--queue", queue, "--count", "2000")
	if p.stdout.String() != lines.String() {
		t.Error("what was consumed is not what was published")
	}
	holds(t, queue, 0)
}

func TestPublishExchange(t *testing.T) {
	queue := newQueue(t)
	everhop(t, 0, "x\n", "publish", "--exchange", "", "--routing-key", queue)
	holds(t, queue, 1)
}

func TestPublishUnroutable(t *testing.T) {
	p := everhop(t, 1, "a\nb\n", "publish", "--queue", "everhop.no.such.queue")
	want := "everhop: line 1: unroutable: there is no queue \"everhop.no.such.queue\" (exchange \"\", routing key \"everhop.no.such.queue\"); " +
		"check its name, or declare it first; " +
		"0 messages confirmed, line 1 is the first that is not\n"
	if got := p.stderr.String(); got != want {
		t.Errorf("standard error %q", got)
	}
}

func TestPublishRefused(t *testing.T) {
	queue := newQueueWith(t, map[string]any{"x-max-length": 2, "x-overflow": "reject-publish"})
	p := everhop(t, 1, strings.Repeat("x\n", 50), "publish", "--queue", queue)
	found := regexp.MustCompile(`^everhop: line (\d+): the broker refused the message; is the queue full\? `).FindStringSubmatch(p.stderr.String())
	if found == nil {
		t.Errorf("standard error %q", &p.stderr)
	}
}

// RabbitMQ reads no NaN.
func TestPublishUnreadable(t *testing.T) {
	queue := newQueue(t)
	everhop(t, 1, `{"body":"a","headers":{"n":"NaN"},"header_types":{"n":"float64"}}`, "publish", "--queue", queue, "--input", "jsonl").
		logs("cannot read: NaN, Infinity; 0 messages")
}

func TestPublishNoExchange(t *testing.T) {
	everhop(t, 1, "a\n", "publish", "--exchange", "everhop.no.such.exchange").logs(`check the name of the exchange, or declare it first; 0 messages`)
}

// The broker goes away and comes back amid the input. All of it is there, in order.
func TestPublishThroughRestart(t *testing.T) {
	queue := newQueue(t)
	rabbittest.NeedsControl(t)
	node := rabbittest.Shared(t)
	p := prepare(t, "publish", "--queue", queue)
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.start()
	write := func(from, to int) {
		for i := from; i <= to; i++ {
			fmt.Fprintln(stdin, i)
		}
	}
	write(1, 1000)
	holds(t, queue, 1000)
	write(1001, 1500) // some of them are under way then
	if err := node.StopApp(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(1501, 3000)
	p.logs(`"trigger":"ReviveFailed"`)
	if err := node.StartApp(t.Context()); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	p.wait(0)
	p.logs("\n3000 messages confirmed\n")
	next, count := 1, settled(t, queue)
	for _, line := range strings.Fields(everhop(t, 0, "", "consume", "--queue", queue, "--count", strconv.Itoa(count)).stdout.String()) {
		switch number, _ := strconv.Atoi(line); {
		case number == next:
			next++
		case number > next:
			t.Fatalf("%d comes after %d", number, next-1)
		}
	}
	if next != 3001 {
		t.Errorf("%d messages are there, the last of them %d", count, next-1)
	}
}

func TestPublishInterrupted(t *testing.T) {
	queue := newQueue(t)
	p := prepare(t, "publish", "--queue", queue)
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	p.start()
	io.WriteString(stdin, "a\nb\nhalf a line")
	holds(t, queue, 2)
	p.signal(os.Interrupt)
	p.wait(1)
	p.logs("everhop: stopped before the end of the input: interrupt; 2 messages confirmed, line 3 is the first that is not (--from-line 3 goes on there)\n")
	holds(t, queue, 2)
}

func TestPublishBlocked(t *testing.T) {
	queue := newQueue(t)
	rabbittest.NeedsControl(t)
	node := rabbittest.Shared(t)
	clear := func() {
		if err := node.MemoryAlarm(t.Context(), false); err != nil {
			t.Error(err)
		}
	}
	if err := node.MemoryAlarm(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	p := prepare(t, "publish", "--queue", queue)
	p.cmd.Stdin = strings.NewReader("a\n")
	func() {
		defer clear()
		p.start().logs(`"to":"Blocked"`)
		p.logs(`"low on memory"`)
	}()
	p.wait(0)
	p.logs("1 message confirmed\n")
}

func TestPublishInput(t *testing.T) {
	queue := newQueue(t)
	folder, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	p := prepare(t, "publish", "--queue", queue)
	p.cmd.Stdin = folder
	p.start().wait(1)
	p.logs("everhop: standard input: read ")
	holds(t, queue, 0)
}
