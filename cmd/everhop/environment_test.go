//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/cmd/everhop/internal/scripts"
)

// broken are the ways in which a script can be one that cannot be run.
var broken = map[string]func(t testing.TB, script string){
	"not there": func(t testing.TB, script string) {
		if err := os.Remove(script); err != nil {
			t.Fatal(err)
		}
	},
	"not executable": func(t testing.TB, script string) {
		if err := os.Chmod(script, 0o600); err != nil {
			t.Fatal(err)
		}
	},
	"no interpreter": func(t testing.TB, script string) { scripts.Write(t, script, "#!/no/such/interpreter\n") },
	"no format":      func(t testing.TB, script string) { scripts.Write(t, script, "echo\n") },
}

// While its program is not there, cannot be run or has no interpreter, a command does not count as tried.
func TestExecUnavailable(t *testing.T) {
	const good = "#!/bin/sh\necho \"$(cat) $EVERHOP_ATTEMPT\"\n"
	tests := []struct{ broken, error string }{
		{"not there", "command: exit status 127: there is no such program"},
		{"not executable", "command: exit status 126: the program cannot be run"},
		{"no interpreter", "or the interpreter is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.broken, func(t *testing.T) {
			t.Parallel()
			server := oneQueue(t)
			dir := t.TempDir()
			script := filepath.Join(dir, "handle.sh")
			scripts.Write(t, script, good)
			p := prepareAlone(t, "consume", "--queue", "q", "--url", server.URL(), "--exec", "./handle.sh", "--concurrency", "2", "--attempts", "1", "--breaker", "3:10ms")
			p.cmd.Dir = dir
			p.start()
			rabbittest.Eventually(t, patience, "it consumes", func() bool {
				q, _ := server.Queue("q")
				return q.Consumers == 1
			})
			broken[tt.broken](t, script)
			if err := server.Publish("q", "a", "b", "c", "d"); err != nil {
				t.Fatal(err)
			}
			p.logs("(3 times in a row); no attempt is counted: to be paused for 10ms, then one message is tried")
			scripts.Write(t, script, good)
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
