//go:build unix

package main

import (
	"cmp"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// pollRoom waits for room, and tells whether it could.
func pollRoom(file *os.File) bool {
	const patience = 1000 // ms; it may become blocking meanwhile
	n, err := pollWritable(file, patience)
	return err == nil && n >= 0
}

// hasRoom tells whether there is room for a few bytes, or an error to be had.
func hasRoom(file *os.File) bool {
	n, err := pollWritable(file, 0)
	return err == nil && n == 1
}

func pollWritable(file *os.File, patience int) (n int, err error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var result error
	err = raw.Control(func(fd uintptr) {
		n, result = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, patience)
	})
	return n, cmp.Or(err, result)
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
