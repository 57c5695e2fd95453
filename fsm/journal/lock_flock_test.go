//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package journal

import (
	"os"
	"syscall"
	"testing"

	"github.com/everhop/everhop/fsm"
)

// A process that is just being started has copies of the open files, which do not keep the journal from being opened again.
func TestCloseWhileAProcessStarts(t *testing.T) {
	dir := t.TempDir()
	for seq := range uint64(2) { // at the second time there is a segment to continue
		j, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Append(fsm.Event{V: fsm.Schema, Kind: fsm.KindNote, Seq: seq + 1}); err != nil {
			t.Fatal(err)
		}
		for _, file := range []*os.File{j.lock, j.segment.file} {
			copied, err := syscall.Dup(int(file.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			defer syscall.Close(copied)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
	j, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}
