package handlers

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// pipeEnd is our end of a pipe. It is a plain descriptor, which Go's poller does not know: that would wake up a thread for
// whatever comes. For a goroutine that waits there it becomes a file.
type pipeEnd struct {
	fd   int      // -1: closed, or the file's
	file *os.File // nil: it is none
}

// newPipes makes the two ends of a pipe.
func newPipes() (read, write int, err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return -1, -1, os.NewSyscallError("pipe2", err)
	}
	return ends[0], ends[1], nil
}

// pipeFrom is what a command writes to theirs.
func pipeFrom() (pipe, error) {
	read, write, err := newPipes()
	if err != nil {
		return pipe{}, err
	}
	return pipe{&pipeEnd{fd: read}, os.NewFile(uintptr(write), "|1")}, nil
}

// pipeTo is what a command reads from theirs.
func pipeTo() (pipe, error) {
	read, write, err := newPipes()
	if err != nil {
		return pipe{}, err
	}
	return pipe{&pipeEnd{fd: write}, os.NewFile(uintptr(read), "|0")}, nil
}

// waitable is the file for a goroutine. The end is its from then on.
func (e *pipeEnd) waitable() *os.File {
	if e.file == nil {
		_ = unix.SetNonblock(e.fd, true)
		e.file, e.fd = os.NewFile(uintptr(e.fd), "|"), -1
	}
	return e.file
}

// Read is for who knows that there is something.
func (e *pipeEnd) Read(p []byte) (int, error) {
	n, err := again(func() (int, error) { return unix.Read(e.fd, p) })
	switch {
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// isEmpty is for who knows that nobody writes any more. POLLHUP does not say it: what is written just before the end may come
// between what poll looks at first and what it looks at then.
func (e *pipeEnd) isEmpty() bool {
	n, err := unix.IoctlGetInt(e.fd, unix.TIOCINQ)
	return err == nil && n == 0
}

// Write is for who knows that there is room.
func (e *pipeEnd) Write(p []byte) (int, error) {
	n, err := again(func() (int, error) { return unix.Write(e.fd, p) })
	return max(0, n), os.NewSyscallError("write", err)
}

func again(call func() (int, error)) (n int, err error) {
	for {
		if n, err = call(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// Close may be called again, and on nil.
func (e *pipeEnd) Close() {
	switch {
	case e == nil:
	case e.file != nil:
		e.file.Close()
	case e.fd >= 0:
		_ = unix.Close(e.fd)
		e.fd = -1
	}
}
