//go:build unix

package main

import (
	"errors"
	"io"
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

// readNow reads what is there, and waits for nothing: errEmpty.
func readNow(file *os.File, p []byte) (n int, err error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var result error
	err = raw.Read(func(fd uintptr) bool {
		for {
			if n, result = unix.Read(int(fd), p); !errors.Is(result, unix.EINTR) {
				return true
			}
		}
	})
	switch {
	case err != nil:
		return 0, err
	case errors.Is(result, unix.EAGAIN):
		return 0, errEmpty
	case result != nil:
		return 0, result
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
