//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

func TestExec(t *testing.T) {
	queue := newQueue(t)
	publishOne(t, broker.Message{RoutingKey: queue, MessageID: "m1", ContentType: "text/plain", Body: []byte("the body")})
	p := everhop(t, 0, "", "consume", "--queue", queue, "--count", "1", "--exec", `
		echo "$(cat) $EVERHOP_QUEUE $EVERHOP_ROUTING_KEY $EVERHOP_MESSAGE_ID $EVERHOP_CONTENT_TYPE $EVERHOP_REDELIVERED [$EVERHOP_EXCHANGE]"
		echo "url=$EVERHOP_URL" >&2`)
	if diff := cmp.Diff("the body "+queue+" "+queue+" m1 text/plain false []\n", p.stdout.String()); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(p.stderr.String(), "url="+rabbittest.Shared(t).URL()+"\n") {
		t.Errorf("standard error:\n%s", &p.stderr)
	}
	holds(t, queue, 0)
}

// A failed attempt does not count, and its message comes again.
func TestExecFails(t *testing.T) {
	queue := newQueue(t, "1", "2", "3")
	seen := t.TempDir()
	p := everhop(t, 0, "", "consume", "--queue", queue, "--count", "2", "--concurrency", "2", "--exec",
		`b=$(cat); if mkdir '`+seen+`'/$b 2>/dev/null; then exit 3; fi; echo $b`)
	if got := strings.Count(p.stdout.String(), "\n"); got != 2 {
		t.Errorf("%d commands succeeded, want 2: %q", got, &p.stdout)
	}
	if !strings.Contains(p.stderr.String(), "command: exit status 3") {
		t.Errorf("standard error:\n%s", &p.stderr)
	}
	holds(t, queue, 1)
}

// What the exit status and the flags make of a message; the first one is "bad".
func TestExecOutcomes(t *testing.T) {
	const command = `read body; echo "$body $EVERHOP_ATTEMPT $EVERHOP_REDELIVERED"
		test $body = good -o $EVERHOP_REDELIVERED = true || `
	tests := []struct {
		name         string
		flags        string
		unlessGood   string
		stdout       string
		late         string // or this, if what is behind it takes longer to come than the pause until it is handled again
		left, parked int
		failure      bool
	}{
		{"parked", "--attempts 2", "exit 1", "bad 1 false\nbad 2 false\ngood 1 false\n", "", 0, 1, true},
		{"dead-lettered", "--attempts 1 --poison dead-letter", "exit 1", "bad 1 false\ngood 1 false\n", "", 0, 0, true},
		{"put back", "--attempts 1 --poison put-back", "exit 1", "bad 1 false\ngood 1 false\n", "bad 1 false\nbad 1 true\n", 1, 0, true},
		{"put back on purpose", "--attempts 1", "exit 75", "bad 1 false\ngood 1 false\n", "bad 1 false\nbad 1 true\n", 1, 0, false},
		{"too slow", "--attempts 1 --timeout 6s", `{ trap "" TERM; while :; do sleep 60; done; }`,
			"bad 1 false\ngood 1 false\n", "", 0, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			queue := newQueue(t, "bad", "good")
			parking := queue + ".elsewhere"
			flags := strings.Fields(tt.flags)
			if !strings.Contains(tt.flags, "--poison") {
				flags = append(flags, "--parking-queue", parking)
			}
			p := everhop(t, 0, "", append([]string{"consume", "--queue", queue, "--count", "1", "--exec", command + tt.unlessGood}, flags...)...)
			if got := p.stdout.String(); got != tt.stdout && got != tt.late {
				t.Errorf("standard output %q, want %q", got, tt.stdout)
			}
			if got := strings.Contains(p.stderr.String(), "handler failed"); got != tt.failure {
				t.Errorf("a failure in the log: %v, want %v:\n%s", got, tt.failure, &p.stderr)
			}
			holds(t, queue, tt.left)
			if tt.parked > 0 {
				holds(t, parking, tt.parked)
			}
		})
	}
}

// Attempts are counted until the message is back in the queue, here because the connection is lost.
func TestExecAttempt(t *testing.T) {
	proxy := newProxy(t)
	queue := newQueue(t, "1")
	fifo := newFIFO(t)
	p := prepare(t, "consume", "--queue", queue, "--count", "1", "--url", proxy.URL(rabbittest.Shared(t).URL()), "--exec",
		`echo "$EVERHOP_ATTEMPT $EVERHOP_REDELIVERED"; test $EVERHOP_ATTEMPT = 2 && read line < '`+fifo+`'; test $EVERHOP_REDELIVERED = true`)
	p.start()
	gate := openFIFO(t, fifo)
	proxy.Reset()
	p.logs(`"trigger":"Revived"`)
	gate.WriteString("go\n")
	p.wait(0)
	if got, want := p.stdout.String(), "1 false\n2 false\n1 true\n"; got != want {
		t.Errorf("standard output %q, want %q", got, want)
	}
	holds(t, queue, 0)
}

// What was parked and is moved back as it is, goes on counting: its first failure parks it again.
func TestExecParkedBefore(t *testing.T) {
	queue := newQueue(t)
	parking := newQueue(t)
	publishOne(t, broker.Message{RoutingKey: queue, Body: []byte("bad"), Headers: map[string]any{consumer.HeaderAttempts: int64(defaultAttempts)}})
	publishOne(t, broker.Message{RoutingKey: queue, Body: []byte("good")})
	p := everhop(t, 0, "", "consume", "--queue", queue, "--count", "1", "--parking-queue", parking, "--exec",
		`read body; echo "$body $EVERHOP_ATTEMPT"; test $body = good`)
	if got, want := p.stdout.String(), "bad 9\ngood 1\n"; got != want {
		t.Errorf("standard output %q, want %q", got, want)
	}
	holds(t, queue, 0)
	holds(t, parking, 1)
}

// newFIFO makes a named pipe, for a command to wait at until it is opened.
func newFIFO(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// openFIFO waits until a command has opened it for reading.
func openFIFO(t *testing.T, path string) *os.File {
	t.Helper()
	var gate *os.File
	rabbittest.Eventually(t, patience, "the command waits", func() bool {
		var err error
		gate, err = os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0) // ENXIO until then
		return err == nil
	})
	t.Cleanup(func() { gate.Close() })
	return gate
}

// --timeout is the command's: to wait for a place among --count does not use it up.
func TestExecTimeoutAndCount(t *testing.T) {
	queue := newQueue(t, "good", "bad", "innocent")
	const command = `read body; case $body in bad) sleep 60;; innocent) sleep 1;; esac; echo $body` // the bad one takes all its time
	p := everhop(t, 0, "", "consume", "--queue", queue, "--count", "2", "--concurrency", "2", "--attempts", "1",
		"--timeout", "6s", "--parking-queue", queue+".elsewhere", "--exec", command)
	if got := p.stdout.String(); got != "good\ninnocent\n" {
		t.Errorf("%q; %s", got, &p.stderr)
	}
	holds(t, queue+".elsewhere", 1)
}

// A command that reads nothing, and leaves a process behind that has its input, has done its work.
func TestExecInputUnread(t *testing.T) {
	queue := newQueue(t, strings.Repeat("x", 1<<20))
	p := everhop(t, 0, "", "consume", "--queue", queue, "--count", "1", "--exec", "sleep 60 > /dev/null 2>&1 & echo $!; exit 0")
	left, err := strconv.Atoi(strings.TrimSpace(p.stdout.String()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(left, syscall.SIGKILL)
	holds(t, queue, 0)
}

func TestExecSignals(t *testing.T) {
	const wait = `read line < "$FIFO"; echo done`
	tests := []struct {
		name    string
		command string
		second  bool
		stdout  string
		status  int
		left    int
	}{
		{"first lets it finish", wait, false, "done\n", 0, 0},
		{"second ends it", wait, true, "", 1, 1},
		{"second kills it", `trap "" TERM; ` + wait, true, "", 1, 1},
		{"exit status 0 on SIGTERM is no success", `trap "exit 0" TERM; while :; do ` + wait + `; done`, true, "", 1, 1},
		{"children are ended too", `sh -c 'trap "" TERM; ` + wait + `'; echo never`, true, "", 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			queue := newQueue(t, "1")
			fifo := newFIFO(t)
			p := prepare(t, "consume", "--queue", queue, "--exec", tt.command)
			p.cmd.Env = append(p.cmd.Env, "FIFO="+fifo)
			p.start()
			gate := openFIFO(t, fifo)
			p.signal(syscall.SIGTERM)
			p.logs("stopping")
			if tt.second {
				p.signal(syscall.SIGTERM)
			} else {
				gate.WriteString("go\n")
			}
			p.wait(tt.status)
			if got := p.stdout.String(); got != tt.stdout {
				t.Errorf("standard output %q, want %q", got, tt.stdout)
			}
			if got := strings.Contains(p.stderr.String(), "\neverhop: stopped before "); got != tt.second {
				t.Errorf("standard error tells of an ended command: %v, want %v:\n%s", got, tt.second, &p.stderr)
			}
			if tt.second { // they were killed, and the last of them may be about to end
				rabbittest.Eventually(t, patience, "no process of the command is left", func() bool {
					again, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
					if err == nil {
						again.Close()
					}
					return err != nil
				})
			}
			holds(t, queue, tt.left)
		})
	}
}
