//go:build unix && !solaris && !aix

package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Two that discard into one file would overwrite what the other has written.
func TestDiscardIntoTheFileOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "discarded.jsonl")
	first, err := openBin(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openBin(path); err == nil || !strings.Contains(err.Error(), path+": another everhop writes to it") {
		t.Errorf("%v", err)
	}
	copied, err := syscall.Dup(int(first.Fd())) // as a child has it that is just being started
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(copied)
	first.Close()
	second, err := openBin(path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	writeFile(t, path, "somebody else's\n")
	if err := second.write(nil); err == nil {
		t.Error("it writes although somebody else has")
	}
}
