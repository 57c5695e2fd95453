//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/cmd/everhop/internal/deadend"
)

// All is out before a message is acknowledged, and what a command leaves behind does not delay it.
func TestExecLeavesAProcess(t *testing.T) {
	t.Parallel()
	for name, left := range map[string]string{
		"silent":  `sleep 60 & echo $!`,
		"talking": `sh -c 'while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxx; done' & echo $!`,
	} {
		t.Run(name, func(t *testing.T) {
			server := oneQueue(t, "1")
			p := prepareAlone(t, "consume", "--queue", "q", "--url", server.URL(), "--count", "1", "--exec", left+`; printf "the end"`).start()
			p.wait(0)
			var pid int
			for line := range strings.Lines(p.stdout.String()) {
				if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
					pid = n
				}
			}
			if pid == 0 {
				t.Fatalf("standard output:\n%.1000s", p.stdout.String())
			}
			defer syscall.Kill(pid, syscall.SIGKILL)
			if !strings.Contains(p.stdout.String(), "the end") || acknowledged(server) != 1 {
				t.Errorf("%d acknowledged, standard output:\n%.1000s", acknowledged(server), p.stdout.String())
			}
		})
	}
}

// The reader has had enough: everhop stops without a word, and what was not written is not acknowledged.
func TestExecReaderGone(t *testing.T) {
	t.Parallel()
	t.Run("before", func(t *testing.T) {
		server := oneQueue(t, "1", "2", "3")
		prepareAlone(t, "consume", "--queue", "q", "--url", server.URL(), "--concurrency", "2", "--log-level", "warn", "--attempts", "1", "--exec", "cat").withoutReader()
		if q, _ := server.Queue("q"); q.Ready != 3 || q.Acknowledged != 0 {
			t.Errorf("%+v", q)
		}
	})
	t.Run("meanwhile", func(t *testing.T) {
		server := oneQueue(t, "1")
		fifo := newFIFO(t)
		p := prepareAlone(t, "consume", "--queue", "q", "--url", server.URL(), "--log-level", "warn", "--attempts", "1", "--exec", "read x < '"+fifo+"'; echo lost")
		read := p.startPiped()
		gate := openFIFO(t, fifo)
		read.Close()
		if _, err := gate.WriteString("go\n"); err != nil {
			t.Fatal(err)
		}
		p.wait(0)
		if q, _ := server.Queue("q"); q.Ready != 1 || q.Acknowledged != 0 || p.stderr.String() != "" {
			t.Errorf("%+v, %s", q, &p.stderr)
		}
	})
}

// Wherever nobody tells that the reader has gone, the first write does.
func TestExecOutputFails(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
	}{{syscall.EPIPE, 0}, {syscall.ENOSPC, 1}} {
		server := oneQueue(t, "silent", "1")
		var stderr transcript
		stdout := writerFunc(func([]byte) (int, error) { return 0, tt.err })
		args := []string{"consume", "--queue", "q", "--url", server.URL(), "--attempts", "1", "--exec", "grep -v silent || true"}
		if status := run(t.Context(), args, nil, stdout, &stderr); status != tt.status || strings.Contains(stderr.String(), "handler failed") {
			t.Errorf("exit status %d, want %d: %s", status, tt.status, &stderr)
		}
		if q, _ := server.Queue("q"); q.Ready != 1 || q.Acknowledged != 1 {
			t.Errorf("%+v", q)
		}
	}
}

// hesitant takes a few bytes at a time, and in between none.
type hesitant struct {
	strings.Builder
	calls int
}

func (h *hesitant) Write(p []byte) (int, error) {
	h.calls++
	if h.calls%2 == 1 {
		n, _ := h.Builder.Write(p[:min(len(p), 3)])
		if n < len(p) {
			return n, &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EAGAIN}
		}
		return n, nil
	}
	return 0, syscall.EAGAIN
}

func TestWriteAll(t *testing.T) {
	var w hesitant
	if n, err := (standardOutput{&w}).Write([]byte("a message\n")); n != 10 || err != nil || w.String() != "a message\n" {
		t.Errorf("%d, %v, %q", n, err, w.String())
	}
	if _, err := writeAll(writerFunc(func([]byte) (int, error) { return 0, io.ErrShortWrite }), []byte("x")); !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
}

// Somebody else makes the pipes non-blocking that are our outputs, and their reader is slow.
func TestOutputsNonBlocking(t *testing.T) {
	t.Parallel()
	const messages, size = 400, 1 << 9 // a prefetch fits into a pipe, all of them do not
	for name, flags := range map[string][]string{
		"messages": nil,
		"commands": {"--exec", "cat; echo; printf %1000s >&2", "--concurrency", "4"},
	} {
		t.Run(name, func(t *testing.T) {
			server := oneQueue(t)
			p := prepareAlone(t, append([]string{"consume", "--queue", "q", "--url", server.URL(), "--count", fmt.Sprint(messages)}, flags...)...)
			var reads, writes [2]*os.File
			for i := range reads {
				var err error
				if reads[i], writes[i], err = os.Pipe(); err != nil {
					t.Fatal(err)
				}
				defer reads[i].Close()
				writes[i].Fd() // blocking
			}
			p.cmd.Stdout, p.cmd.Stderr = writes[0], writes[1]
			p.start()
			rabbittest.Eventually(t, patience, "it consumes", func() bool {
				q, _ := server.Queue("q")
				return q.Consumers == 1
			})
			for _, write := range writes {
				if err := syscall.SetNonblock(int(write.Fd()), true); err != nil {
					t.Fatal(err)
				}
				write.Close()
			}
			bodies := make([]string, messages)
			for i := range bodies {
				bodies[i] = strings.Repeat("x", size)
			}
			if err := server.Publish("q", bodies...); err != nil {
				t.Fatal(err)
			}
			before := -1
			rabbittest.Eventually(t, patience, "it waits for the reader", func() bool {
				n := acknowledged(server)
				stuck := n == before && n > 0
				before = n
				return stuck
			})
			var texts [2]chan string
			for i, read := range reads {
				texts[i] = make(chan string, 1)
				go func() {
					text, _ := io.ReadAll(read)
					texts[i] <- string(text)
				}()
			}
			p.wait(0)
			stdout, stderr := <-texts[0], <-texts[1]
			if n := strings.Count(stdout, strings.Repeat("x", size)+"\n"); n != messages || acknowledged(server) != messages {
				t.Errorf("%d written, %d acknowledged, want %d", n, acknowledged(server), messages)
			}
			if !strings.Contains(stderr, `"message":"stopped"`) || strings.Contains(stderr, "handler failed") {
				t.Errorf("standard error:\n%.3000s", stderr)
			}
		})
	}
}

// A reader that does not read is not the message's fault: what --timeout limits is the command.
func TestExecSlowReader(t *testing.T) {
	t.Parallel()
	server := oneQueue(t, strings.Repeat("1", 2*deadend.Page), "2", "3")
	p := prepareAlone(t, "consume", "--queue", "q", "--url", server.URL(), "--count", "3", "--attempts", "1", "--timeout", "1s", "--exec", "cat")
	var full func() bool
	p.cmd.Stdout, full = deadend.FillingPipe(t)
	p.start()
	rabbittest.Eventually(t, patience, "it consumes", func() bool {
		q, _ := server.Queue("q")
		return q.Unacknowledged == 2 && full() // one is at hand
	})
	time.Sleep(2 * time.Second) // longer than the command may take
	p.signal(syscall.SIGTERM)
	p.logs("stopping")
	p.signal(syscall.SIGINT)
	p.wait(1)
	if q, _ := server.Queue("q"); q.Acknowledged != 0 || strings.Contains(p.stderr.String(), "time limit") || strings.Contains(p.stderr.String(), "parked") {
		t.Errorf("%+v, %s", q, &p.stderr)
	}
}
