//go:build unix

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/cmd/everhop/internal/deadend"
)

// As in `everhop consume 2>&1 | less` when nobody scrolls: nothing that everhop writes is read.
func TestConsumeStopsUnread(t *testing.T) {
	tests := []struct {
		name     string
		args     []string
		messages []string
		written  bool // and none of it is read
		signals  []os.Signal
		status   int
	}{
		{"idle", nil, nil, false, []os.Signal{syscall.SIGTERM}, 0},
		{"a message is being written", nil, []string{strings.Repeat("1", 2*deadend.Page)}, true, []os.Signal{os.Interrupt, syscall.SIGTERM}, 1},
		{"a failure is being logged", []string{"--exec", "exit 1", "--attempts", "1", "--poison", "put-back"},
			[]string{"1"}, false, []os.Signal{syscall.SIGTERM}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := oneQueue(t, tt.messages...)
			p := prepareAlone(t, append([]string{"consume", "--queue", "q", "--url", server.URL()}, tt.args...)...)
			var full func() bool
			p.cmd.Stdout, full = deadend.FillingPipe(t)
			p.cmd.Stderr = deadend.FullPipe(t)
			p.start()
			rabbittest.Eventually(t, patience, "it is at work", func() bool {
				q, _ := server.Queue("q")
				return q.Consumers == 1 && q.Unacknowledged == len(tt.messages) && (!tt.written || full())
			})
			for _, s := range tt.signals {
				p.signal(s)
			}
			p.wait(tt.status)
			rabbittest.Eventually(t, patience, "its connection is gone", func() bool { return len(server.Connections()) == 0 })
			if q, _ := server.Queue("q"); q.Ready != len(tt.messages) || q.Acknowledged != 0 {
				t.Errorf("%+v; want %d messages", q, len(tt.messages))
			}
		})
	}
}

func TestPublishStopsUnread(t *testing.T) {
	t.Parallel()
	server := brokertest.NewServer(t)
	p := prepareAlone(t, "publish", "--queue", "q", "--url", server.URL())
	stdin, input, err := os.Pipe() // which does not end
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	defer stdin.Close()
	p.cmd.Stdin, p.cmd.Stderr = stdin, deadend.FullPipe(t)
	p.start()
	rabbittest.Eventually(t, patience, "it is at work", func() bool { return len(server.Connections()) == 1 })
	p.signal(syscall.SIGTERM)
	p.wait(1)
}
