//go:build unix

package main

import (
	"bufio"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// However everhop is stopped while it writes: what is not in the output is in the queue.
func TestConsumeStopsWhileWriting(t *testing.T) {
	const (
		messages = 500
		size     = 1 << 10  // with the newline
		pipe     = 64 << 10 // what it holds
	)
	bodies := make([]string, messages)
	for i := range bodies {
		bodies[i] = strings.Repeat(string(rune('a'+i%26)), size-1)
	}
	tests := []struct {
		name   string
		stop   func(p *program, read *os.File) // while everhop is in a write that does not get on
		status int
		exact  bool // no message is in both
	}{
		{"SIGTERM", func(p *program, _ *os.File) {
			p.signal(syscall.SIGTERM)
			p.logs("stopping")
		}, 0, true},
		{"second signal", func(p *program, _ *os.File) {
			p.signal(syscall.SIGTERM)
			p.logs("stopping")
			p.signal(syscall.SIGTERM)
			p.wait(1)
		}, 1, false},
		{"kill -9", func(p *program, _ *os.File) {
			p.signal(syscall.SIGKILL)
			p.wait(-1)
		}, -1, false},
		{"reader gone", func(_ *program, read *os.File) { read.Close() }, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rabbittest.NeedsControl(t)
			queue := newQueue(t, bodies...)
			p := prepare(t, "consume", "--queue", queue)
			read := p.startPiped()
			reader := bufio.NewReaderSize(read, size)
			if _, err := reader.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			before := 0
			rabbittest.Eventually(t, patience, "the write waits for the reader", func() bool {
				ready, unacked, err := rabbittest.Shared(t).Depth(t.Context(), queue)
				stuck := err == nil && unacked == consumer.DefaultPrefetch && ready == before
				before = ready
				return stuck && ready < messages-pipe/size
			})
			tt.stop(p, read)
			rest, err := io.ReadAll(reader)
			out := 1 + strings.Count(string(rest), "\n")
			if err != nil { // it is closed here: all that the pipe held may count as out
				out += pipe / size
			}
			if p.cmd.ProcessState == nil {
				p.wait(tt.status)
			}
			left := settled(t, queue)
			if out+left < messages || tt.exact && out+left != messages {
				t.Errorf("%d messages are out and %d in the queue, of %d", out, left, messages)
			}
			if strings.Contains(p.stderr.String(), `"level":"error"`) {
				t.Errorf("noise:\n%s", &p.stderr)
			}
		})
	}
}
