//go:build unix

package main

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/cmd/everhop/internal/deadend"
	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
)

// inShell makes a shell run the program, which is "$@" there.
func (p *program) inShell(script string) *program {
	args := append([]string{"-c", script, "sh"}, p.cmd.Args...)
	cmd := exec.Command("sh", args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr, p.cmd.WaitDelay
	p.cmd = cmd
	return p
}

// heedHangups has programs start as from a terminal: those that are started with SIGHUP ignored go on so.
func heedHangups(t *testing.T) (hangups <-chan os.Signal) {
	heeded := make(chan os.Signal, 1)
	signal.Notify(heeded, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(heeded) })
	return heeded
}

// A terminal that is closed may hang up several times: that does not hurry.
func TestInterruptibleHangupAgain(t *testing.T) {
	hangups := heedHangups(t)
	soft, hard, release := interruptible(t.Context(), io.Discard, nil)
	defer release()
	for range 2 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		<-hangups
		<-soft.Done() // otherwise the next one might be seen first
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-hard.Done()
	if first, second := context.Cause(soft), context.Cause(hard); first.Error() != "hangup" || second.Error() != "terminated" {
		t.Errorf("stopped by %v, and hurried by %v", first, second)
	}
}

// All commands that take their time are stopped by these signals, in order.
func TestStopSignals(t *testing.T) {
	heedHangups(t)
	log := pasttest.Outage(t).Lines()
	tests := []struct {
		command []string
		stdin   string // that does not end
		begun   func(p *program, server *brokertest.Server) bool
		status  int
		said    string // after the signal
	}{
		{[]string{"consume", "--queue", "q", "--url", "URL"}, "", func(p *program, server *brokertest.Server) bool {
			return p.stdout.String() == "1\n" && acknowledged(server) == 1
		}, 0, `: stopping; a second signal stops at once"`},
		{[]string{"publish", "--queue", "q", "--url", "URL"}, "2\n", func(_ *program, server *brokertest.Server) bool {
			q, _ := server.Queue("q")
			return q.Ready == 2
		}, 1, "stopped before the end of the input: "},
		{[]string{"replay", "-"}, log, func(p *program, _ *brokertest.Server) bool { return strings.Contains(p.stdout.String(), "Stop") }, 0, "Summary of orders"},
		{[]string{"demo"}, "", func(p *program, _ *brokertest.Server) bool { return p.stdout.String() != "" }, 0, ": ending; a second signal ends at once"},
	}
	for _, tt := range tests {
		for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT} {
			t.Run(tt.command[0]+"/"+s.String(), func(t *testing.T) {
				t.Parallel()
				server := oneQueue(t, "1")
				command := strings.Split(strings.ReplaceAll(strings.Join(tt.command, " "), "URL", server.URL()), " ")
				p := prepareAlone(t, command...)
				stdin, err := p.cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				p.start()
				if _, err := io.WriteString(stdin, tt.stdin); err != nil {
					t.Fatal(err)
				}
				rabbittest.Eventually(t, patience, "it is at work", func() bool { return tt.begun(p, server) })
				p.signal(s)
				p.wait(tt.status)
				if got := p.stdout.String() + p.stderr.String(); !strings.Contains(got, tt.said) || strings.Contains(tt.said, ": ") && !strings.Contains(got, s.String()) {
					t.Errorf("no %q, or no %v in\n%s", tt.said, s, got)
				}
			})
		}
	}
}

func acknowledged(server *brokertest.Server) int {
	q, _ := server.Queue("q")
	return q.Acknowledged
}

// Under nohup a terminal may be closed.
func TestHangupIgnored(t *testing.T) {
	server := oneQueue(t, "1")
	p := prepareAlone(t, "consume", "--queue", "q", "--url", server.URL()).inShell(`trap "" HUP; exec "$@"`).start()
	rabbittest.Eventually(t, patience, "it is at work", func() bool { return acknowledged(server) == 1 })
	p.signal(syscall.SIGHUP)
	if err := server.Publish("q", "2"); err != nil {
		t.Fatal(err)
	}
	rabbittest.Eventually(t, patience, "it goes on", func() bool { return acknowledged(server) == 2 })
	p.signal(syscall.SIGTERM)
	p.wait(0)
	if got := p.stderr.String(); strings.Contains(got, syscall.SIGHUP.String()) || !strings.Contains(got, "terminated: stopping") {
		t.Errorf("it did not ignore the first signal:\n%s", got)
	}
}

// What is written into the closed standard output is gone: it is not acknowledged.
func TestConsumeClosedOutput(t *testing.T) {
	tests := []struct {
		name, redirection string
		flags             []string
		status            int
	}{
		{"closed", ">&-", nil, 2},
		{"closed, jsonl", ">&-", []string{"--output", "jsonl"}, 2},
		{"open for reading only", "1</dev/null", nil, 2},
		{"closed, and nothing is written", ">&-", []string{"--output", "none"}, 0},
		{"closed, and the command's", ">&-", []string{"--exec", "true"}, 0},
		{"nowhere, on purpose", ">/dev/null", nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := oneQueue(t, "1")
			args := append([]string{"consume", "--queue", "q", "--count", "1", "--url", server.URL()}, tt.flags...)
			p := prepareAlone(t, args...).inShell(`exec "$@" ` + tt.redirection).start()
			p.wait(tt.status)
			refused := tt.status == 2
			if got := acknowledged(server); refused != (got == 0) {
				t.Errorf("%d acknowledged", got)
			}
			got := p.stderr.String()
			if strings.HasPrefix(got, "everhop: standard output: ") != refused || refused && strings.Count(got, "\n") != 1 {
				t.Errorf("standard error:\n%s", got)
			}
		})
	}
}

// Whatever holds up a command once it was told to stop, the second signal ends it at once, and no message is lost.
func TestSecondSignal(t *testing.T) {
	const n = 5
	frozen := func(server *brokertest.Server) {
		server.Inject(brokertest.OnMethod("basic.consume", 1), brokertest.Freeze(brokertest.Both))
	}
	for name, tt := range map[string]struct {
		command string
		before  func(*brokertest.Server)
		begun   func(*brokertest.Server) bool // nil: it writes, and nobody reads
	}{
		"retry, without confirms": {"parked retry q.parked --yes --url URL", func(server *brokertest.Server) { server.WithholdConfirms("q") },
			func(server *brokertest.Server) bool { return len(server.Messages("q")) == n }},
		"retry, in silence":   {"parked retry q.parked --yes --url URL", frozen, consumed},
		"discard, in silence": {"parked discard q.parked --yes --to FILE --url URL", frozen, consumed},
		"list, in silence":    {"parked list q.parked --url URL", frozen, consumed},
		"show, unread":        {"parked show q.parked --count 5 --url URL", nil, nil},
		"peek, unread":        {"peek q.parked --output body --url URL", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := parkedQueueOf(t, n, "body "+strings.Repeat("x", deadend.Page)+" ")
			if tt.before != nil {
				tt.before(server)
			}
			command := strings.NewReplacer("URL", server.URL(), "FILE", filepath.Join(t.TempDir(), "bin")).Replace(tt.command)
			p := prepareAlone(t, strings.Fields(command)...)
			begun := tt.begun
			if begun == nil {
				var full func() bool
				p.cmd.Stdout, full = deadend.FillingPipe(t)
				begun = func(*brokertest.Server) bool { return full() }
			}
			p.start()
			rabbittest.Eventually(t, patience, "it is at work", func() bool { return begun(server) })
			p.signal(syscall.SIGTERM)
			p.logs("terminated: stopping")
			p.signal(syscall.SIGINT)
			p.wait(130)
			if got := p.stderr.String(); !strings.HasSuffix(got, "everhop: interrupt: ended at once\n") {
				t.Errorf("standard error:\n%s", got)
			}
			server.Inject(brokertest.Now(), brokertest.Thaw()) // or it would learn by missing heartbeats that the client is gone
			rabbittest.Eventually(t, patience, "all is back", func() bool { return len(server.Messages("q.parked")) == n })
		})
	}
}

func consumed(server *brokertest.Server) bool { return server.Count("basic.consume") > 0 }

// doctor ends at the first signal, which is no finding: 130.
func TestDoctorInterrupted(t *testing.T) {
	for _, output := range []string{"", "--json"} {
		t.Run(output, func(t *testing.T) {
			silent, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer silent.Close()
			p := prepareAlone(t, strings.Fields("doctor --timeout 10m --url amqp://"+silent.Addr().String()+" "+output)...)
			p.start()
			conn, err := silent.Accept() // it is at work, and waits
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			p.signal(syscall.SIGTERM)
			p.wait(130)
			if got := p.stdout.String(); strings.Contains(got, "broken") {
				t.Errorf("what a signal has ended is a finding:\n%s", got)
			}
		})
	}
}
