//go:build unix

package deadend

import (
	"os"
	"syscall"
	"testing"
)

// FullPipe is the end of a pipe that takes no byte more: nobody reads at the other one.
func FullPipe(t testing.TB) (write *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		write.Close()
		read.Close()
	})
	raw, err := write.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const most = 1 << 20 // more than a pipe holds
	written := most
	if err := raw.Write(func(fd uintptr) bool {
		written, err = syscall.Write(int(fd), make([]byte, most))
		return true // not to be tried again
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil || written == most {
		t.Fatalf("the pipe took %d bytes, %v", written, err)
	}
	return write
}
