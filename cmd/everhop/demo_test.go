package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// All that a user gets, and as long as it takes.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 17 s, and is skipped with -short")
	}
	t.Parallel()
	graph := filepath.Join(t.TempDir(), "run.dot")
	status, stdout, stderr := inProcess(t, "demo", "--dot", graph)
	if status != 0 || stderr != "" {
		t.Fatalf("exit status %d, stderr\n%s\nstdout\n%s", status, stderr, stdout)
	}
	if strings.ContainsAny(stdout, "\x1b\r") {
		t.Error("control characters, and this is no terminal")
	}
	// On a machine that stalls, amqp091-go's own deadline, half a second later, may win against the probe.
	const dead = `(HeartbeatFailed|ConnectionError)`
	const span = `(<1 ms|\d+ ms|\d+\.\d s)`
	for _, want := range []string{
		`connection reset +` + span + ` +` + span + ` +` + span + ` +\d+`,
		`network silent +([3-9]|[1-9]\d)\.\d s +([3-9]|[1-9]\d)\.\d s +([6-9]|[1-9]\d)\.\d s +[1-9]\d*`,
		`broker restart +` + span + ` +([2-9]|[1-9]\d)\.\d s +([2-9]|[1-9]\d)\.\d s +\d+`,
		`  since return +` + span + ` +` + span,
		`consumer cancel +` + span + ` +` + span + ` +` + span + ` +\d+`,
		`\d{3,} published, \d{3,} handled, 0 lost\.`,
		`5 of them failed, were parked, retried, and handled then\.`,
		`\d+ redelivered, \d+ handled more than once,`,
		`  with counts +dot -Tsvg ` + graph + ` > run\.svg`,
		` *\d+\.\d s  Consuming \(\d+\.\d s\) -> HeartbeatCheck +DrainTimeout`,
		` *\d+\.\d s  HeartbeatCheck \(\d+\.\d s\) -> Reviving +` + dead,
		` *\d+\.\d s  Reviving \(.*\) -> Reviving +ReviveFailed #1`,
		` *\d+\.\d s  The broker comes back\.`,
		` *\d+\.\d s  Consuming \(.*\) -> Disconnected +Stop`,
	} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(stdout) {
			t.Errorf("no line like %s", want)
		}
	}
	if got := strings.Count(stdout, "  Caught up after "); got != 4 {
		t.Errorf("%d faults overcome, want %d", got, 4)
	}
	if t.Failed() {
		t.Log(stdout)
	}
	dot, err := os.ReadFile(graph)
	if err != nil {
		t.Fatal(err)
	}
	drawn(t, string(dot), "Connect 1×", "ChannelError 1×", "Revived 4×", "Stop 1×", "RetriesExhausted")
}

func TestDemoUnwritableGraph(t *testing.T) {
	status, stdout, stderr := inProcess(t, "demo", "--dot", "/no/such/folder/run.dot")
	if want := "everhop: --dot: open /no/such/folder/run.dot: "; status != 1 || stdout != "" || !strings.HasPrefix(stderr, want) {
		t.Errorf("exit status %d, stdout %q, stderr %q; want 1 and %q", status, stdout, stderr, want)
	}
}

func TestDemoUnwritable(t *testing.T) {
	var stderr transcript
	status := run(t.Context(), []string{"demo"}, nil, writerFunc(func([]byte) (int, error) { return 0, syscall.ENOSPC }), &stderr)
	if got, want := stderr.String(), "everhop: standard output: "+syscall.ENOSPC.Error()+"\n"; status != 1 || got != want {
		t.Errorf("exit status %d, %q; want 1 and %q", status, got, want)
	}
}

// What is wrong with the journal is told in plain lines, below what the demo shows.
func TestDemoJournal(t *testing.T) {
	tests := []struct {
		name   string
		dir    func(t *testing.T) string
		status int
		want   string // DIR is the journal's directory
	}{
		{"new", func(t *testing.T) string { return filepath.Join(t.TempDir(), "journal") }, 0, `\n  the past      everhop replay DIR\n$`},
		{"torn", func(t *testing.T) string {
			dir := t.TempDir()
			tear(t, makeJournal(t, dir, consumer.Lifecycle(), consumer.Connect))
			return dir
		}, 0, `\n  the past      everhop replay DIR\neverhop: the journal ended in the middle of a line, which was set aside file=DIR/0+1\.jsonl\.torn\n$`},
		{"not writable", unwritable, 1, `\n  the past      everhop replay DIR\neverhop: the journal cannot be written; consuming goes on without error="open DIR/.*"\n` +
			`everhop: the last \d events are not in the journal: open DIR/.*\n$`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := tt.dir(t)
			ctx, interrupt := context.WithCancel(t.Context())
			interrupt()
			var screen transcript
			status := run(ctx, []string{"demo", "--journal", dir}, nil, &screen, &screen)
			got := strings.ReplaceAll(screen.String(), dir, "DIR")
			if status != tt.status || !regexp.MustCompile(tt.want).MatchString(got) || strings.Contains(got, "{") {
				t.Errorf("exit status %d, want %d and %s in\n%s", status, tt.status, tt.want, got)
			}
			if status, stdout, stderr := inProcess(t, "verify", dir); (status == 0) != (tt.status == 0) {
				t.Errorf("verify: exit status %d\n%s%s", status, stdout, stderr)
			}
		})
	}
}

// prepareDemo makes a demo that is not started yet.
func prepareDemo(t *testing.T, env ...string) *program {
	p := prepareAlone(t, "demo")
	p.cmd.Env = append(p.cmd.Env, env...)
	return p
}

// As in `everhop demo | head -1`.
func TestDemoReaderGone(t *testing.T) {
	t.Parallel()
	p := prepareDemo(t)
	read := p.startPiped()
	if _, err := read.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	read.Close()
	p.wait(0)
	if got := p.stderr.String(); got != "" {
		t.Errorf("stderr: %s", got)
	}
}

func TestDemoSignal(t *testing.T) {
	t.Parallel()
	p := prepareDemo(t).start()
	rabbittest.Eventually(t, patience, "the first fault", func() bool { return strings.Contains(p.stdout.String(), "Fault 1 of 4") })
	p.signal(syscall.SIGINT)
	p.wait(0)
	for _, want := range []string{
		"\ninterrupt: ending; a second signal ends at once\n", "connection reset  ", " 0 lost.\n", "\nWhere to go next\n",
	} {
		if !strings.Contains(p.stdout.String(), want) {
			t.Errorf("no %q in\n%s", want, &p.stdout)
		}
	}
	if got := p.stderr.String(); got != "" {
		t.Errorf("stderr: %s", got)
	}
}
