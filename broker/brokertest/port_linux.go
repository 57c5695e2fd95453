package brokertest

import (
	"net"
	"syscall"
)

// keepPort keeps a port on which nobody listens any more: no other socket gets it, as a listener or as the near end of a
// connection, and whoever connects is refused. A listener that asks for the very port may have it all the same. That
// a port cannot be kept is no harm: it may be taken then.
func keepPort(addr net.Addr) (release func()) {
	at, ok := addr.(*net.TCPAddr)
	if !ok {
		return func() {}
	}
	family, name := syscall.AF_INET6, syscall.Sockaddr(&syscall.SockaddrInet6{Port: at.Port, Addr: [16]byte(at.IP.To16())})
	if v4 := at.IP.To4(); v4 != nil {
		family, name = syscall.AF_INET, &syscall.SockaddrInet4{Port: at.Port, Addr: [4]byte(v4)}
	}
	socket, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return func() {}
	}
	_ = syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) // as the listener has it
	_ = syscall.Bind(socket, name)
	return func() { _ = syscall.Close(socket) }
}
