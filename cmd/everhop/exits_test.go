//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/cmd/everhop/internal/scripts"
	"github.com/everhop/everhop/consumer"
)

// deadLettering is a server with a queue q, of which the rejected are in dead.
func deadLettering(t *testing.T, bodies ...string) *brokertest.Server {
	t.Helper()
	server := brokertest.NewServer(t)
	for queue, arguments := range map[string]map[string]any{
		"dead": nil, "q": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"},
	} {
		if err := server.DeclareQueue(queue, arguments); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Publish("q", bodies...); err != nil {
		t.Fatal(err)
	}
	return server
}

// What exit statuses make of a message, by --exec and --exec-argv. A good one behind it ends everhop.
func TestExecStatuses(t *testing.T) {
	tests := []struct {
		status           int
		flags            string
		acknowledged     int // of both messages; what is parked is acknowledged, too
		parked, rejected int
		left             int
		calls            string // "A" for each time that the command was run for it
		log              string
	}{
		{0, "", 2, 0, 0, 0, "A", ""},
		{1, "--attempts 2", 2, 1, 0, 0, "AA", `"error":"command: exit status 1","stderr":"bad of 1","attempt":`},
		{65, "--attempts 2", 2, 1, 0, 0, "A", `"error":"command: exit status 65","stderr":"bad of 65","attempt":`},
		{65, "--poison dead-letter", 1, 0, 1, 0, "A", `to be dead-lettered`},
		{75, "--attempts 1", 1, 0, 0, 1, "A", ""},
		{3, "--reject-status 3", 1, 0, 1, 0, "A", ""},
		{4, "--reject-status 3,4 --reject-status 65", 1, 0, 1, 0, "A", ""},
		{65, "--reject-status 3,4 --reject-status 65", 1, 0, 1, 0, "A", ""},
		{5, "--reject-status 3,4 --attempts 1", 2, 1, 0, 0, "A", `exit status 5`},
	}
	for _, tt := range tests {
		for _, how := range []string{"exec", "exec-argv"} {
			t.Run(fmt.Sprintf("%d %s/%s", tt.status, tt.flags, how), func(t *testing.T) {
				t.Parallel()
				server := deadLettering(t, "bad", "good")
				calls := filepath.Join(t.TempDir(), "calls")
				script := fmt.Sprintf(`test $(cat) = good && exit; printf A >> '%s'; echo bad of %d >&2; exit %[2]d`, calls, tt.status)
				words := append(strings.Fields("consume --queue q --count 1 --backoff 10ms --log-format json --url "+server.URL()), strings.Fields(tt.flags)...)
				if tt.status == 0 {
					words = append(words, "--count", "2")
				}
				if how == "exec" {
					words = append(words, "--exec", script)
				} else {
					words = append(words, "--exec-argv", "--", "sh", "-c", script)
				}
				p := prepareAlone(t, words...).start()
				p.wait(0)
				q, _ := server.Queue("q")
				parked, rejected := server.Messages("q.parked"), server.Messages("dead")
				called, err := os.ReadFile(calls)
				if err != nil {
					t.Fatal(err)
				}
				if q.Acknowledged != tt.acknowledged || len(parked) != tt.parked || len(rejected) != tt.rejected || q.Ready != tt.left ||
					!strings.HasPrefix(string(called), tt.calls) || tt.left == 0 && string(called) != tt.calls {
					t.Errorf("%d acknowledged, %d parked, %d rejected, %d left, %q called; want %+v\n%s", q.Acknowledged, len(parked), len(rejected), q.Ready, called, tt, &p.stderr)
				}
				if tt.parked == 1 {
					want := fmt.Sprintf("command: exit status %d: bad of %[1]d", tt.status)
					if got := parked[0].Headers[consumer.HeaderError]; got != want {
						t.Errorf("%s: %q, want %q", consumer.HeaderError, got, want)
					}
				}
				if !strings.Contains(p.stderr.String(), tt.log) {
					t.Errorf("%s is not in the log:\n%s", tt.log, &p.stderr)
				}
				if !strings.Contains(p.stderr.String(), fmt.Sprintf("bad of %d\n", tt.status)) {
					t.Errorf("standard error is not copied:\n%s", &p.stderr)
				}
			})
		}
	}
}

// No shell changes the words of --exec-argv.
func TestExecArgv(t *testing.T) {
	server := oneQueue(t, "body")
	p := prepareAlone(t, "consume", "--queue", "q", "--count", "1", "--url", server.URL(), "--exec-argv", "--", "printf", "[%s]", "$HOME; a  'b'", "--queue", "*")
	p.start().wait(0)
	if got, want := p.stdout.String(), "[$HOME; a  'b'][--queue][*]"; got != want {
		t.Errorf("standard output %q, want %q", got, want)
	}
}

// A program that goes away, or has no interpreter, is not the message's fault.
func TestExecArgvUnavailable(t *testing.T) {
	for name, breaks := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := oneQueue(t)
			script := filepath.Join(t.TempDir(), "handle.sh")
			scripts.Write(t, script, "#!/bin/sh\necho $EVERHOP_ATTEMPT\n")
			p := prepareAlone(t, "consume", "--queue", "q", "--attempts", "1", "--count", "1", "--url", server.URL(), "--exec-argv", "--", script).start()
			p.logs(`"Consuming"`)
			breaks(t, script)
			if err := server.Publish("q", "1"); err != nil {
				t.Fatal(err)
			}
			p.logs("command: cannot be started")
			scripts.Write(t, script, "#!/bin/sh\necho $EVERHOP_ATTEMPT\n")
			p.wait(0)
			if got := p.stdout.String(); got != "1\n" || len(server.Messages("q.parked")) > 0 {
				t.Errorf("standard output %q; %s", got, &p.stderr)
			}
		})
	}
}

// A command may read all of its message from descriptor 3, however large it is.
func TestExecWhole(t *testing.T) {
	for _, size := range []int{0, 10, 100_000, 5_000_000} {
		server := oneQueue(t)
		message := brokertest.Message{
			Body: []byte(strings.Repeat("x", size)), MessageID: "m", Type: "t", Priority: 3,
			Headers: map[string]any{"long": strings.Repeat("h", 10_000), "n": int8(1)}, Timestamp: time.Unix(1e9, 0),
		}
		if err := server.PublishMessage("q", message); err != nil {
			t.Fatal(err)
		}
		p := prepareAlone(t, "consume", "--queue", "q", "--count", "1", "--url", server.URL(), "--exec", "cat <&3").start()
		p.wait(0)
		var got struct {
			Body        string         `json:"body"`
			MessageID   string         `json:"message_id"`
			Headers     map[string]any `json:"headers"`
			Timestamp   string         `json:"timestamp"`
			HeaderTypes map[string]any `json:"header_types"`
			Priority    uint8          `json:"priority"`
			Type        string         `json:"type"`
		}
		if err := json.Unmarshal([]byte(p.stdout.String()), &got); err != nil {
			t.Fatalf("%v: %.300q, %s", err, &p.stdout, &p.stderr)
		}
		if got.Body != string(message.Body) || got.MessageID != "m" || got.Headers["long"] != message.Headers["long"] || got.HeaderTypes["n"] != "int8" ||
			got.Type != "t" || got.Priority != 3 || got.Timestamp != "2001-09-09T01:46:40Z" || strings.Count(p.stdout.String(), "\n") != 1 {
			t.Errorf("%d bytes: %.500s", size, &p.stdout)
		}
	}
}

// A command that does not read descriptor 3, or only some of it, or closes it, or leaves somebody behind who has it, has
// done its work; and nothing is left open.
func TestExecWholeUnread(t *testing.T) {
	const messages = 40
	for name, script := range map[string]string{
		"nobody":      "cat > /dev/null",
		"a bit":       "head -c 10 <&3 > /dev/null; cat > /dev/null",
		"closed":      "exec 3<&-; cat > /dev/null",
		"left behind": "sleep 5 > /dev/null 2>&1 < /dev/null & echo $! >> \"$PIDS\"; cat > /dev/null",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pids := filepath.Join(t.TempDir(), "pids")
			server := oneQueue(t)
			for range messages {
				if err := server.Publish("q", strings.Repeat("x", 300_000)); err != nil {
					t.Fatal(err)
				}
			}
			p := prepareAlone(t, "consume", "--queue", "q", "--concurrency", "2", "--timeout", "1m", "--attempts", "1", "--url", server.URL(), "--exec", script)
			p.cmd.Env = append(p.cmd.Env, "PIDS="+pids)
			p.start()
			rabbittest.Eventually(t, patience, "all are handled", func() bool {
				q, _ := server.Queue("q")
				return q.Acknowledged == messages
			})
			if open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid)); err == nil {
				pipes := 0
				for _, f := range open {
					to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", p.cmd.Process.Pid, f.Name()))
					if strings.HasPrefix(to, "pipe:") {
						pipes++
					}
				}
				// 8 of the process and of what reads its outputs, both ends of 4 that are prepared, 2 of each command that were its outputs
				if most := 8 + 2*4 + 2*2; pipes > most {
					t.Errorf("%d pipes are open, want %d at most", pipes, most)
				}
			}
			p.signal(syscall.SIGTERM)
			p.wait(0)
			if got := len(server.Messages("q.parked")); got > 0 {
				t.Errorf("%d are parked; %s", got, &p.stderr)
			}
		})
	}
}

// The last words of a command that took too long are in its message's error, too.
func TestExecTimeoutSays(t *testing.T) {
	t.Parallel()
	server := oneQueue(t, "1", "2")
	p := prepareAlone(t, "consume", "--queue", "q", "--count", "1", "--attempts", "1", "--timeout", "6s", "--url", server.URL(),
		"--exec", `test $(cat) = 2 && exit; echo waiting for the printer >&2; read line < "$FIFO"`)
	p.cmd.Env = append(p.cmd.Env, "FIFO="+newFIFO(t))
	p.start().wait(0)
	parked := server.Messages("q.parked")
	if len(parked) != 1 || !strings.HasSuffix(fmt.Sprint(parked[0].Headers[consumer.HeaderError]), "waiting for the printer") {
		t.Errorf("%v; %s", parked, &p.stderr)
	}
}
