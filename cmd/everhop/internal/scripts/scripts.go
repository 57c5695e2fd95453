// Package scripts has for tests the scripts that they write and run at once.
package scripts

import (
	"os"
	"syscall"
	"testing"
)

// Write makes, or replaces, a script that can be run as soon as this returns. While a file is open for writing, to run it is
// refused with "text file busy", and a process that is started meanwhile holds a copy of what is open until its own program runs:
// so none is started while the script is written.
func Write(t testing.TB, path, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}
