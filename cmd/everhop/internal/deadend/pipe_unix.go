//go:build unix

package deadend

import (
	"io"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Page is more than what a pipe takes whole or not at all.
const Page = 4 << 10

// FillingPipe is the end of a pipe that takes a page, and then no byte more: nobody reads at the other one. full tells whether
// it has taken the page: who writes more than that at once is in the middle of it then, and waits.
func FillingPipe(t testing.TB) (write *os.File, full func() bool) {
	t.Helper()
	read, write := fullPipe(t)
	if _, err := io.ReadFull(read, make([]byte, Page)); err != nil {
		t.Fatal(err)
	}
	return write, func() bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(write.Fd()), Events: unix.POLLOUT}}, 0)
		return n == 0 && err == nil
	}
}

// FullPipe is the end of a pipe that takes no byte more: nobody reads at the other one.
func FullPipe(t testing.TB) (write *os.File) {
	t.Helper()
	_, write = fullPipe(t)
	return write
}

func fullPipe(t testing.TB) (read, write *os.File) {
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
	return read, write
}
