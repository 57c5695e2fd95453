package broker

import (
	"net"
	"syscall"
	"unsafe"
)

// sendQueue is how many bytes the kernel has taken for the peer, and the peer has not acknowledged (SIOCOUTQ,
// which has the number of TIOCOUTQ).
func sendQueue(c net.Conn) (bytes int64, ok bool) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return 0, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, false
	}
	var queued int32
	var failed syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, failed = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&queued)))
	})
	return int64(queued), err == nil && failed == 0
}
