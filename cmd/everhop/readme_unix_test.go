//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
)

// The README's commands work for someone who has nothing else: a shell runs them as they stand there, in an
// empty directory. Only the broker is another one.
func TestReadmeCommands(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## The command\n")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d blocks of commands, want three: consume, publish and look, what happened", len(blocks))
	}
	server, dir := brokertest.NewServer(t), t.TempDir()
	_, port, _ := strings.Cut(rabbittest.DeadPort(t), ":")
	consume := shell(t, dir, strings.NewReplacer("amqp://guest:guest@localhost:5672/", server.URL(), "9090", port).Replace(blocks[0][1]))
	consume.start()
	rabbittest.Eventually(t, patience, "it consumes", func() bool {
		q, _ := server.Queue("orders")
		return q.Consumers == 1
	})

	second := shell(t, dir, strings.ReplaceAll(blocks[1][1], "9090", port))
	second.cmd.Env = append(second.cmd.Env, urlVariable+"="+server.URL())
	second.start().wait(0)
	if got := second.stdout.String(); !strings.Contains(got, " is ready: 1 queue consumed") {
		t.Errorf("everhop status prints\n%s", got)
	}
	rabbittest.Eventually(t, patience, "all are handled", func() bool { return len(server.Settlements()) == 3 })
	if err := syscall.Kill(-consume.cmd.Process.Pid, syscall.SIGINT); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	_ = consume.cmd.Wait() // its status is the shell's
	if got := consume.stdout.String(); got != "handled: a book\nhandled: a lamp\nhandled: a chair\n" {
		t.Errorf("printed\n%s", got)
	}

	past := shell(t, dir, blocks[2][1])
	past.start().wait(0)
	for _, want := range []string{"Connected", "outages           none", "without a hole"} {
		if !strings.Contains(past.stdout.String(), want) {
			t.Errorf("%q is not in\n%s", want, past.stdout.String())
		}
	}
	if drawing, err := os.ReadFile(filepath.Join(dir, "past.dot")); !strings.HasPrefix(string(drawing), "digraph") {
		t.Errorf("%v, %s", err, drawing)
	}
}

// shell prepares a script for which everhop is this program.
func shell(t *testing.T, dir, script string) *program {
	t.Helper()
	bin := t.TempDir()
	if err := os.Symlink(os.Args[0], filepath.Join(bin, "everhop")); err != nil {
		t.Fatal(err)
	}
	p := prepareAlone(t)
	env := append(p.cmd.Env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	p.cmd = exec.Command("sh", "-e", "-c", script)
	p.cmd.Dir, p.cmd.Env, p.cmd.WaitDelay = dir, env, patience
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return p
}
