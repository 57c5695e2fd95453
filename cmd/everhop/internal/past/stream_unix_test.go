//go:build unix

package past

import (
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
)

// A pipe in place of a file, as of 'everhop replay <(kubectl logs pod)', is read once, and never again.
func TestReplayPipe(t *testing.T) {
	p := pasttest.Outage(t)
	file := p.File()
	for _, args := range [][]string{nil, {"--since", "2s"}} {
		want, _ := tell(t, append([]string{file}, args...)...)
		path := filepath.Join(t.TempDir(), "pipe")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		var writer sync.WaitGroup
		writer.Go(func() {
			if err := os.WriteFile(path, []byte(p.Lines()), 0); err != nil {
				t.Error(err)
			}
		})
		got, err := tell(t, append([]string{path}, args...)...)
		writer.Wait()
		if err != nil || got != want {
			t.Errorf("%q: %v\n%s", args, err, got)
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
	if _, err := io.WriteString(writer, pasttest.Outage(t).Lines()); err != nil {
		t.Fatal(err)
	}
	f.expect("Stop")
	f.end()
}
