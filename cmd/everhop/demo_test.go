package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
)

// All that a user gets, and as long as it takes.
func TestDemo(t *testing.T) {
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
		`network silent +[3-9]\.\d s +[3-9]\.\d s +([6-9]|1\d)\.\d s +[1-9]\d*`,
		`broker restart +` + span + ` +[2-9]\.\d s +[2-9]\.\d s +\d+`,
		`  since return +` + span + ` +` + span,
		`consumer cancel +` + span + ` +` + span + ` +` + span + ` +\d+`,
		`\d{3,} published, \d{3,} handled, 0 lost\.`,
		`\d+ redelivered, \d+ handled more than once,`,
		`  with counts +dot -Tsvg ` + graph + ` > run\.svg`,
		` *\d+\.\d s  Consuming \(\d\.\d s\) -> HeartbeatCheck +DrainTimeout`,
		` *\d+\.\d s  HeartbeatCheck \(\d\.\d s\) -> Reviving +` + dead,
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
