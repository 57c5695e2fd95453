package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
)

// program is a running everhop.
type program struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr transcript
}

// prepare makes an everhop that is not started yet. It gets the shared node's URL in EVERHOP_URL.
func prepare(t *testing.T, args ...string) *program {
	t.Helper()
	p := prepareAlone(t, args...)
	p.cmd.Env = append(p.cmd.Env, urlVariable+"="+rabbittest.Shared(t).URL())
	return p
}

// prepareAlone makes one that needs no node.
func prepareAlone(t *testing.T, args ...string) *program {
	p := &program{t: t, cmd: exec.Command(os.Args[0], args...)}
	p.cmd.Env = append(os.Environ(), programEnv+"=1",
		"GORACE=atexit_sleep_ms=0") // otherwise the race detector delays every end by 1 s
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.WaitDelay = patience // for a process left behind that has its output
	return p
}

func (p *program) start() *program {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.end()
			p.cmd.Wait()
		}
	})
	return p
}

// startPiped starts it with a pipe as its standard output, of which this is the other end.
func (p *program) startPiped() (read *os.File) {
	p.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { read.Close() })
	defer write.Close()
	p.cmd.Stdout = write
	p.start()
	return read
}

// withoutReader starts it with a pipe as its standard output whose reader has gone already, and expects it to end
// without a word.
func (p *program) withoutReader() {
	p.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	read.Close()
	p.cmd.Stdout = write
	p.start()
	write.Close()
	p.wait(0)
	if noise := p.stderr.String(); noise != "" {
		p.t.Errorf("noise: %s", noise)
	}
}

// end stops it at once, and its commands, which would outlive it if it were killed. It does not wait.
func (p *program) end() {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} { // of two equal ones it might see one only
		_ = p.cmd.Process.Signal(s) // it may have ended
	}
	time.AfterFunc(patience/2, func() { _ = p.cmd.Process.Kill() })
}

// wait waits for the end and expects an exit status.
func (p *program) wait(status int) {
	p.t.Helper()
	overdue := time.AfterFunc(patience, p.end)
	err := p.cmd.Wait()
	if !overdue.Stop() {
		p.t.Errorf("%v did not end", p.cmd.Args[1:])
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		p.t.Errorf("%v: %v, want exit status %d; standard error:\n%s", p.cmd.Args[1:], p.cmd.ProcessState, status, &p.stderr)
	}
}

func (p *program) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// logs waits until standard error contains a text.
func (p *program) logs(text string) {
	p.t.Helper()
	rabbittest.Eventually(p.t, patience, "standard error has "+text, func() bool { return strings.Contains(p.stderr.String(), text) })
}

// everhop runs a program to its end.
func everhop(t *testing.T, status int, stdin string, args ...string) *program {
	t.Helper()
	p := prepare(t, args...)
	p.cmd.Stdin = strings.NewReader(stdin)
	p.start().wait(status)
	return p
}

// transcript is what a program wrote so far.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
