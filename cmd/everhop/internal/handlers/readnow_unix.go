//go:build unix

package handlers

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

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
