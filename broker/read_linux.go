package broker

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// rawReader reads from a TCP connection as its Read does, but enters the kernel without a word to Go's scheduler: the
// socket does not block. Otherwise each read of a process that was asleep wakes the runtime's monitor for
// nothing, which takes an eighth of the processor time where messages come a few at a time.
type rawReader struct {
	conn *net.TCPConn
	raw  syscall.RawConn
	try  func(fd uintptr) bool // made once, since it escapes

	into   []byte
	n      int
	failed syscall.Errno
}

// readerOf is for one goroutine at a time.
func readerOf(c net.Conn) io.Reader {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c
	}
	r := &rawReader{conn: tcp, raw: raw}
	r.try = r.tryRead
	return r
}

func (r *rawReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	r.into, r.n, r.failed = p, 0, 0
	err := r.raw.Read(r.try)
	r.into = nil
	var op *net.OpError
	switch {
	case errors.As(err, &op):
		op.Op = "read"
		return 0, op
	case err != nil:
		return 0, err
	case r.failed != 0:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: r.conn.LocalAddr(), Addr: r.conn.RemoteAddr(),
			Err: os.NewSyscallError("read", r.failed)}
	case r.n == 0:
		return 0, io.EOF
	}
	return r.n, nil
}

// tryRead returns false if there is nothing to read yet.
func (r *rawReader) tryRead(fd uintptr) bool {
	for {
		n, _, failed := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(r.into))), uintptr(len(r.into)))
		switch failed {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		case 0:
			r.n = int(n)
		}
		r.failed = failed
		return true
	}
}
