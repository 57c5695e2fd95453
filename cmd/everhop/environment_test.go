//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
)

// While its program is not there, cannot be run or has no interpreter, a command does not count as tried.
func TestExecUnavailable(t *testing.T) {
	const good = "#!/bin/sh\necho \"$(cat) $EVERHOP_ATTEMPT\"\n"
	tests := []struct {
		name   string
		breaks func(path string) error
		error  string
	}{
		{"not there", os.Remove, "command: exit status 127: there is no such program"},
		{"not executable", func(path string) error { return os.Chmod(path, 0o644) }, "command: exit status 126: the program cannot be run"},
		{"no interpreter", func(path string) error {
			return os.WriteFile(path, []byte("#!/no/such/interpreter\n"), 0o755)
		}, "or the interpreter is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := oneQueue(t)
			dir := t.TempDir()
			script := filepath.Join(dir, "handle.sh")
			repair := func() {
				t.Helper()
				if err := errors.Join(os.WriteFile(script+".new", []byte(good), 0o755), os.Rename(script+".new", script)); err != nil {
					t.Fatal(err)
				}
			}
			repair()
			p := prepareAlone(t, "consume", "--queue", "q", "--url", server.URL(), "--exec", "./handle.sh", "--concurrency", "2", "--attempts", "1", "--breaker", "3:10ms")
			p.cmd.Dir = dir
			p.start()
			rabbittest.Eventually(t, patience, "it consumes", func() bool {
				q, _ := server.Queue("q")
				return q.Consumers == 1
			})
			if err := tt.breaks(script); err != nil {
				t.Fatal(err)
			}
			if err := server.Publish("q", "a", "b", "c", "d"); err != nil {
				t.Fatal(err)
			}
			p.logs("(3 times in a row); no attempt is counted: to be paused for 10ms, then one message is tried")
			repair()
			rabbittest.Eventually(t, patience, "all are handled", func() bool { return acknowledged(server) == 4 })
			p.signal(syscall.SIGTERM)
			p.wait(0)
			for _, body := range []string{"a", "b", "c", "d"} {
				if !strings.Contains(p.stdout.String(), body+" 1\n") {
					t.Errorf("%s was not handled with its first attempt:\n%s", body, &p.stdout)
				}
			}
			log := p.stderr.String()
			if !strings.Contains(log, tt.error) || strings.Contains(log, "handler failed") || strings.Contains(log, "parked") {
				t.Errorf("standard error:\n%s", log)
			}
		})
	}
}

// There are not files enough for so many commands at once: what cannot be started is not blamed for it.
func TestExecWithoutFiles(t *testing.T) {
	t.Parallel()
	var bodies []string
	for i := range 40 {
		bodies = append(bodies, fmt.Sprint(i))
	}
	server := oneQueue(t, bodies...)
	let := filepath.Join(t.TempDir(), "let")
	p := prepareAlone(t, "consume", "--queue", "q", "--url", server.URL(), "--exec", "until test -e '"+let+"'; do sleep 0.1; done", "--concurrency", "40",
		"--attempts", "1", "--breaker", "41:10ms").inShell(`ulimit -n 50; exec "$@"`).start()
	p.logs("too many open files; raise the limit of open files")
	writeFile(t, let, "")
	rabbittest.Eventually(t, patience, "all are handled", func() bool { return acknowledged(server) == len(bodies) })
	p.signal(syscall.SIGTERM)
	p.wait(0)
	if log := p.stderr.String(); strings.Contains(log, "handler failed") {
		t.Errorf("standard error:\n%s", log)
	}
}
