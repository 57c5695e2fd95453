//go:build unix

package scripts

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// What is written is run, whatever else is started meanwhile.
func TestWriteWhileAProcessStarts(t *testing.T) {
	dir := t.TempDir()
	done := make(chan struct{})
	var starting sync.WaitGroup
	defer starting.Wait()
	defer close(done)
	for range 8 {
		starting.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if err := exec.Command("true").Run(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for i := range 300 {
		script := filepath.Join(dir, strconv.Itoa(i))
		Write(t, script, "#!/bin/sh\nexit 0\n")
		if err := exec.Command(script).Run(); err != nil {
			t.Fatalf("script %d: %v", i, err)
		}
	}
}
