//go:build unix

package main

import (
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// A pipe in place of a file, as of 'everhop replay <(kubectl logs pod)', is read once, and never again.
func TestReplayPipe(t *testing.T) {
	p := outage(t)
	file := p.logFile()
	for _, args := range [][]string{nil, {"--since", "2s"}} {
		_, want, _ := inProcess(t, append([]string{"replay", file}, args...)...)
		path := filepath.Join(t.TempDir(), "pipe")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		var writer sync.WaitGroup
		writer.Go(func() {
			if err := os.WriteFile(path, []byte(p.lines()), 0); err != nil {
				t.Error(err)
			}
		})
		status, got, stderr := inProcess(t, append([]string{"replay", path}, args...)...)
		writer.Wait()
		if status != 0 || got != want {
			t.Errorf("%q: exit status %d, %s\n%s", args, status, stderr, got)
		}
	}
}

// A pipe that goes on can be interrupted.
func TestReplayPipeLive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f := startReplay(t, nil, path)
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := io.WriteString(writer, outage(t).lines()); err != nil {
		t.Fatal(err)
	}
	f.expect("Stop")
	f.end()
}
