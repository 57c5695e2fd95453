// Package scripts has for tests the scripts that they write and run at once.
package scripts

import (
	"os"
	"syscall"
	"testing"
)

// Write makes a script, or replaces one at once. It can be run as soon as this returns. The system refuses to run a file that any
// process has open for writing ("text file busy"), and a process that is being started has copies of our open files until its own
// program runs. So none is started while the file is open.
func Write(t testing.TB, path, text string) {
	t.Helper()
	if err := write(path+".new", text); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func write(path, text string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, []byte(text), 0o700)
}
