//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// pollRoom tells whether it could wait.
func pollRoom(file *os.File) bool {
	raw, err := file.SyscallConn()
	if err != nil {
		return false
	}
	const patience = 1000 // ms; it may become blocking meanwhile
	polled := false
	err = raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, patience)
		polled = err == nil && n >= 0
	})
	return err == nil && polled
}
