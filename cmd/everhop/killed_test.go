//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// everhop is killed again and again, wherever it happens to be: in the end every message is out.
func TestConsumeKilled(t *testing.T) {
	tests := []struct {
		name  string
		round int // messages from one kill to the next
		size  int // of a message: those of a round are more than a pipe holds, or it would soon be done
		args  []string
	}{
		{"output", 400, 1 << 10, []string{"--output", "body"}},
		{"exec", 40, 20, []string{"--exec", `echo "$(cat)"`, "--concurrency", "4"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const kills = 5
			queue := newQueue(t)
			args := append([]string{"--queue", queue, "--journal", t.TempDir()}, tt.args...)
			missing := map[string]bool{}
			for round := range kills {
				bodies := make([]string, tt.round)
				for i := range bodies {
					bodies[i] = fmt.Sprintf("%*d", tt.size, round*tt.round+i)
					missing[bodies[i]] = true
				}
				publishMany(t, queue, bodies)
				p, lines := consumeLines(t, args)
				after := rand.IntN(tt.round)
				t.Logf("killed after %d lines", after)
				for range after {
					delete(missing, lines.next())
				}
				p.signal(syscall.SIGKILL)
				for line := lines.next(); line != ""; line = lines.next() {
					delete(missing, line)
				}
				p.wait(-1)
			}

			p, lines := consumeLines(t, args)
			for len(missing) > 0 {
				line := lines.next()
				if line == "" {
					t.Fatalf("%d messages are missing; standard error:\n%s", len(missing), &p.stderr)
				}
				delete(missing, line)
			}
			var rest sync.WaitGroup
			rest.Go(func() { io.Copy(io.Discard, lines) }) // what came out before may come again
			holds(t, queue, 0)
			p.signal(syscall.SIGTERM)
			rest.Wait()
			p.wait(0)
		})
	}
}

// outputLines are those that a program writes.
type outputLines struct{ *bufio.Reader }

// next is empty at the end; a line without its end is none.
func (l outputLines) next() string {
	line, err := l.ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(line, "\n")
}

// consumeLines starts an everhop whose output can be read line by line. It is given a minute.
func consumeLines(t *testing.T, args []string) (*program, outputLines) {
	t.Helper()
	p := prepare(t, append([]string{"consume"}, args...)...)
	read := p.startPiped()
	overdue := time.AfterFunc(time.Minute, p.end) // which ends the output
	t.Cleanup(func() { overdue.Stop() })
	return p, outputLines{bufio.NewReader(read)}
}
