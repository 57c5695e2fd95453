//go:build unix

package handlers

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/cmd/everhop/internal/deadend"
	"github.com/everhop/everhop/cmd/everhop/internal/scripts"
	"github.com/everhop/everhop/consumer"
)

// Whatever a command does with its outputs, all that it has written is out when it has ended, in its order, and its end is
// noticed.
func TestCommandOutputs(t *testing.T) {
	long := strings.Repeat("x", 70_000) + "\n" // more than a pipe holds
	tests := []struct {
		name, command, stdout, stderr string
		lines                         bool
		failure                       string
	}{
		{"none", "exit 0", "", "", false, ""},
		{"both", "echo a; echo b >&2", "a\n", "b\n", false, ""},
		{"no line", "printf a; printf b >&2", "a", "b", true, ""},
		{"little by little", "for i in 1 2 3; do printf $i; sleep 0.01; done; echo", "123\n", "", true, ""},
		{"after a while", "sleep 0.05; echo a; sleep 0.05; echo b >&2", "a\n", "b\n", true, ""},
		{"long", "cat", long, "", false, ""},
		{"long lines", "cat; echo b >&2", long, "b\n", true, ""},
		{"closed early", "exec >&- 2>&-; sleep 0.05; exit 3", "", "", false, "command: exit status 3"},
		{"one closed early", "exec >&-; sleep 0.05; echo b >&2; exit 3", "", "b\n", false, "command: exit status 3: b"},
		{"killed", "echo a; kill -9 $$", "a\n", "", false, "command: signal: killed"},
		{"left open", "echo a; sleep 60 & echo $! > left; echo b >&2; exit 3", "a\n", "b\n", false, "command: exit status 3: b"},
	}
	t.Chdir(t.TempDir())
	defer func() {
		left, err := os.ReadFile("left")
		if err != nil {
			t.Fatal(err)
		}
		pid, _ := strconv.Atoi(strings.TrimSpace(string(left)))
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr := newFile(t), newFile(t)
			c := NewCommand(CommandConfig{Words: inShell(tt.command), Lines: tt.lines, Stdout: stdout, Stderr: stderr})
			defer c.End()
			said := ""
			if err := c.Handle(t.Context(), &consumer.Delivery{Body: []byte(long)}); err != nil {
				said = err.Error()
			}
			got := [3]string{contents(t, stdout), contents(t, stderr), said}
			if diff := cmp.Diff([3]string{tt.stdout, tt.stderr, tt.failure}, got); diff != "" {
				t.Errorf("standard output, standard error, error (-want +got):\n%.2000s", diff)
			}
		})
	}
}

// A reader that does not read holds up what it is to read, and nothing else.
func TestCommandOutputHeldUp(t *testing.T) {
	stderr := newFile(t)
	c := NewCommand(CommandConfig{Words: inShell("echo a; echo b >&2"), Stdout: deadend.FullPipe(t), Stderr: stderr})
	defer c.End()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Handle(ctx, &consumer.Delivery{}) }()
	rabbittest.Eventually(t, patience, "standard error is out", func() bool { return contents(t, stderr) == "b\n" })
	cancel()
	if err := <-ended; err == nil {
		t.Error("what is not out is acknowledged")
	}
}

// A command leaves no descriptor open, whether it could be started or not.
func TestCommandLeavesNoFiles(t *testing.T) {
	if _, err := os.Stat("/dev/fd"); err != nil {
		t.Skip("needs /dev/fd, which lists what is open: ", err)
	}
	for _, body := range []string{"short", strings.Repeat("x", 2*held)} {
		none := []string{"/no/such/program"}
		for _, config := range []CommandConfig{{Plain: []string{"cat"}, Words: inShell("cat")}, {Words: inShell("cat; echo")}, {Plain: none, Words: none}} {
			config.Stdout = newFile(t)
			config.Stderr = config.Stdout
			handle := func(times int, then func()) {
				c := NewCommand(config)
				defer c.End()
				for range times {
					_ = c.Handle(context.Background(), &consumer.Delivery{Body: []byte(body)})
				}
				then()
			}
			one := 0
			handle(1, func() { one = openFiles(t) })
			before := openFiles(t) // with what is opened for good
			handle(20, func() {
				rabbittest.Eventually(t, patience, "no more files than after one command", func() bool { return openFiles(t) <= one+outputsOfOne })
			})
			rabbittest.Eventually(t, patience, "no more files than before", func() bool { return openFiles(t) <= before })
		}
	}
}

// A program that was found, and is somewhere else now, is found again.
func TestCommandMoved(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	t.Setenv("PATH", first+string(os.PathListSeparator)+second+string(os.PathListSeparator)+os.Getenv("PATH"))
	program := filepath.Join(first, "program")
	scripts.Write(t, program, "#!/bin/sh\necho $0\n")
	name := []string{"program"}
	for _, words := range [][]string{inShell("program"), name} {
		stdout := newFile(t)
		c := NewCommand(CommandConfig{Plain: name, Words: words, Stdout: stdout, Stderr: stdout})
		defer c.End()
		want := ""
		for _, dir := range []string{first, second, first} {
			at := filepath.Join(dir, "program")
			if err := os.Rename(program, at); err != nil {
				t.Fatal(err)
			}
			program = at
			want += at + "\n"
			if err := c.Handle(t.Context(), &consumer.Delivery{}); err != nil {
				t.Error(err)
			}
		}
		if diff := cmp.Diff(want, contents(t, stdout)); diff != "" {
			t.Error(diff)
		}
	}
}

// inShell are the words of a line.
func inShell(line string) []string { return []string{"sh", "-c", line} }

func newFile(t *testing.T) *os.File {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(t.TempDir(), "output"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func contents(t *testing.T, file *os.File) string {
	t.Helper()
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(slices.DeleteFunc(list, func(e os.DirEntry) bool { return e.Name() < "3" && len(e.Name()) == 1 }))
}
