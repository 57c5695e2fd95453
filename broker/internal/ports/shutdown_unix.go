//go:build unix

package ports

import (
	"net"
	"syscall"
)

// shutdown ends the listening of all copies of a socket. See shutdown(2) and tcp(7) of Linux; elsewhere it may do nothing,
// and Close has to do.
func shutdown(listener net.Listener) {
	socket, ok := listener.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := socket.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) })
	}
}
